"""Ready configuration for each trainer, to start from inside an export folder.

The loss is on the completion only wherever the trainer can do that. Option names are those of
TRL 1.16, LLaMA-Factory 0.9.5, axolotl 0.19, verl 0.9.1, ms-swift 4.6 and openai 1.60.
"""

from __future__ import annotations

import json

from datagen.export.llamafactory import LIST_COLUMN, MODEL, TAGS, training_yaml
from datagen.export.views import Shape


def configurations(format: str, name: str, shape: Shape) -> dict[str, str]:
    """File name -> text of what starts a training on the exported rows."""
    if format == "trl":
        return {"train_trl.py": _trl(shape)}
    if format == "openai":
        return {"train_openai.py": _openai(shape)}
    if format == "verl":
        return {"train_verl.sh": _verl(shape)}
    if format == "swift":
        return {"train_swift.sh": _swift(shape)}
    llamafactory = {"llamafactory.yaml": training_yaml(format, name, shape)}
    axolotl = {} if format == "alpaca" else {"axolotl.yaml": _axolotl(format, shape)}
    return {**llamafactory, **axolotl}


def loss_note(format: str, shape: Shape) -> str:
    """What is learnt with this configuration, in a sentence or two."""
    if shape.pairs:
        return "The loss compares the two completions; the prompt is given."
    if format == "trl":
        return "completion_only_loss=True: exactly the completion is learnt, in every row."
    if not shape.earlier_answers:
        return "No prompt holds an assistant turn: loss on assistant turns is loss on completions."
    if format == "openai":
        return "Assistant turns have weight 0 in the prompt and 1 in the completion."
    if format == "swift":
        return "Each message has a loss, which is true in the completion's assistant turns only."
    if format == "verl":
        return (
            "verl's SFT trainer learns every assistant turn and knows no exception: in "
            f"{shape.earlier_answers:,} rows that includes turns of the prompt. Where this matters "
            "use trl, swift, or messages with axolotl."
        )
    last = "mask_history: true makes LLaMA-Factory learn the last turn only."
    if shape.long_completions:
        last += f" {shape.long_completions:,} rows have more to learn than that."
    if format == "alpaca":
        return last
    return f"axolotl learns the messages whose train is true: those of the completion. {last}"


def _trl(shape: Shape) -> str:
    files = ", ".join(f'"{split}": "{split}.jsonl"' for split in shape.rows)
    kind = "DPO" if shape.pairs else "SFT"
    loss = "beta=0.1," if shape.pairs else "completion_only_loss=True,  # the prompt is given"
    every = "epoch" if "heldout" in shape.rows else "no"
    heldout = '\n    eval_dataset=rows["heldout"],' if "heldout" in shape.rows else ""
    return f'''from datasets import load_dataset
from trl import {kind}Config, {kind}Trainer

rows = load_dataset("json", data_files={{{files}}})
trainer = {kind}Trainer(
    model="{MODEL}",
    args={kind}Config(
        output_dir="model",
        {loss}
        max_length=4096,  # longer rows are cut
        eval_strategy="{every}",
    ),
    train_dataset=rows["train"],{heldout}
)
trainer.train()
trainer.save_model()
'''


def _axolotl(format: str, shape: Shape) -> str:
    head = "rl: dpo" if shape.pairs else "train_on_inputs: false"
    sets = "".join(_axolotl_set(format, shape, split) for split in shape.rows)
    return f"""# axolotl train axolotl.yaml
base_model: {MODEL}
{head}
{sets}adapter: lora
lora_r: 16
lora_alpha: 32
lora_target_linear: true
sequence_len: 4096
output_dir: model
micro_batch_size: 1
gradient_accumulation_steps: 8
learning_rate: 0.0001
num_epochs: 3
optimizer: adamw_torch
lr_scheduler: cosine
bf16: auto
"""


def _axolotl_set(format: str, shape: Shape, split: str) -> str:
    """One entry of datasets or test_datasets.

    ``roles_to_train:`` left empty, which its documentation gives for the last turn only, is
    dropped while its configuration is read (0.19): hence the marks.
    """
    tags = TAGS[format]
    loss = "roles_to_train: [assistant]\n    train_on_eos: turn"
    if shape.pairs:
        loss = (
            f"roles: {{user: [{tags['user']}], assistant: [{tags['assistant']}], system: [system]}}"
        )
    elif shape.marked(format):
        loss = "roles_to_train: []\n    train_on_eos: turn\n    message_field_training: train"
    return f"""{"datasets" if split == "train" else "test_datasets"}:
  - path: {split}.jsonl
    ds_type: json
    split: train
    type: {"chat_template.default" if shape.pairs else "chat_template"}
    field_messages: {LIST_COLUMN[format]}
    message_property_mappings: {{role: {tags["role"]}, content: {tags["content"]}}}
    {loss}
"""


def _verl(shape: Shape) -> str:
    return f"""#!/bin/sh
# A row longer than max_length stops it rather than being cut.
torchrun --standalone --nnodes=1 --nproc-per-node=1 -m verl.trainer.sft_trainer \\
    data.train_files=train.parquet \\
    data.val_files={"heldout.parquet" if "heldout" in shape.rows else "null"} \\
    data.messages_key=messages \\
    data.max_length=4096 \\
    data.truncation=error \\
    data.train_batch_size=64 \\
    model.path={MODEL} \\
    trainer.project_name=datagen \\
    trainer.experiment_name=sft \\
    trainer.default_local_dir=model \\
    trainer.total_epochs=3 \\
    "trainer.logger=[console]"
"""


def _swift(shape: Shape) -> str:
    start = (
        "swift rlhf --rlhf_type dpo --beta 0.1" if shape.pairs else "swift sft --loss_scale default"
    )
    heldout = "    --val_dataset heldout.jsonl \\\n" if "heldout" in shape.rows else ""
    return f"""#!/bin/sh
{start} \\
    --model {MODEL} \\
    --use_hf true \\
    --dataset train.jsonl \\
{heldout}    --tuner_type lora \\
    --max_length 4096 \\
    --num_train_epochs 3 \\
    --output_dir model
"""


def _openai(shape: Shape) -> str:
    heldout = '\n    validation_file=files["heldout"],' if "heldout" in shape.rows else ""
    return f'''from pathlib import Path

from openai import OpenAI

client = OpenAI()  # reads OPENAI_API_KEY
files = {{
    split: client.files.create(file=Path(f"{{split}}.jsonl"), purpose="fine-tune").id
    for split in {json.dumps(list(shape.rows))}
}}
job = client.fine_tuning.jobs.create(
    model="gpt-4.1-mini-2025-04-14",
    training_file=files["train"],{heldout}
    method={{"type": "{"dpo" if shape.pairs else "supervised"}"}},
)
print(job.id, job.status)
'''
