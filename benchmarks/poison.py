"""Prompts that the server always answers 400, as a content filter or an over-long context does.

Twice: ten of 2,000 prompts chosen by their ids through the Python API, and the same share chosen by
hash through ``datagen skillmix``, whose exit code and rejected file a user sees.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

from jobs import run_script, running, skillmix
from machine import conclude, measure

WORDS = "refused by the content filter"
"""A part of the mock server's message."""


def refused(file: Path) -> int:
    """How many rejected lines carry the server's own words."""
    if not file.exists():
        return 0
    return sum(WORDS in json.loads(line)["detail"] for line in file.read_text().splitlines())


def through_api(work: Path, n: int, every: int) -> dict[str, Any]:
    """The one-stage job of ``run_datagen.py``."""
    with running(style="canned", latency_ms=20, bad_every=every) as server:
        done = run_script("run_datagen.py", server, work / "api", n)
    return {
        "job": "one stage",
        "prompts": n,
        "bad": n // every,
        "rows": done.report["rows"],
        "requests": done.stats["received"],
        "in rejected/": refused(work / "api" / "run" / "rejected" / "1_answers.jsonl"),
        "exit": "-",
    }


def through_cli(work: Path, n: int, every: int) -> dict[str, Any]:
    """``datagen skillmix`` with one turn; bad is what the server counted."""
    out = work / "cli" / "run"
    with running(latency_ms=20, bad_every=every) as server:
        command = skillmix(server, out, n=n, turns=1)
        process = measure(command, work / "log.txt")
        stats = server.stats()
    rows = len((out / "5_rows.jsonl").read_text().splitlines())
    return {
        "job": "skillmix --turns 1",
        "prompts": n,
        "bad": stats["unique_bad"],
        "rows": rows,
        "requests": stats["received"],
        "in rejected/": refused(out / "rejected" / "5_rows.jsonl"),
        "exit": process.exit,
    }


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=2000)
    p.add_argument("--every", type=int, default=200)
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as work:
        rows = [run(Path(work), args.n, args.every) for run in (through_api, through_cli)]
    conclude(
        f"Poison: one prompt in {args.every} always answers 400",
        rows,
        {
            "rows = prompts - bad": all(r["rows"] == r["prompts"] - r["bad"] for r in rows),
            "one request a prompt": all(r["requests"] == r["prompts"] for r in rows),
            "the bad ones are in rejected/ with the server's words": all(
                r["in rejected/"] == r["bad"] for r in rows
            ),
            "exit code 3": rows[1]["exit"] == (3 if rows[1]["bad"] else 0),
        },
    )


if __name__ == "__main__":
    main()
