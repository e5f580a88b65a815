"""Nine kinds of faults at 5 % each: everything a server, a proxy or a network does to a client.

The dataset must be the one that a faultless server gives, byte for byte, and the run's own count of
faults must be the server's.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from jobs import metrics, positions, running, skillmix
from machine import conclude, measure

KINDS = {
    "http_429": "http_429",
    "http_429_retry": "http_429",
    "http_500": "http_500",
    "http_503": "http_503",
    "stall": "timeout",
    "cut": "connection",
    "truncated_json": "bad_json",
    "wrong_json": "wrong_json",
    "empty_choices": "empty_choices",
}
"""The server's name of a fault -> the name that the run counts it under."""


def run(work: Path, name: str, args: argparse.Namespace, share: float) -> dict[str, Any]:
    """One run of skillmix: what came out, and the faults that server and run counted."""
    out = work / name / "run"
    faults = dict.fromkeys(KINDS, share) if share else {}
    with running(latency_ms=20, fault=faults) as server:
        command = skillmix(
            server, out, n=args.n, turns=3, concurrency=args.concurrency, timeout=args.timeout
        )
        process = measure(command, work / "log.txt")
        stats = server.stats()
    sent = Counter[str]()
    for kind, count in stats["rejected"].items():
        sent[KINDS[kind]] += count
    return {
        "exit": process.exit,
        "wall_s": process.wall_s,
        "requests": stats["received"],
        "positions": positions(out),
        "sent": sent,
        "counted": Counter(metrics(out)["faults"]),
        "bytes": (out / "dataset" / "train.jsonl").read_bytes(),
    }


def main() -> None:
    """Measure, print, judge."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--n", type=int, default=1000)
    p.add_argument("--share", type=float, default=0.05, help="of each of the nine kinds")
    p.add_argument("--concurrency", type=int, default=64)
    p.add_argument("--timeout", type=float, default=2, help="seconds a stalled request may take")
    args = p.parse_args()
    with tempfile.TemporaryDirectory() as work:
        calm, rough = (run(Path(work), f"share{s}", args, s) for s in (0.0, args.share))
    rows = [
        {
            "fault": kind,
            "sent by the server": rough["sent"][kind],
            "counted by the run": rough["counted"][kind],
        }
        for kind in dict.fromkeys(KINDS.values())
    ]
    places = rough["positions"]
    print(
        f"\n{args.n} rows: {rough['requests']} requests in {rough['wall_s']:.1f} s "
        f"(without faults {calm['requests']} in {calm['wall_s']:.1f} s)"
    )
    conclude(
        f"Faults: nine kinds at {args.share:.0%} each",
        rows,
        {
            f"all rows made: {len(places)}": len(places) == args.n and rough["exit"] == 0,
            "none lost or doubled": sorted(places) == list(range(args.n)),
            "the dataset of a faultless server, byte for byte": rough["bytes"] == calm["bytes"],
            "every fault counted": rough["sent"] == rough["counted"],
        },
    )


if __name__ == "__main__":
    main()
