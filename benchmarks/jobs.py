"""The jobs that benchmarks run: a prompt file through a runner, and ``datagen skillmix``."""

from __future__ import annotations

import itertools
import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import Measured, measure

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from mock_server import Running, running  # noqa: E402
from mock_teacher import WORDS  # noqa: E402

DATAGEN = str(Path(sys.executable).with_name("datagen"))
"""The command beside this interpreter."""
SUBJECTS = ("tides", "bread", "contracts", "recursion", "vaccines", "jazz", "volcanoes", "chess")


@dataclass(frozen=True)
class Done:
    """One finished job: what the process cost, what its runner reported, what the server saw."""

    process: Measured
    report: dict[str, Any]
    stats: dict[str, Any]


def write_prompts(path: Path, n: int) -> Path:
    """``n`` one-turn prompts with the ids that the mock server counts by."""
    with path.open("w") as file:
        for i in range(n):
            subject = SUBJECTS[i % len(SUBJECTS)]
            text = (
                f"[[id:{i:06d}]] Tell a beginner one useful thing about {subject} in some 150 "
                f"words, with an example and a frequent mistake (number {i})."
            )
            file.write(json.dumps({"id": f"{i:06d}", "prompt": text}) + "\n")
    return path


def run_script(
    script: str,
    server: Running,
    folder: Path,
    n: int,
    concurrency: int = 256,
    limit: int = 0,
    **option: Any,
) -> Done:
    """A runner beside this file, against ``server``, in a fresh folder.

    Raises:
        RuntimeError: it failed; the message ends with its last words.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    server.reset()
    report, log = folder / "report.json", folder / "log.txt"
    prompts = write_prompts(folder / "prompts.jsonl", n)
    command = [
        sys.executable,
        str(HERE / script),
        "--prompts",
        str(prompts),
        "--out",
        str(folder),
        "--base-url",
        server.url,
        "--concurrency",
        str(concurrency),
        "--report",
        str(report),
    ]
    for name, value in option.items():
        command += ["--option", f"{name}={value}"]
    process = measure(command, log)
    if not report.exists():
        raise RuntimeError(f"{script} ended with {process.exit}: {last_words(log)}")
    stats = server.stats(limit=limit, series=limit > 0)
    return Done(process, json.loads(report.read_text()), stats)


def last_words(log: Path) -> str:
    """The end of a log, on one line."""
    return " ".join(log.read_text(errors="replace").split())[-600:]


def write_inventory(folder: Path, skills: int = 5000) -> tuple[Path, Path]:
    """A skill file and a query-type file, so that a benchmark measures the rows stage alone.

    There are so many skills that no two rows of 2,000 are likely to have the same conversation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pairs = itertools.islice(itertools.combinations(WORDS, 2), skills)
    names = ["_".join(pair) for pair in pairs]
    (folder / "skills.txt").write_text("\n".join(names) + "\n")
    kinds = [
        {
            "name": name,
            "definition": f"A query that asks for {name.lower()}.",
            "examples": ["What is it?", "How is it done?"],
        }
        for name in ("Information", "Help", "Planning", "Comparison")
    ]
    (folder / "query_types.jsonl").write_text("".join(json.dumps(kind) + "\n" for kind in kinds))
    return folder / "skills.txt", folder / "query_types.jsonl"


def write_script(path: Path) -> Path:
    """A scripted model that gives every opening the same instruction and response."""
    text = f"### Instruction: {' '.join(WORDS[:30])}?\n### Response: {' '.join(WORDS[30:130])}."
    path.write_text(json.dumps({"match": "### Instruction", "answers": [text]}) + "\n")
    return path


def skillmix(server: Running | None, out: Path, **flags: Any) -> list[str]:
    """The command line of ``datagen skillmix`` with skills given; its files lie beside ``out``.

    ``max_cost=1`` is ``--max-cost 1``. Without a server the model is a script in the same process.
    """
    skills, types = write_inventory(out.parent)
    model = (
        {"base-url": server.url, "model": "mock-model"}
        if server
        else {"engine": "scripted", "model": write_script(out.parent / "script.jsonl")}
    )
    options = {
        "out": out,
        "skills": skills,
        "query-types": types,
        "k": 2,
        "seed": 7,
        **model,
        **flags,
    }
    command = [DATAGEN, "skillmix"]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    return command


def read_rows(run: Path) -> list[dict[str, Any]]:
    """The kept rows of a finished run."""
    return [json.loads(line) for line in (run / "dataset" / "train.jsonl").read_text().splitlines()]


def positions(run: Path) -> list[int]:
    """The plan positions of a finished run's rows, in file order."""
    return [int(json.loads(row["provenance"])["position"]) for row in read_rows(run)]


def metrics(run: Path) -> Mapping[str, Any]:
    """What the run says of itself."""
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


__all__ = [
    "DATAGEN",
    "Done",
    "Running",
    "last_words",
    "metrics",
    "positions",
    "run_script",
    "running",
    "skillmix",
]
