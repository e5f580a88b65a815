"""A server that takes 40 requests a second and answers 429 with Retry-After above that.

The ideal time is (n - 40) / 40 seconds and one round trip: the server's token bucket starts full
with one second's worth.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

from jobs import run_script, running
from machine import conclude


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=1000)
    p.add_argument("--rate", type=float, default=40)
    p.add_argument("--latency-ms", type=float, default=50)
    p.add_argument("--concurrency", type=int, default=256)
    args = p.parse_args()
    with (
        TemporaryDirectory() as work,
        running(style="canned", latency_ms=args.latency_ms, rate_limit=args.rate) as server,
    ):
        done = run_script("run_datagen.py", server, Path(work) / "job", args.n, args.concurrency)
    ideal = (args.n - args.rate) / args.rate + args.latency_ms / 1000
    rejections, slower = done.stats["rejected"].get("rate_limit", 0), done.report["job_s"] / ideal
    row = {
        "requests": args.n,
        "rows": done.report["rows"],
        "job s": done.report["job_s"],
        "ideal s": ideal,
        "of ideal": slower,
        "rejections": rejections,
        "connections": done.stats["connections"],
    }
    conclude(
        f"Rate limit: {args.rate:g} requests/s",
        [row],
        {
            "every row made": done.report["rows"] == args.n,
            f"within 1.15x of the ideal time: {slower:.2f}": slower <= 1.15,
            f"fewer than 200 rejections: {rejections}": rejections < 200,
        },
    )


if __name__ == "__main__":
    main()
