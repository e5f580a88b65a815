"""The floor: the job of ``run_datagen.py`` with nothing but aiohttp workers and a JSONL file."""

import time

T_START = time.perf_counter()

import argparse  # noqa: E402
import asyncio  # noqa: E402
import json  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import Any, TextIO  # noqa: E402

import aiohttp  # noqa: E402


def arguments() -> argparse.Namespace:
    """The arguments of every runner."""
    p = argparse.ArgumentParser(description=__doc__)
    for name in ("--prompts", "--out", "--report"):
        p.add_argument(name, type=Path, required=True)
    p.add_argument("--base-url", required=True)
    p.add_argument("--concurrency", type=int, default=256)
    return p.parse_args()


async def generate(args: argparse.Namespace, out: TextIO) -> None:
    """Post every prompt; append each answer to the file as it comes."""
    items = iter([json.loads(line) for line in args.prompts.read_text().splitlines()])
    url = f"{args.base_url}/chat/completions"

    async def work(session: aiohttp.ClientSession) -> None:
        for item in items:
            body: dict[str, Any] = {
                "model": "mock-model",
                "temperature": 0.7,
                "max_tokens": 512,
                "messages": [{"role": "user", "content": item["prompt"]}],
            }
            async with session.post(url, json=body) as response:
                response.raise_for_status()
                reply = await response.json()
            item["response"] = reply["choices"][0]["message"]["content"]
            out.write(json.dumps(item) + "\n")

    connector = aiohttp.TCPConnector(limit=args.concurrency)
    async with aiohttp.ClientSession(connector=connector) as session:
        await asyncio.gather(*(work(session) for _ in range(args.concurrency)))


def main() -> None:
    """Run the job and write the report."""
    args = arguments()
    ready, cpu = time.perf_counter(), time.process_time()
    path = args.out / "results.jsonl"
    with path.open("a", buffering=1) as out:
        asyncio.run(generate(args, out))
    rows = len(path.read_text().splitlines())
    args.report.write_text(
        json.dumps(
            {
                "engine": "plain aiohttp",
                "version": aiohttp.__version__,
                "rows": rows,
                "import_s": ready - T_START,
                "job_s": time.perf_counter() - ready,
                "job_cpu_s": time.process_time() - cpu,
            }
        )
    )


if __name__ == "__main__":
    main()
