"""A one-stage generator on datagen's public API, journal on: the runner for benchmarks.

It stands alone, so that it can be copied beside another harness: it takes the arguments that every
engine's runner takes and leaves a report with engine, version, rows, import_s and job_s.
Options: ``turns=N`` asks N times in one conversation; ``timeout=S``, ``block=N`` are datagen's own.
"""

import time

T_START = time.perf_counter()

import argparse  # noqa: E402
import asyncio  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any  # noqa: E402

# datagen imports it when the first request is sent; it belongs to the time that imports take.
import aiohttp  # noqa: E402, F401

import datagen  # noqa: E402
from datagen.llm import ModelConfig, open_llm  # noqa: E402
from datagen.rows import Message  # noqa: E402
from datagen.run import Run, RunConfig, Tools  # noqa: E402

STAGE = "1_answers"


def arguments() -> argparse.Namespace:
    """The arguments of every runner."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--prompts", type=Path, required=True, help="JSONL: id and prompt")
    p.add_argument("--out", type=Path, required=True, help="folder of the run")
    p.add_argument("--base-url", required=True)
    p.add_argument("--model", default="mock-model")
    p.add_argument("--concurrency", type=int, default=256)
    p.add_argument("--max-tokens", type=int, default=512)
    p.add_argument("--report", type=Path, required=True)
    p.add_argument("--option", action="append", default=[], metavar="KEY=VALUE")
    args = p.parse_args()
    args.option = dict(option.split("=", 1) for option in args.option)
    return args


async def generate(args: argparse.Namespace) -> dict[str, Any]:
    """Every prompt answered and on disk; what to report."""
    items = [json.loads(line) for line in args.prompts.read_text().splitlines()]
    turns = int(args.option.get("turns", 1))

    async def answer(item: dict[str, Any], tools: Tools) -> list[dict[str, Any]]:
        messages: list[Message] = [{"role": "user", "content": item["prompt"]}]
        for turn in range(turns):
            reply = await tools.ask(messages, temperature=0.7, max_tokens=args.max_tokens)
            improve = f"[[id:{item['id']}]] Improve it (turn {turn + 2})."
            messages += [
                {"role": "assistant", "content": reply.text},
                {"role": "user", "content": improve},
            ]
        return [{**item, "response": reply.text}]

    llm = await open_llm(
        ModelConfig(
            model=args.model,
            base_url=(args.base_url,),
            concurrency=args.concurrency,
            timeout=float(args.option.get("timeout", 600)),
        )
    )
    config = RunConfig(block=int(args.option.get("block", RunConfig().block)))
    try:
        async with Run.open(args.out / "run", config, llm) as run:
            counts = await run.stage(STAGE, items, answer)
            ids = [row["id"] for row in run.read(STAGE)]
    finally:
        await llm.close()
    return {
        "rows": len(ids),
        "unique_ids": len(set(ids)),
        "requests": counts.requests,
        "rejected": dict(counts.rejected),
        "faults": dict(llm.traffic.faults),
    }


def main() -> None:
    """Run the job and write the report."""
    args = arguments()
    ready, cpu = time.perf_counter(), time.process_time()
    report = asyncio.run(generate(args))
    args.report.write_text(
        json.dumps(
            {
                "engine": "datagen",
                "version": datagen.__version__,
                "import_s": ready - T_START,
                "job_s": time.perf_counter() - ready,
                "job_cpu_s": time.process_time() - cpu,
                **report,
            }
        )
    )


if __name__ == "__main__":
    main()
