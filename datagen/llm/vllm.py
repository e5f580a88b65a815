"""vLLM in this process: its asynchronous engine, with prefix caching and structured output.

For a GPU, or a CPU through vLLM's CPU build. The model is a Hugging Face folder or name. vLLM's own
engine arguments can be given as JSON in $DATAGEN_VLLM_ARGS, such as
``{"tensor_parallel_size": 2, "max_model_len": 8192}``.
https://docs.vllm.ai/en/latest/configuration/engine_args.html
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import importlib.util
import inspect
import itertools
import json
import multiprocessing
import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import BackendError, ConfigError, Drained, Refused
from datagen.llm import Answer, ModelConfig, Request, Traffic
from datagen.llm.children import Warden, own_interrupts

if TYPE_CHECKING:
    from vllm import RequestOutput

ARGUMENTS = "DATAGEN_VLLM_ARGS"
SETTINGS = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_CPU_KVCACHE_SPACE": "2",
}
"""Environment variables that vLLM reads, where the user has not set them; the last in GiB."""
ABOUT_SCHEMA = re.compile(r"schema|grammar|structured|json", re.I)
DEATH_S = 0.5
"""A Ctrl-C reaches the engine's process too: how long to wait for the run's own ``drain``."""


class VLLM:
    """A vLLM engine of this process. Made by ``VLLM.start``."""

    def __init__(self, model: str, engine: Any, tokenizer: Any, config: ModelConfig) -> None:
        self.model = model
        self.traffic = Traffic(limit=config.concurrency)
        self.lora: Any = None
        """A ``vllm.lora.request.LoRARequest`` that every answer is made with, or None."""
        self._engine, self._tokenizer = engine, tokenizer
        self._longest = int(engine.model_config.max_model_len)
        self._defaults: dict[str, Any] = engine.model_config.get_diff_sampling_param()
        self._structured = config.structured
        self._places = asyncio.Semaphore(config.concurrency)
        self._numbers = itertools.count()
        self._draining = False
        self._warden: Warden | None = None

    @classmethod
    async def start(cls, config: ModelConfig) -> VLLM:
        """Load the model; takes from seconds to minutes.

        Raises:
            ConfigError: vllm is not installed or not for this machine, no model is named, or it is
                not a chat model.
            BackendError: vLLM cannot load the model.
        """
        if not config.model:
            raise ConfigError("--engine vllm needs --model: a Hugging Face folder or name")
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                "--engine vllm needs vLLM: pip install 'datagen[vllm]' (its CPU build: see README)"
            )
        own = _arguments()
        os.environ.update(VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
        for name, value in SETTINGS.items():
            os.environ.setdefault(name, value)
        try:
            # Loading blocks for long, but must happen here: the engine belongs to this event loop.
            with own_interrupts():
                engine = _engine(config.model, own)
        except ConfigError:
            raise
        except Exception as error:
            # vLLM raises whatever its parts raise (OSError, ValueError, RuntimeError, ...).
            raise BackendError(f"vLLM cannot load {config.model}: {_one_line(error)}") from None
        # Rows carry the model's name, never a path of this machine.
        folder = Path(config.model)
        name = folder.resolve().name if folder.is_dir() else config.model
        llm = cls(name, engine, await _tokenizer(engine), config)
        llm._warden = Warden(c.pid for c in multiprocessing.active_children() if c.pid)
        # A failed import inside vLLM keeps this frame; close() could not free what it names.
        del engine
        try:
            llm._prompt(Request(name, [{"role": "user", "content": "Hello"}]))
        except Refused as error:
            await llm.close()
            raise ConfigError(f"--model {config.model} is no chat model: {error}") from None
        return llm

    async def answer(self, request: Request) -> Answer:
        """See ``LLM.answer``."""
        async with self._places:
            if self._draining:
                raise Drained("not sent: the run is stopping")
            self.traffic.sent += 1
            self.traffic.in_flight += 1
            try:
                return await self._answer(request)
            finally:
                self.traffic.in_flight -= 1

    def drain(self) -> None:
        """Let the running generations finish; whatever still waits raises ``Drained``."""
        self._draining = True

    async def close(self) -> None:
        """End the engine and free its memory; idempotent."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.shutdown()
            if self._warden is not None:
                self._warden.dismiss()
            del engine
            await asyncio.sleep(0)  # its cancelled task lets go of it
            # It sits in reference cycles, and complains if it is freed after the interpreter's end.
            gc.collect()

    async def _answer(self, request: Request) -> Answer:
        prompt = self._prompt(request)
        room = self._longest - len(prompt)
        if room < 1:
            raise Refused(
                f"a prompt of {len(prompt)} tokens; the model's context is {self._longest}"
            )
        try:
            last = await self._last(self._generate(prompt, request, room))
        except Exception as error:
            # Many kinds: vLLM has its own for bad requests, other versions raise ValueError.
            if self._engine is not None and not self._engine.errored:
                return await self._without_schema(request, _one_line(error.__cause__ or error))
            await asyncio.sleep(DEATH_S)
            if self._draining:
                raise Drained("not answered: the run is stopping, and the engine with it") from None
            raise BackendError(
                f"the vLLM engine ended ({_one_line(error)}): its last words are above; run the "
                "same command again, it goes on where it stopped"
            ) from None
        return _as_answer(last, len(prompt), request.logprobs)

    async def _without_schema(self, request: Request, words: str) -> Answer:
        """Asked again where the schema may be at fault and can be left to parse-and-retry."""
        if self._structured != "auto" or not request.schema or not ABOUT_SCHEMA.search(words):
            raise Refused(words)
        notice = "vLLM does not take a JSON schema, it is left out there"
        if notice not in self.traffic.notices:
            self.traffic.notices.append(notice)
        return await self._answer(dataclasses.replace(request, schema=None))

    def _prompt(self, request: Request) -> list[int]:
        """Token ids of the conversation by the model's chat template."""
        try:
            text = self._tokenizer.apply_chat_template(
                request.messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            # A chat template is the model's own code and raises what it likes.
            raise Refused(
                f"the model's chat template does not take it: {_one_line(error)}"
            ) from None
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _generate(
        self, prompt: list[int], request: Request, room: int
    ) -> AsyncGenerator[RequestOutput, None]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        asked = {
            "temperature": request.temperature,
            "top_p": request.top_p,
            "max_tokens": request.max_tokens,
            "stop": list(request.stop) or None,
            "seed": request.seed,
        }
        given = {name: value for name, value in asked.items() if value is not None}
        # What the request leaves open is the model's generation_config.json, as vllm serve has it.
        settings = {**self._defaults, **given}
        settings["max_tokens"] = min(settings.get("max_tokens") or room, room)
        if request.logprobs:
            settings["logprobs"] = 0
        if request.schema is not None and self._structured != "prompt":
            settings["structured_outputs"] = StructuredOutputsParams(json=request.schema)
        params = SamplingParams(**settings, output_kind=RequestOutputKind.FINAL_ONLY)
        outputs: AsyncGenerator[RequestOutput, None] = self._engine.generate(
            {"prompt_token_ids": prompt},
            params,
            f"datagen-{next(self._numbers)}",
            lora_request=self.lora,
        )
        return outputs

    @staticmethod
    async def _last(outputs: AsyncGenerator[RequestOutput, None]) -> RequestOutput:
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                last = output
        return last


def _arguments() -> dict[str, Any]:
    """The user's own engine arguments, from the environment."""
    try:
        own = json.loads(os.environ.get(ARGUMENTS) or "{}")
    except json.JSONDecodeError as error:
        raise ConfigError(f"{ARGUMENTS} is not JSON: {error}") from None
    if not isinstance(own, dict):
        raise ConfigError(f'{ARGUMENTS} must be a JSON object such as {{"max_model_len": 8192}}')
    if own.get("trust_remote_code"):
        raise ConfigError(f"{ARGUMENTS}: trust_remote_code would run the model folder's own code")
    return own


def _engine(model: str, own: dict[str, Any]) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    if current_platform.is_unspecified():
        raise ConfigError(
            "this vLLM finds no GPU: install its CPU build (README, Install), or give --base-url"
        )
    known = {field.name for field in dataclasses.fields(AsyncEngineArgs)}
    if unknown := sorted(own.keys() - known):
        raise ConfigError(f"{ARGUMENTS}: vLLM has no engine argument {unknown[0]!r}")
    ours = {
        "enable_prefix_caching": True,
        "enable_log_requests": False,
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        # Compiling takes minutes on a CPU and gains little.
        "enforce_eager": current_platform.is_cpu(),
    }
    options = {name: value for name, value in ours.items() if name in known}
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**{**options, **own, "model": model}))


async def _tokenizer(engine: Any) -> Any:
    """The model's tokenizer; asking for it is asynchronous in older versions."""
    found = engine.get_tokenizer()
    return await found if inspect.isawaitable(found) else found


def _as_answer(output: RequestOutput, prompt_tokens: int, with_logprobs: bool) -> Answer:
    made = output.outputs[0]
    ids = tuple(made.token_ids)
    logprobs = None
    if with_logprobs and made.logprobs is not None:
        logprobs = tuple(at[token].logprob for at, token in zip(made.logprobs, ids, strict=True))
    text = made.text.encode("utf-8", "replace").decode()
    return Answer(text, made.finish_reason or "stop", prompt_tokens, len(ids), ids, logprobs)


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
