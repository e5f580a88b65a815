"""LLaMA-Factory's two files: which columns the rows have, and a training on them.

Source: data/README.md, src/llamafactory/data/parser.py and converter.py of LLaMA-Factory 0.9.5.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from datagen.export.views import Shape

MODEL = "Qwen/Qwen2.5-0.5B-Instruct"

LIST_COLUMN = {"sharegpt": "conversations", "messages": "messages"}
TAGS = {
    "sharegpt": {"role": "from", "content": "value", "user": "human", "assistant": "gpt"},
    "messages": {"role": "role", "content": "content", "user": "user", "assistant": "assistant"},
}


def dataset_info(name: str, shape: Shape, folders: Mapping[str, str]) -> str:
    """LLaMA-Factory's dataset_info.json: entries NAME_FORMAT and NAME_FORMAT_heldout.

    ``folders`` has for each format where its files lie, relative to this one and ending with a
    slash (or empty). Columns and tags that an entry leaves out are None there, so all
    that are read are named.
    """
    entries = {
        entry_name(name, format, split): {
            "file_name": f"{folder}{split}.{shape.suffix(format)}",
            **_entry(format, shape),
        }
        for format, folder in folders.items()
        for split in shape.rows
    }
    return json.dumps(entries, indent=2) + "\n"


def entry_name(name: str, format: str, split: str) -> str:
    """What to give LLaMA-Factory as ``dataset`` (a comma would separate two names there)."""
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") or "rows"
    return f"{stem}_{format}" if split == "train" else f"{stem}_{format}_{split}"


def _entry(format: str, shape: Shape) -> dict[str, Any]:
    ranking = {"ranking": True} if shape.pairs else {}
    answers = {"chosen": "chosen", "rejected": "rejected"} if shape.pairs else {}
    if format == "alpaca":
        columns = {"prompt": "instruction", "query": "input", "system": "system"}
        history = {"history": "history"} if shape.marked(format) else {}
        columns |= answers or {"response": "output"}
        return {"formatting": "alpaca", **ranking, "columns": {**columns, **history}}
    tags = {f"{key}_tag": value for key, value in TAGS[format].items()}
    tags |= {
        "observation_tag": "observation",
        "function_tag": "function_call",
        "system_tag": "system",
    }
    columns = {"messages": LIST_COLUMN[format], **answers}
    return {"formatting": "sharegpt", **ranking, "columns": columns, "tags": tags}


def training_yaml(format: str, name: str, shape: Shape) -> str:
    """Its training configuration, to start from inside the export folder."""
    stage = "dpo\npref_loss: sigmoid\npref_beta: 0.1" if shape.pairs else "sft"
    history = "true" if shape.earlier_answers and not shape.pairs else "false"
    heldout = (
        f"eval_dataset: {entry_name(name, format, 'heldout')}\n"
        "eval_strategy: epoch\nper_device_eval_batch_size: 1\n"
    )
    return f"""# llamafactory-cli train llamafactory.yaml
model_name_or_path: {MODEL}
template: qwen  # the model's; change both together
stage: {stage}
do_train: true
finetuning_type: lora
lora_target: all
dataset_dir: .
dataset: {entry_name(name, format, "train")}
{heldout if "heldout" in shape.rows else ""}cutoff_len: 4096  # longer rows are cut
train_on_prompt: false
mask_history: {history}  # true: only the last answer is learnt
output_dir: model
per_device_train_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 3.0
lr_scheduler_type: cosine
bf16: true
report_to: none
"""
