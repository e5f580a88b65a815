"""The embedded default: a small instruct model on the CPU; no key, no GPU, no server to set up.

llama.cpp (through xllamacpp) answers in a child process, on a loopback port behind a key made for
this run, and is asked through ``OpenAILLM``: the same code path as any other endpoint. A seed gives
the same text alone and beside other short prompts; with long prompts llama.cpp's reuse of cached
prefixes moves the last bits, and sampled texts may differ.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import re
import secrets
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import IO

from datagen.errors import BackendError, ConfigError
from datagen.llm import Answer, ModelConfig, Request
from datagen.llm.model_files import MODEL_NAME, environment_without_keys, find_model
from datagen.llm.openai import OpenAILLM

FEWEST_SLOTS, MOST_SLOTS = 4, 8
"""Conversations at once, two for each core. Measured on 2 cores: 4 give 142 tokens/s, 8 give 146,
16 give 127, one alone 106; each slot reads a shared prompt for itself and costs memory."""
CONTEXT = 8192
"""Tokens a conversation may hold; what the embedded model was trained for. 190 MB a slot."""
PENALTY = 0.8
"""Strength of the penalties on repetition; a GGUF file of the user's own has none."""
SPIN = "100"
"""Turns a waiting llama.cpp thread spins before it sleeps; see ``_environment``."""


class LocalLLM:
    """A llama.cpp child process and the client that asks it."""

    def __init__(self, process: Process, log: IO[bytes], client: OpenAILLM) -> None:
        self.model = client.model
        self.traffic = client.traffic
        self._client, self._process, self._log = client, process, log
        self._ended = asyncio.ensure_future(process.wait())

    async def answer(self, request: Request) -> Answer:
        """See ``LLM.answer``."""
        asking = asyncio.ensure_future(self._client.answer(request))
        try:
            await asyncio.wait({asking, self._ended}, return_when=asyncio.FIRST_COMPLETED)
            if not asking.done():
                raise BackendError(
                    f"the embedded model's process ended: {_last_words(self._process, self._log)}; "
                    "run the same command again, it goes on where it stopped"
                )
            return await asking
        finally:
            asking.cancel()

    def drain(self) -> None:
        """See ``LLM.drain``."""
        self._client.drain()

    async def close(self) -> None:
        """End the child process; idempotent."""
        await self._client.close()
        await _end(self._process)
        await self._ended
        self._log.close()


async def start_local(config: ModelConfig) -> LocalLLM:
    """The embedded model, or the GGUF file that ``config.model`` names, ready to answer.

    Raises:
        ConfigError: xllamacpp or the model's file is missing.
        BackendError: llama.cpp cannot load the file.
    """
    gguf = _gguf(config)
    name = gguf.stem if config.model else MODEL_NAME
    slots, key = _slots(config), secrets.token_hex(32)
    settings = {
        "gguf": str(gguf),
        "name": name,
        "slots": slots,
        "context": CONTEXT,
        "key": key,
        "penalty": 0.0 if config.model else PENALTY,
    }
    log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the model)
    process = await asyncio.create_subprocess_exec(
        # -P: this folder holds openai.py and vllm.py, which must not hide those packages.
        sys.executable,
        "-P",
        str(Path(__file__).with_name("local_server.py")),
        stdin=PIPE,
        stdout=PIPE,
        stderr=log,
        env=_environment(),
        start_new_session=True,
    )  # Ctrl-C is the caller's to handle
    try:
        address = await _address(process, settings)
        if not address:
            await process.wait()
            raise BackendError(f"llama.cpp cannot serve {gguf}: {_last_words(process, log)}")
    except BaseException:
        await _end(process)
        log.close()
        raise
    client = OpenAILLM(
        name, [f"{address}/v1"], key, slots, config.timeout, config.patience, config.structured
    )
    return LocalLLM(process, log, client)


def _slots(config: ModelConfig) -> int:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    return min(config.concurrency, max(FEWEST_SLOTS, min(2 * cores, MOST_SLOTS)))


def _gguf(config: ModelConfig) -> Path:
    """The file to serve."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise ConfigError(
            "the embedded model needs xllamacpp: pip install 'datagen[local]', or give --base-url"
        )
    if config.model in (None, MODEL_NAME):
        path = find_model()
        if path is None:
            raise ConfigError(
                "the embedded model's file is not here: run `datagen model pull` once (93 MB), "
                "or give --base-url"
            )
        return path
    path = Path(config.model).expanduser()
    if not path.is_file():
        raise ConfigError(
            f"--model {config.model}: --engine local takes a GGUF file, and there is none here"
        )
    return path.resolve()


def _environment() -> dict[str, str]:
    """The child's environment: no keys, and OpenMP threads that soon sleep when they wait.

    By default they spin for milliseconds. Measured on 2 cores, 8 conversations, tokens/s: 64 to 82
    by default, 157 so; beside one busy process 12 to 49 by default, 44 so.
    """
    environment = environment_without_keys()
    environment["GGML_NO_BACKTRACE"] = "1"  # it would run gdb on a crash
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN)
    return environment


async def _address(process: Process, settings: dict[str, object]) -> str:
    """The server's URL, once the model is loaded; empty when the process ended instead."""
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        await process.stdin.drain()
    except ConnectionError:
        return ""
    return (await process.stdout.readline()).decode().strip()


async def _end(process: Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


def _last_words(process: Process, log: IO[bytes]) -> str:
    """Why the process ended, in one line: its first error, else its last line, else the signal."""
    log.seek(0)
    lines = [
        line.strip() for line in log.read().decode("utf-8", "replace").splitlines() if line.strip()
    ]
    errors = [found[1] for line in lines if (found := re.match(r"[\d.]+ E (.*)", line))]
    code = process.returncode
    status = f"signal {-code}" if code is not None and code < 0 else f"exit status {code}"
    return " ".join((errors[:1] or lines[-1:] or [status])[0].split())[:300]
