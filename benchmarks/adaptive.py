"""A server that rejects whatever comes above 64 in flight, met by a client that may send 256.

Settled is the second half of the run: the level is the mean number in flight after each arrival
that the server took. The best throughput is that of the same client told the limit beforehand.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jobs import Done, run_script, running
from machine import conclude


def figures(name: str, done: Done, n: int) -> dict[str, Any]:
    """One run in figures."""
    half = (done.stats["first"] + done.stats["last"]) / 2
    levels = [level for at, level in done.stats["series"] if at >= half]
    return {
        "client": name,
        "rows": done.report["rows"],
        "job s": done.report["job_s"],
        "requests/s": n / done.report["job_s"],
        "settled level": statistics.fmean(levels),
        "rejections": done.stats["rejected"].get("over_in_flight", 0),
    }


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=6000)
    p.add_argument("--max-in-flight", type=int, default=64)
    p.add_argument("--latency-ms", type=float, default=200)
    p.add_argument("--concurrency", type=int, default=256)
    args = p.parse_args()
    rows, limit = [], args.max_in_flight
    with TemporaryDirectory() as work:
        for name, concurrency in (("told the limit", limit), ("finds it", args.concurrency)):
            with running(
                style="canned", latency_ms=args.latency_ms, latency_spread=0.3, max_in_flight=limit
            ) as server:
                done = run_script(
                    "run_datagen.py", server, Path(work) / "job", args.n, concurrency, limit
                )
            rows.append(figures(name, done, args.n))
    best, found = rows
    share, level = found["requests/s"] / best["requests/s"], found["settled level"]
    conclude(
        f"Adaptive concurrency: rejects above {limit} in flight",
        rows,
        {
            "every row made": found["rows"] == args.n,
            f"settles within 10% of {limit}: {level:.1f}": abs(level - limit) <= 0.1 * limit,
            f"at least 90% of the best throughput: {share:.2f}": share >= 0.9,
        },
    )


if __name__ == "__main__":
    main()
