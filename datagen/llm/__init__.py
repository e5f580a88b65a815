"""A model that answers: the protocol every backend implements, and the settings that pick one.

Backends live beside this file: ``openai`` (any OpenAI-compatible endpoint), ``vllm`` (in process),
    ``local`` (the embedded default), ``scripted`` (exact answers, for tests and dry development).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field

from datagen.errors import ConfigError
from datagen.rows import Message, content_hash


@dataclass(frozen=True, slots=True)
class Request:
    """One chat completion to be had. ``None`` leaves a parameter to the server's default."""

    model: str
    messages: list[Message]
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    schema: dict[str, Any] | None = None
    """A JSON schema the answer must satisfy; enforced by the server where it can, else parsed and
    retried."""
    logprobs: bool = False

    def key(self, draw: str = "") -> str:
        """Journal key: 32 hex digits over everything that shapes the answer, and the draw.

        The seed is left out: it is derived from this key (see ``run.tools``).
        """
        return content_hash(
            self.model,
            self.messages,
            self.temperature,
            self.top_p,
            self.max_tokens,
            self.stop,
            self.schema,
            self.logprobs,
            draw,
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model said. ``finish_reason`` is ``stop`` or ``length``, or the server's
    own word."""

    text: str
    finish_reason: str = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    token_ids: tuple[int, ...] | None = None
    logprobs: tuple[float, ...] | None = None


@dataclass(slots=True)
class Traffic:
    """What a backend is doing now and which faults it met; read by progress and report."""

    in_flight: int = 0
    sent: int = 0
    limit: int = 0
    """Requests that may be in flight now; an adaptive backend moves it."""
    faults: Counter[str] = field(default_factory=Counter)
    """Faults survived, by kind: ``http_429``, ``http_500``, ``timeout``, ``connection``,
    ``bad_json``, ..."""
    notices: list[str] = field(default_factory=list)
    """Lines the user should see once, such as a parameter that the server does not take."""


class LLM(Protocol):
    """A served model. ``answer`` may be awaited many times at once; the backend bounds what is in
    flight."""

    model: str
    traffic: Traffic

    async def answer(self, request: Request) -> Answer:
        """The model's answer.

        Raises:
            Refused: the server will never answer this request (its words are the message).
            BackendError: no request can be served (wrong key, unknown model, endpoint gone).
        """
        ...

    def drain(self) -> None:
        """The run is stopping: let what is on the wire finish, refuse (``Drained``) what still
        waits."""
        ...

    async def close(self) -> None:
        """Release sockets, engines and memory; idempotent."""
        ...


class ModelConfig(BaseModel):
    """Which model answers, and how it is reached."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    engine: Literal["auto", "openai", "vllm", "local", "scripted"] = "auto"
    """Backend: auto takes openai when --base-url is given, else local (the embedded demo model)."""
    model: str | None = None
    """Model name as the endpoint knows it, a folder (vllm, local: a GGUF file), or a script
    (scripted)."""
    base_url: tuple[str, ...] = ()
    """OpenAI-compatible endpoint, such as http://127.0.0.1:8000/v1; repeat it to balance over
    several."""
    api_key_env: str = "OPENAI_API_KEY"
    """Environment variable that holds the key."""
    api_key_file: Path | None = None
    """File that holds the key, instead of the environment."""
    concurrency: int = Field(256, ge=1)
    """Most requests in flight; the run finds a lower limit by itself when the server asks for it.
    """
    timeout: float = Field(600.0, gt=0)
    """Seconds to wait for one answer before it is asked again."""
    patience: float = Field(300.0, ge=0)
    """Seconds to keep trying an endpoint that answered before and then went away."""
    structured: Literal["auto", "schema", "prompt"] = "auto"
    """JSON answers: by the server's schema support, by parse-and-retry, or auto (schema, else the
    other)."""
    price_in: float | None = Field(None, ge=0)
    """Dollars per million prompt tokens, over the built-in price table."""
    price_out: float | None = Field(None, ge=0)
    """Dollars per million completion tokens, over the built-in price table."""

    def resolved_engine(self) -> str:
        """The engine that ``auto`` stands for."""
        if self.engine != "auto":
            return self.engine
        return "openai" if self.base_url else "local"


async def open_llm(config: ModelConfig) -> LLM:
    """The backend that ``config`` names, ready to answer."""
    engine = config.resolved_engine()
    if config.base_url and engine != "openai":
        raise ConfigError(
            f"--base-url goes with --engine openai, not with --engine {engine}: drop one of them"
        )
    if engine == "openai":
        from datagen.llm.openai import OpenAILLM

        return OpenAILLM.from_config(config)
    if engine == "vllm":
        from datagen.llm.vllm import VLLM

        return await VLLM.start(config)
    if engine == "scripted":
        from datagen.llm.scripted import ScriptedLLM

        return ScriptedLLM.from_config(config)
    from datagen.llm.local import start_local

    return await start_local(config)
