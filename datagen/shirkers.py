"""The paper's "shirker" ablation: a share of a finished run's responses replaced by low-quality
ones (notes 1.1).

The first ``share`` of the rows keep their instructions and get new responses, so the size stays the
same. ``brevity`` answers in one paragraph; ``junk`` is long, vague and unhelpful.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError
from datagen.export import DatasetInfo, finish_dataset
from datagen.llm import open_llm
from datagen.llm.prices import price_of
from datagen.pipeline import Job, Result
from datagen.rows import Rejected, Row, make_row
from datagen.rows_io import read_rows, write_rows
from datagen.run import Run, Tools
from datagen.run.block import write_atomic
from datagen.templates import load

KINDS = ("brevity", "junk")


async def execute(
    job: Job, kind: str, share: float, watch: Callable[[Run], Any] | None = None
) -> Result:
    """Make the ablation run beside a finished run: ``RUN-KIND-SHARE``, a run folder of its own.

    Exactly round(share * n) responses are replaced.

    Raises:
        ConfigError: the run is not finished, or kind or share is wrong.
    """
    source, count, rows = _check(job.folder, kind, share)
    target = source.with_name(f"{source.name}-{kind}-{share:g}")
    prompt = load("skillmix", kind, job.skillmix.prompts)
    chosen = list(islice(read_rows(source / "dataset" / "train.jsonl"), count))
    llm = await open_llm(job.model)
    try:
        identity = {
            "shirkers": kind,
            "share": share,
            "of": [row["id"] for row in chosen[:1]],
            "model": llm.model,
        }
        async with Run.open(
            target, job.run, llm, identity=identity, price=price_of(job.model), watch=watch
        ) as run:
            run.metrics.about = {
                "generator": f"skillmix-{kind}",
                "engine": job.model.resolved_engine(),
            }

            async def shirk(row: dict[str, Any], tools: Tools) -> list[Row] | Rejected:
                return await _shirk(
                    row,
                    tools,
                    kind,
                    prompt.fill(instruction=row["prompt"][-1]["content"]),
                    job.skillmix.tries,
                    job.skillmix.max_answer_tokens,
                )

            counts = await run.stage("1_shirkers", chosen, shirk)
            _assemble(run, source, target, count)
            run.metrics.complete = True
            run.metrics.write()
            finish_dataset(target / "dataset", _info(kind, share, llm.model, rows))
            write_atomic(
                target / "manifest.json",
                json.dumps(
                    {
                        "generator": f"skillmix-{kind}",
                        "rows": rows,
                        "replaced": counts.kept,
                        "files": {},
                    }
                ).encode(),
            )
    finally:
        await llm.close()
    return Result(target, rows, rows, dict(counts.rejected))


def _check(source: Path, kind: str, share: float) -> tuple[Path, int, int]:
    if kind not in KINDS:
        raise ConfigError(f"--shirkers {kind}: there are {' and '.join(KINDS)}")
    if not 0 < share <= 1:
        raise ConfigError(f"--share {share:g}: give a share above 0 and at most 1")
    if not (source / "manifest.json").exists():
        raise ConfigError(
            f"{source} is not a finished run: give its folder as --out, or finish it first"
        )
    rows = int(json.loads((source / "manifest.json").read_text())["rows"])
    return source, round(share * rows), rows


async def _shirk(
    row: dict[str, Any], tools: Tools, kind: str, prompt: str, tries: int, max_tokens: int
) -> list[Row] | Rejected:
    text = ""
    for _ in range(tries):
        answer = await tools.ask(
            [{"role": "user", "content": prompt}], temperature=1.0, max_tokens=max_tokens
        )
        text = answer.text.strip()
        if text and text != row["completion"][-1]["content"]:
            facts = {
                **json.loads(row["provenance"]),
                "shirker": kind,
                "shirker_of": row["id"],
                "answers": list(tools.answers),
                "model": tools.model,
            }
            return [make_row(row["prompt"], [{"role": "assistant", "content": text}], facts)]
    return Rejected(reason="empty_response", detail="the model gave no other response", text=text)


def _assemble(run: Run, source: Path, target: Path, count: int) -> None:
    """The replaced rows, then the others unchanged; a row whose replacement failed stays
    as it was."""
    dataset = target / "dataset"
    dataset.mkdir(exist_ok=True)
    made = {json.loads(row["provenance"])["shirker_of"]: row for row in run.read("1_shirkers")}
    rows = read_rows(source / "dataset" / "train.jsonl")
    write_rows(
        dataset / "train.jsonl",
        (made.get(row["id"], row) if i < count else row for i, row in enumerate(rows)),
    )
    if (source / "dataset" / "heldout.jsonl").exists():
        shutil.copyfile(source / "dataset" / "heldout.jsonl", dataset / "heldout.jsonl")


def _info(kind: str, share: float, model: str, rows: int) -> DatasetInfo:
    return DatasetInfo(
        generator="skillmix",
        model=model,
        title=f"Instruct-SkillMix with {share:.0%} {kind} shirkers",
        paper="Instruct-SkillMix",
        arxiv="2408.14774",
        counts={"rows": rows},
        summary=f"The first {share:.0%} of the responses were replaced by {kind} ones, on purpose.",
        limits=("Made for an ablation: part of the responses are bad on purpose.",),
    )


__all__: Sequence[str] = ["KINDS", "execute"]
