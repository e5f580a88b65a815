"""The seed-dataset-dependent variant (SDD) of Instruct-SkillMix: skills out of existing instruction
data.

Three steps after Didolkar et al. (arXiv 2405.12205): the model labels each example with a
fine-grained skill, groups the labels under broader names, and labels the examples again with those.
A skill keeps as its topics the fine-grained labels it was made from.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError
from datagen.generators import names
from datagen.rows import Rejected, content_hash
from datagen.run import Run, Tools
from datagen.templates import load

LABELS_A_CALL = 150
"""Fine-grained labels put into one grouping call."""
LABEL_TOKENS = 128
LONGEST_PART = 4000
"""Characters of an example's instruction and response that are shown to the model."""
_INSTRUCTION = ("instruction", "question", "query", "prompt", "input")
_RESPONSE = ("output", "response", "answer", "completion")
_SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["skills"],
    "properties": {"skills": {"type": "array", "items": {"type": "string"}}},
}


def from_dataset(path: Path, count: int, seed: int) -> Iterator[dict[str, str]]:
    """Up to ``count`` examples ``{"instruction", "response"}`` of a local file, a uniform draw in
    file order.

    Columns are found by name: messages or conversations, prompt/completion, instruction/output and
        the like.

    Raises:
        ConfigError: the file is missing, broken or has none of these columns.
    """
    rng = random.Random(content_hash(seed, "from_dataset"))
    kept: list[tuple[int, Any]] = []
    for number, row in enumerate(_read(path)):
        if len(kept) < count:
            kept.append((number, row))
        elif (slot := rng.randrange(number + 1)) < count:
            kept[slot] = (number, row)
    if not kept:
        raise ConfigError(f"--from-dataset {path}: no rows")
    for number, row in sorted(kept, key=lambda each: each[0]):
        yield _example(path, number, row)


async def labelled_skills(
    run: Run, examples: list[dict[str, str]], tries: int, temperature: float, prompts: Path | None
) -> None:
    """Write ``2_skill_names.jsonl`` (``skill``, ``topic``) from labelled examples."""
    label, cluster, relabel = (
        load("skillmix", name, prompts) for name in ("label", "cluster", "relabel")
    )

    async def label_one(item: dict[str, str], tools: Tools) -> list[dict[str, Any]] | Rejected:
        return await _choose(tools, label.fill(**item), tries, temperature, None, item)

    async def group(item: list[str], tools: Tools) -> list[dict[str, Any]] | Rejected:
        text = cluster.fill(labels="\n".join(item))
        return await _choose(tools, text, tries, temperature, None, {}, most=len(item))

    await run.stage("1_labels", examples, label_one)
    fine = list(dict.fromkeys(each["skill"] for each in run.read("1_labels")))
    chunks = [fine[i : i + LABELS_A_CALL] for i in range(0, len(fine), LABELS_A_CALL)]
    await run.stage("1_groups", chunks, group)
    broad = [s.skill for s in names.merge((each["skill"], "") for each in run.read("1_groups"))]

    async def label_again(item: dict[str, str], tools: Tools) -> list[dict[str, Any]] | Rejected:
        text = relabel.fill(
            skills="\n".join(broad), instruction=item["instruction"], response=item["response"]
        )
        return await _choose(tools, text, tries, temperature, set(broad), {"topic": item["skill"]})

    await run.stage("2_skill_names", list(run.read("1_labels")) if broad else [], label_again)


async def _choose(
    tools: Tools,
    prompt: str,
    tries: int,
    temperature: float,
    allowed: set[str] | None,
    extra: dict[str, str],
    most: int = 1,
) -> list[dict[str, Any]] | Rejected:
    """Up to ``most`` skill names from the model, each with ``extra`` beside it."""
    text = ""
    for _ in range(tries):
        answer = await tools.ask(
            [{"role": "user", "content": prompt}],
            temperature=temperature,
            max_tokens=LABEL_TOKENS * (1 if most == 1 else 16),
            schema=_SCHEMA,
        )
        text = answer.text
        found = [name for name in map(names.normalise, names.parse_names(text)) if name]
        found = [name for name in dict.fromkeys(found) if allowed is None or name in allowed]
        if found:
            return [{**extra, "skill": name} for name in found[:most]]
    return Rejected(
        reason="no_names", detail="no usable skill could be read from the answer", text=text
    )


def _read(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a Parquet, JSON or JSONL file, one at a time."""
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
                yield from batch.to_pylist()
        elif path.suffix == ".json":
            yield from json.loads(path.read_text(encoding="utf-8"))
        else:
            yield from _read_lines(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--from-dataset {path}: {error}") from None


def _read_lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            try:
                if line.strip():
                    yield json.loads(line)
            except json.JSONDecodeError as error:
                where = f"--from-dataset {path}, line {number}"
                raise ConfigError(f"{where}: not JSON ({error.msg}): mend or delete it") from None


def _example(path: Path, number: int, row: Any) -> dict[str, str]:
    """The instruction and response of a row in any of the usual layouts."""
    turns = row.get("messages") or row.get("conversations") if isinstance(row, dict) else None
    if isinstance(turns, list) and turns:
        said = [
            (str(t.get("role") or t.get("from")), str(t.get("content") or t.get("value") or ""))
            for t in turns
            if isinstance(t, dict)
        ]
        asked = next((text for role, text in said if role in ("user", "human")), "")
        answered = next((text for role, text in said if role in ("assistant", "gpt")), "")
    else:
        asked, answered = (_column(row, choices) for choices in (_INSTRUCTION, _RESPONSE))
    if not asked:
        raise ConfigError(
            f"--from-dataset {path}, row {number + 1}: no instruction: it needs a column messages, "
            "conversations, " + ", ".join(_INSTRUCTION)
        )
    return {"instruction": asked[:LONGEST_PART], "response": answered[:LONGEST_PART]}


def _column(row: Any, choices: tuple[str, ...]) -> str:
    for name in choices:
        value = row.get(name) if isinstance(row, dict) else None
        if isinstance(value, list) and value and isinstance(value[-1], dict):
            value = value[-1].get("content")
        if value:
            return str(value)
    return ""
