"""How full the endpoint is kept: conversations of three turns whose answers take unevenly long.

A request ran at the limit when the number in flight, as the server sees it, met the concurrency
limit while it was being served. The mean in flight is over the time the server was busy.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from jobs import running, skillmix
from machine import conclude, measure


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=4000)
    p.add_argument("--turns", type=int, default=3)
    p.add_argument("--latency-ms", type=float, default=500)
    p.add_argument("--spread", type=float, default=0.5, help="sigma of the lognormal latencies")
    p.add_argument("--concurrency", type=int, default=256)
    args = p.parse_args()
    with (
        tempfile.TemporaryDirectory() as work,
        running(latency_ms=args.latency_ms, latency_spread=args.spread) as server,
    ):
        command = skillmix(
            server, Path(work) / "run", n=args.n, turns=args.turns, concurrency=args.concurrency
        )
        process = measure(command, Path(work) / "log.txt")
        stats = server.stats(limit=args.concurrency)
    share = stats["at_limit_share"]
    row = {
        "requests": stats["received"],
        "wall s": process.wall_s,
        "server window s": stats["window_s"],
        "ran at the limit": share,
        "time at the limit": stats["time_at_limit_share"],
        "mean in flight": stats["mean_in_flight"],
        "most in flight": stats["max_in_flight"],
    }
    conclude(
        f"In flight: {args.n} conversations of {args.turns} turns, {args.latency_ms:g} ms "
        f"with sigma {args.spread:g}, limit {args.concurrency}",
        [row],
        {
            "finished": process.exit == 0,
            f"at the limit for 95% of the requests: {share:.3f}": share >= 0.95,
        },
    )


if __name__ == "__main__":
    main()
