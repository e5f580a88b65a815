"""What the engine costs on top of the model server, beside the plainest script that does the same.

    python benchmarks/overhead.py          2,000 requests, 50 ms server, 256 in flight, 5 times

The two run by turns in processes of their own. CPU and memory are the whole process's, imports and
interpreter included; requests/s is over the job alone: from after the imports to the rows read
back.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs import Done, run_script, running
from machine import conclude

SCRIPTS = ("plain_aiohttp.py", "run_datagen.py")


def figures(done: Done, n: int) -> dict[str, float]:
    """One run in figures."""
    if done.report["rows"] != n:
        raise RuntimeError(f"{done.report['engine']} made {done.report['rows']} rows of {n}")
    job_s = done.report["job_s"]
    return {
        "wall s": done.process.wall_s,
        "import s": done.report["import_s"],
        "job s": job_s,
        "requests/s": n / job_s,
        "CPU ms/request": 1000 * done.process.cpu_s / n,
        "of it job": 1000 * done.report["job_cpu_s"] / n,
        "peak RSS MB": done.process.rss_mb,
        "max in flight": done.stats["max_in_flight"],
    }


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--n", type=int, default=2000)
    p.add_argument("--latency-ms", type=float, default=50)
    p.add_argument("--concurrency", type=int, default=256)
    p.add_argument("--repetitions", type=int, default=5)
    args = p.parse_args()
    runs: dict[str, list[dict[str, float]]] = {script: [] for script in SCRIPTS}
    with TemporaryDirectory() as work:
        for _ in range(args.repetitions):
            for script in SCRIPTS:
                with running(style="canned", latency_ms=args.latency_ms) as server:
                    done = run_script(script, server, Path(work) / "job", args.n, args.concurrency)
                runs[script].append(figures(done, args.n))
    medians: list[dict[str, Any]] = [
        {
            "engine": script.removesuffix(".py").removeprefix("run_").replace("_", " "),
            **{name: statistics.median(run[name] for run in found) for name in found[0]},
        }
        for script, found in runs.items()
    ]
    pairs = zip(runs[SCRIPTS[1]], runs[SCRIPTS[0]], strict=True)
    ratio = statistics.median(ours["requests/s"] / plain["requests/s"] for ours, plain in pairs)
    medians[0]["of plain"], medians[1]["of plain"] = 1.0, ratio
    cpu, rss = medians[1]["CPU ms/request"], medians[1]["peak RSS MB"]
    conclude(
        f"Engine overhead: {args.n} requests, {args.latency_ms:g} ms server, "
        f"{args.concurrency} in flight, medians of {args.repetitions}",
        medians,
        {
            f"requests/s at least 0.7 of plain aiohttp: {ratio:.2f}": ratio >= 0.7,
            f"CPU at most 0.8 ms a request: {cpu:.2f}": cpu <= 0.8,
            f"peak RSS under 120 MB: {rss:.0f}": rss < 120,
        },
    )


if __name__ == "__main__":
    main()
