"""One whole job: settings -> model -> run folder -> generator -> filters -> dataset -> manifest ->
report."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datagen.config import FilterConfig, assign, read_toml, section, tables
from datagen.errors import ConfigError, RunError
from datagen.export import DatasetInfo, finish_dataset
from datagen.filters import dedup
from datagen.generators import skillmix
from datagen.generators.skillmix import SkillmixConfig
from datagen.llm import ModelConfig, open_llm
from datagen.llm.prices import price_of
from datagen.rows import canonical
from datagen.run import Run, RunConfig
from datagen.run.block import write_atomic
from datagen.shipped import shipped
from datagen.templates import load

WOULD_DROP_ROWS = 10_000
"""Largest run for which near-duplicates are counted without being asked for (seconds of CPU)."""


@dataclass(frozen=True, slots=True)
class Job:
    """Everything a skillmix job needs; made by ``job``."""

    skillmix: SkillmixConfig
    model: ModelConfig
    run: RunConfig
    filters: FilterConfig

    @property
    def folder(self) -> Path:
        """The run folder."""
        return self.run.out or Path("runs/skillmix")

    def as_dict(self) -> dict[str, Any]:
        """The resolved settings; keys are named, never held, by them."""
        return {
            "generator": "skillmix",
            **{
                name: value.model_dump(mode="json")
                for name, value in (
                    ("skillmix", self.skillmix),
                    ("model", self.model),
                    ("run", self.run),
                    ("filters", self.filters),
                )
            },
        }


SECTIONS = {
    "skillmix": SkillmixConfig,
    "model": ModelConfig,
    "run": RunConfig,
    "filters": FilterConfig,
}


def job(values: Mapping[str, Mapping[str, Any]], where: Mapping[str, str] | str) -> Job:
    """A checked job from raw tables; input files are read once so that a bad one stops here."""

    def named(name: str) -> str:
        return where if isinstance(where, str) else where[name]

    model = section(ModelConfig, values.get("model", {}), named("model"))
    asked = dict(values.get("skillmix", {}))
    smaller: dict[str, Any] = {}
    if model.resolved_engine() == "local" and model.model is None:
        smaller = {name: value for name, value in skillmix.EMBEDDED.items() if name not in asked}
    result = Job(
        section(SkillmixConfig, {**smaller, **asked}, named("skillmix")),
        model,
        section(RunConfig, values.get("run", {}), named("run")),
        section(FilterConfig, values.get("filters", {}), named("filters")),
    )
    skillmix.check_inputs(result.skillmix, _warn)
    price_of(result.model)
    if smaller:
        flags = " ".join(
            f"--{n.replace('_', '-')} {v}" for n, v in smaller.items() if n != "prompts"
        )
        _warn(
            "the embedded demo model answers: it shows how the pipeline works, its rows are not "
            f"worth training on. For its sake: {flags}. --base-url names a real model."
        )
    return result


def job_from_toml(path: Path, assignments: list[str]) -> Job:
    """The job a pipeline file describes, with ``--set`` applied.

    A name such as ``skillmix`` is that of a shipped pipeline.
    """
    known = shipped("pipelines") / f"{path.name}.toml"
    if not path.exists() and path.name == str(path) and known.exists():
        path = known
    values = read_toml(path)
    generator = values.pop("generator", None)
    if generator != "skillmix":
        raise ConfigError(f'{path}: generator = {generator!r}: write generator = "skillmix"')
    tables(values, SECTIONS, str(path))
    for name, value in values.items():
        if not isinstance(value, dict):
            raise ConfigError(f"{path}: {name} is not a table: write [{name}]")
    settings = {name: dict(values.get(name, {})) for name in SECTIONS}
    assign(settings, assignments)
    return job(settings, {name: f"{path} [{name}]" for name in SECTIONS})


def _warn(line: str) -> None:
    print(f"note: {line}", file=sys.stderr)


@dataclass(frozen=True, slots=True)
class Result:
    """What a job made."""

    folder: Path
    rows: int
    planned: int
    rejected: dict[str, int]

    @property
    def partial(self) -> bool:
        """Whether rows are missing."""
        return self.rows_made < self.planned

    @property
    def rows_made(self) -> int:
        """Rows made before filters."""
        return self.planned - sum(self.rejected.values())


async def execute(job: Job, watch: Callable[[Run], Any] | None = None) -> Result:
    """Do the whole job, or what is left of it.

    Raises:
        DatagenError: see ``errors``; what was answered is kept and the same job goes on from there.
    """
    done = _whole(job)
    if done is not None:
        return done
    price = price_of(job.model)
    if job.run.max_cost is not None and price is None:
        raise ConfigError(
            f"--max-cost needs the price of {job.model.model}: give --price-in and --price-out "
            "(dollars per million tokens)"
        )
    llm = await open_llm(job.model)
    try:
        async with Run.open(
            job.folder, job.run, llm, identity=_identity(job, llm.model), price=price, watch=watch
        ) as run:
            (job.folder / "manifest.json").unlink(missing_ok=True)
            run.metrics.about = {"generator": "skillmix", "engine": job.model.resolved_engine()}
            write_atomic(job.folder / "config.json", json.dumps(job.as_dict(), indent=1).encode())
            await skillmix.generate(run, job.skillmix)
            return await _finish(run, job)
    finally:
        await llm.close()


def _identity(job: Job, model: str) -> dict[str, Any]:
    """What the rows depend on: all settings of the generator but the sizes, with files by their
    content."""
    config = job.skillmix.model_dump(mode="json", exclude={"n", "heldout", "prompts"})
    for name in ("topics", "skills", "query_types", "from_dataset"):
        if config[name] is not None:
            config[name] = hashlib.sha256(Path(config[name]).read_bytes()).hexdigest()[:16]
    hashes = {name: load("skillmix", name, job.skillmix.prompts).hash for name in skillmix.PROMPTS}
    return {"generator": "skillmix", "skillmix": config, "model": model, "prompts": hashes}


def _whole(job: Job) -> Result | None:
    """The result of a run that is whole and was made with just these settings."""
    try:
        manifest = json.loads((job.folder / "manifest.json").read_text())
        same = (
            manifest["config"] == hashlib.sha256(canonical(_comparable(job)).encode()).hexdigest()
        )
        there = all((job.folder / name).exists() for name in manifest["files"])
        if not (same and there):
            return None
        return Result(job.folder, manifest["rows"], manifest["planned"], manifest["rejected"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _comparable(job: Job) -> dict[str, Any]:
    return {
        "identity": _identity(job, job.model.model or ""),
        "n": job.skillmix.n,
        "seed": job.run.seed,
        "heldout": job.skillmix.heldout,
        "filters": job.filters.model_dump(),
    }


async def _finish(run: Run, job: Job) -> Result:
    """Filters, dataset files, manifest."""
    stages = {stage.name: stage.finished for stage in run.stages}
    rejected = stages["5_rows"].rejected.copy()
    if job.skillmix.heldout:
        rejected.update(stages["5_heldout"].rejected)
    if stages["5_rows"].kept == 0:
        raise RunError(
            f"no row was made: {_most(rejected)}; read {run.folder}/rejected/5_rows.jsonl"
        )
    try:
        return await asyncio.to_thread(_write_dataset, run, job, dict(rejected))
    except OSError as error:
        raise RunError(
            f"cannot write {run.folder / 'dataset'}: {error.strerror}: free some space and run the "
            "same command again, it goes on where it stopped"
        ) from None


def _write_dataset(run: Run, job: Job, rejected: dict[str, int]) -> Result:
    dataset = run.folder / "dataset"
    dataset.mkdir(exist_ok=True)
    for stale in _not_of(job):
        # Left by an earlier run in this folder that had a held-out set or a filter.
        (run.folder / stale).unlink(missing_ok=True)
    if job.skillmix.heldout:
        shutil.copyfile(run.folder / "5_heldout.jsonl", dataset / "heldout.jsonl")
    rows = _filter(run, job, next(s.finished.kept for s in run.stages if s.name == "5_rows"))
    finish_dataset(dataset, _info(run, job, rows))
    run.metrics.complete = True
    run.metrics.write()
    result = Result(run.folder, rows, job.skillmix.n + job.skillmix.heldout, rejected)
    _write_manifest(run.folder, job, result)
    for part in run.folder.glob("blocks/*/*/rows.jsonl"):
        # The journals stay and can make the parts again.
        part.unlink()
    return result


def _not_of(job: Job) -> list[str]:
    """Files that a run of this job does not have."""
    files = []
    if not job.skillmix.heldout:
        files += ["5_heldout.jsonl", "rejected/5_heldout.jsonl"]
        files += ["dataset/heldout.jsonl", "dataset/heldout.parquet"]
    return files if job.filters.dedup != "off" else [*files, "rejected/6_dedup.jsonl"]


def _filter(run: Run, job: Job, made: int) -> int:
    """Write dataset/train.jsonl from 5_rows.jsonl; report what the filter drops, or would drop.
    Rows kept."""
    source, target = run.folder / "5_rows.jsonl", run.folder / "dataset" / "train.jsonl"
    chosen = job.filters.dedup
    if chosen == "off" and made > WOULD_DROP_ROWS:
        shutil.copyfile(source, target)
        return made
    with source.open("rb") as file:
        lines = file.readlines()
    asked = [json.loads(line)["prompt"][-1]["content"] for line in lines]
    name = chosen if chosen != "off" else "rouge_l"
    matches = _matches(name, asked, job.filters.dedup_threshold)
    run.metrics.filters = [
        {
            "name": f"dedup_{name}",
            "before": made,
            "dropped": len(matches),
            "applied": chosen != "off",
        }
    ]
    if chosen == "off":
        shutil.copyfile(source, target)
        return made
    partner = {match.dropped: match for match in matches}
    write_atomic(target, b"".join(line for i, line in enumerate(lines) if i not in partner))
    dropped = [
        {
            "position": _position(lines[i]),
            "reason": f"dedup_{name}",
            "detail": f"similarity {m.score:.3f} to row {json.loads(lines[m.kept])['id']}",
            "text": asked[i],
            "item": json.loads(lines[i]),
        }
        for i, m in sorted(partner.items())
    ]
    if dropped:
        (run.folder / "rejected").mkdir(exist_ok=True)
        run.write("rejected/6_dedup", dropped)
    return made - len(dropped)


def _position(line: bytes) -> int:
    """The plan position of a row."""
    return int(json.loads(json.loads(line)["provenance"])["position"])


def _matches(name: str, texts: list[str], threshold: float | None) -> list[dedup.Match]:
    if name == "exact":
        return dedup.exact(texts)
    if name == "embedding":
        return dedup.by_embedding(texts, threshold or 0.9)
    return dedup.rouge_l(texts, threshold or 0.7)


def _info(run: Run, job: Job, rows: int) -> DatasetInfo:
    """What the dataset card says; nothing of this machine's paths or endpoints."""
    local = {"topics", "skills", "query_types", "from_dataset", "prompts"}
    config = {**job.skillmix.model_dump(mode="json", exclude=local), "seed": job.run.seed}
    flags = {
        f: v
        for f, v in config.items()
        if f != "seed" and v != SkillmixConfig.model_fields[f].default
    }
    command = " ".join(
        [
            "datagen skillmix",
            *(f"--{f.replace('_', '-')} {v}" for f, v in flags.items()),
            f"--seed {job.run.seed}",
        ]
    )
    counts = {"planned": job.skillmix.n, "kept": rows}
    for stage in run.stages:
        counts.update(
            {
                f"rejected in {stage.name}: {r}": n
                for r, n in sorted(stage.finished.rejected.items())
            }
        )
    return DatasetInfo(
        generator="skillmix",
        model=run.llm.model,
        engine=job.model.resolved_engine(),
        title="Instruct-SkillMix instruction data",
        paper="Instruct-SkillMix",
        arxiv="2408.14774",
        summary="Each row was written by a language model that was given a random combination "
        "of skills and a type of request: it invented a request that needs all of them, answered "
        "it, and in the longer conversations criticised and refined both.",
        command=command,
        config=config,
        counts=counts,
        limits=(
            "No person and no second model has checked that the responses are true; names, "
            "numbers and sources may be invented.",
            "Nothing checks that a response really uses its skills.",
            "Random pairs of skills make some requests contrived.",
        ),
    )


def _write_manifest(folder: Path, job: Job, result: Result) -> None:
    files = {
        str(path.relative_to(folder)): _sha256(path)
        for path in sorted((folder / "dataset").iterdir())
        if path.is_file()
    }
    manifest = {
        "generator": "skillmix",
        "rows": result.rows,
        "planned": result.planned,
        "rejected": result.rejected,
        "heldout": job.skillmix.heldout,
        "files": files,
        "config": hashlib.sha256(canonical(_comparable(job)).encode()).hexdigest(),
    }
    write_atomic(folder / "manifest.json", json.dumps(manifest, indent=1).encode())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _most(rejected: Mapping[str, int]) -> str:
    return ", ".join(
        f"{reason} {count}" for reason, count in sorted(rejected.items(), key=lambda r: -r[1])
    )
