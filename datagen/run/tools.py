"""What a stage may do to the world, each through the journal: ask the model, or any other
effect."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from datagen.errors import Refused
from datagen.llm import Answer, Request
from datagen.rows import Message, content_hash
from datagen.run.block import Block

if TYPE_CHECKING:
    from datagen.run.engine import Stage


class Tools:
    """The effects of one plan position.

    Asking the same thing twice from one position is two draws; a replay makes the same draws in the
    same order, so the journal answers each.

    Attributes:
        position: the plan position.
        answers: journal keys of the answers used so far, in order, for the row's provenance.
    """

    def __init__(self, stage: Stage, block: Block, position: int) -> None:
        self._stage, self._block = stage, block
        self.position = position
        self.answers: list[str] = []
        self._draws: Counter[str] = Counter()

    @property
    def model(self) -> str:
        """The name of the model that answers."""
        return self._stage.run.llm.model

    def rng(self, *purpose: str) -> random.Random:
        """A generator seeded by the run's seed, the stage, this position and the purpose."""
        parts = (self._stage.run.config.seed, self._stage.name, self.position, *purpose)
        return random.Random(content_hash(*parts))

    async def ask(
        self,
        messages: list[Message],
        *,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        stop: tuple[str, ...] = (),
        schema: dict[str, Any] | None = None,
        logprobs: bool = False,
    ) -> Answer:
        """The model's answer, from the journal if it was given before.

        Raises:
            Refused: the server will never answer this; uncaught, the position is rejected with its
                words.
        """
        request = Request(
            self._stage.run.llm.model,
            messages,
            temperature,
            top_p,
            max_tokens,
            stop,
            None,
            schema,
            logprobs,
        )
        content = request.key()
        self._draws[content] += 1
        key = content_hash(content, self._stage.name, self.position, self._draws[content])
        entry = self._journal.get(key)
        if entry is None:
            entry = await self._stage.send(self._block, key, request)
        self.answers.append(key)
        if "refused" in entry:
            raise Refused(entry["refused"])
        ids, logs = entry.get("ids"), entry.get("logprobs")
        return Answer(
            entry["text"],
            entry["finish"],
            entry["p"],
            entry["c"],
            tuple(ids) if ids else None,
            tuple(logs) if logs else None,
        )

    async def effect(
        self, name: str, arguments: Any, happen: Callable[[], Awaitable[dict[str, Any]]]
    ) -> dict[str, Any]:
        """Any other effect with a JSON result, such as a sandboxed execution: it happens once a
        run.

        Args:
            name, arguments: what the journal key is made of; ``arguments`` must be JSON.
            happen: does it; called only where the journal has no result.
        """
        content = content_hash(name, arguments)
        self._draws[content] += 1
        key = content_hash(content, self._stage.name, self.position, self._draws[content])
        entry = self._journal.get(key)
        if entry is None:
            entry = {"result": await happen()}
            self._stage.run.keep(self._block, key, entry)
        result: dict[str, Any] = entry["result"]
        return result

    @property
    def _journal(self) -> Any:
        return self._block.journal
