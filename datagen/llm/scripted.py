"""A model that answers from a script: exact, instant and free, for tests and for developing a
generator.

The script is a JSONL file of rules, tried in order against the last message:
``{"match": "regular expression", "answers": ["first draw", "second draw", ...]}``. The draw is
chosen by the request's seed, so a script with several answers plays a model that varies. A rule may
carry ``"refuse": "why"`` instead of answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datagen.errors import ConfigError, Refused
from datagen.llm import Answer, ModelConfig, Request, Traffic

Reply = Callable[[Request], str | Answer]


class ScriptedLLM:
    """Answers by calling ``reply``; token counts are word counts.

    Args:
        reply: the answer to a request; it may raise ``Refused`` or ``BackendError``.
        model: the name that rows carry.
        concurrency: how many requests the run may have in flight.
    """

    def __init__(self, reply: Reply, model: str = "scripted", concurrency: int = 64) -> None:
        self.model = model
        self.traffic = Traffic(limit=concurrency)
        self._reply = reply

    @classmethod
    def from_config(cls, config: ModelConfig) -> ScriptedLLM:
        """The script that ``config.model`` names."""
        if not config.model:
            raise ConfigError("--engine scripted needs --model SCRIPT.jsonl")
        path = Path(config.model)
        return cls(_script(path), path.stem, config.concurrency)

    async def answer(self, request: Request) -> Answer:
        """See ``LLM.answer``."""
        self.traffic.sent += 1
        reply = self._reply(request)
        if isinstance(reply, Answer):
            return reply
        words = sum(len(message["content"].split()) for message in request.messages)
        return Answer(reply, "stop", words, len(reply.split()))

    def drain(self) -> None:
        """Nothing is ever on the wire."""

    async def close(self) -> None:
        """Nothing to release."""


def _script(path: Path) -> Reply:
    rules = [
        _rule(path, number, line) for number, line in enumerate(_lines(path), 1) if line.strip()
    ]

    def reply(request: Request) -> str:
        last = request.messages[-1]["content"]
        for pattern, rule in rules:
            if pattern.search(last):
                if "refuse" in rule:
                    raise Refused(rule["refuse"])
                answers: list[str] = rule["answers"]
                return answers[(request.seed or 0) % len(answers)]
        raise Refused(f"no rule of {path} matches: {last[:80]!r}")

    return reply


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"--model {path}: {error}") from None


def _rule(path: Path, number: int, line: str) -> tuple[re.Pattern[str], dict[str, Any]]:
    try:
        rule = json.loads(line)
        if "refuse" not in rule and not rule["answers"]:
            raise ValueError("answers is empty")
        return re.compile(rule["match"], re.S), rule
    except (ValueError, KeyError, TypeError, re.error) as error:
        raise ConfigError(
            f'{path}, line {number}: {error}: a rule is {{"match": "regex", "answers": ["..."]}}'
        ) from None
