"""vLLM in this process: its asynchronous engine, with prefix caching and structured output.

For a GPU, or a CPU through vLLM's CPU build. The model is a Hugging Face folder or name. LoRA
adapters have their place in ``_generate`` (``lora_request``) once the trainer asks for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib.util
import itertools
import os
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datagen.errors import BackendError, ConfigError, Drained, Refused
from datagen.llm import Answer, ModelConfig, Request, Traffic

if TYPE_CHECKING:
    from vllm import RequestOutput

CPU_SPACE_GIB = "2"
"""Key-value cache on a CPU where VLLM_CPU_KVCACHE_SPACE says nothing."""


class VLLM:
    """A vLLM engine of this process. Made by ``VLLM.start``."""

    def __init__(self, model: str, engine: Any, concurrency: int, longest: int) -> None:
        self.model = model
        self.traffic = Traffic(limit=concurrency)
        self._engine, self._longest = engine, longest
        self._places = asyncio.Semaphore(concurrency)
        self._numbers = itertools.count()
        self._draining = False

    @classmethod
    async def start(cls, config: ModelConfig) -> VLLM:
        """Load the model; takes from seconds to minutes.

        Raises:
            ConfigError: vllm is not installed, or no model is named.
            BackendError: vLLM cannot load the model.
        """
        if not config.model:
            raise ConfigError("--engine vllm needs --model: a Hugging Face folder or name")
        if importlib.util.find_spec("vllm") is None:
            raise ConfigError(
                "--engine vllm needs vLLM: pip install 'datagen[vllm]' (its CPU build: see README)"
            )
        os.environ.update(VLLM_NO_USAGE_STATS="1", DO_NOT_TRACK="1")
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", CPU_SPACE_GIB)
        try:
            # Loading blocks for long, but must happen here: the engine belongs to this event loop.
            engine = _engine(config)
            longest = int(engine.model_config.max_model_len)
        except Exception as error:
            # vLLM raises whatever its parts raise (OSError, ValueError, RuntimeError, ...).
            raise BackendError(f"vLLM cannot load {config.model}: {_one_line(error)}") from None
        # Rows carry the model's name, never a path of this machine.
        folder = Path(config.model)
        name = folder.resolve().name if folder.is_dir() else config.model
        return cls(name, engine, config.concurrency, longest)

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
            del engine
            # It sits in reference cycles, and complains if it is freed after the interpreter's end.
            gc.collect()

    async def _answer(self, request: Request) -> Answer:
        prompt = await self._prompt(request)
        room = self._longest - len(prompt)
        if room < 1:
            raise Refused(
                f"a prompt of {len(prompt)} tokens; the model's context is {self._longest}"
            )
        try:
            last = await self._last(self._generate(prompt, request, room))
        except ValueError as error:
            raise Refused(_one_line(error)) from None
        except Exception as error:
            if self._engine is None or self._engine.errored:
                raise BackendError(
                    f"the vLLM engine ended: {_one_line(error)}: run the same command again, it "
                    "goes on where it stopped"
                ) from None
            raise
        return _as_answer(last, len(prompt), request.logprobs)

    async def _prompt(self, request: Request) -> list[int]:
        """Token ids of the conversation by the model's chat template."""
        tokenizer = self._engine.tokenizer
        if tokenizer is None:
            tokenizer = await self._engine.get_tokenizer()
        try:
            text = tokenizer.apply_chat_template(
                request.messages, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:
            # A chat template is the model's own code and raises what it likes.
            raise Refused(
                f"the model's chat template does not take it: {_one_line(error)}"
            ) from None
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _generate(
        self, prompt: list[int], request: Request, room: int
    ) -> AsyncGenerator[RequestOutput, None]:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        schema = StructuredOutputsParams(json=request.schema) if request.schema else None
        params = SamplingParams(
            temperature=1.0 if request.temperature is None else request.temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            max_tokens=min(request.max_tokens or room, room),
            stop=list(request.stop) or None,
            seed=request.seed,
            logprobs=0 if request.logprobs else None,
            structured_outputs=schema,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        number = f"datagen-{next(self._numbers)}"
        outputs: AsyncGenerator[RequestOutput, None] = self._engine.generate(
            {"prompt_token_ids": prompt}, params, number
        )
        return outputs

    @staticmethod
    async def _last(outputs: AsyncGenerator[RequestOutput, None]) -> RequestOutput:
        async with contextlib.aclosing(outputs):
            async for output in outputs:
                last = output
        return last


def _engine(config: ModelConfig) -> Any:
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform
    from vllm.v1.engine.async_llm import AsyncLLM

    options: dict[str, Any] = {
        "model": config.model,
        "enable_prefix_caching": True,
        "trust_remote_code": False,
        "enable_log_requests": False,
        "disable_log_stats": True,
    }
    if current_platform.is_cpu():
        # Compiling takes minutes there and gains little.
        options["enforce_eager"] = True
    return AsyncLLM.from_engine_args(AsyncEngineArgs(**options))


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
