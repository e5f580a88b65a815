"""What a run may spend, and what it has spent: tokens, and dollars where the price is known."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from datagen.errors import BudgetReached
from datagen.llm import Answer, Request
from datagen.llm.prices import Price
from datagen.run.block import Counts

CHARS_PER_TOKEN = 4.0
"""English text, most tokenizers; only for what has not been counted by the server yet."""
GUESSED_COMPLETION = 512
"""Completion tokens of a request before any answer has been seen and where it names no maximum."""


class Budget:
    """Counts what is spent and refuses to send what would pass a limit.

    A request on the wire is reckoned at the mean of the answers so far (before the first: at its
    prompt's length and its ``max_tokens``), so the limit is passed by no more than the answers'
    spread around that mean.

    Args:
        price: of the model, or None where it is not known.
        max_cost: dollars; needs a price.
        max_tokens: prompt and completion tokens together.
    """

    def __init__(self, price: Price | None, max_cost: float | None, max_tokens: int | None) -> None:
        self.price, self.max_cost, self.max_tokens = price, max_cost, max_tokens
        self.prompt_tokens = self.completion_tokens = self.answers = 0
        self._reserved_prompt = self._reserved_completion = 0.0

    @property
    def cost(self) -> float | None:
        """Dollars spent, or None where the price is not known."""
        return self.price.of(self.prompt_tokens, self.completion_tokens) if self.price else None

    @property
    def limited(self) -> bool:
        """Whether there is a limit to keep."""
        return self.max_cost is not None or self.max_tokens is not None

    def count(self, counts: Counts) -> None:
        """Count what earlier sessions of the run spent."""
        self.answers += counts.requests
        self.prompt_tokens += counts.prompt_tokens
        self.completion_tokens += counts.completion_tokens

    def spend(self, answer: Answer) -> None:
        """Count one answer."""
        self.answers += 1
        self.prompt_tokens += answer.prompt_tokens
        self.completion_tokens += answer.completion_tokens

    @contextmanager
    def reserve(self, request: Request) -> Iterator[None]:
        """Hold the likely price of a request while it is on the wire.

        Raises:
            BudgetReached: it would pass a limit.
        """
        if not self.limited:
            yield
            return
        prompt, completion = self._likely(request)
        self._check(prompt, completion)
        self._reserved_prompt += prompt
        self._reserved_completion += completion
        try:
            yield
        finally:
            self._reserved_prompt -= prompt
            self._reserved_completion -= completion

    def _likely(self, request: Request) -> tuple[float, float]:
        if self.answers >= 8:
            return self.prompt_tokens / self.answers, self.completion_tokens / self.answers
        letters = sum(len(message["content"]) for message in request.messages)
        return letters / CHARS_PER_TOKEN, float(request.max_tokens or GUESSED_COMPLETION)

    def _check(self, prompt: float, completion: float) -> None:
        prompt += self.prompt_tokens + self._reserved_prompt
        completion += self.completion_tokens + self._reserved_completion
        if self.max_tokens is not None and prompt + completion > self.max_tokens:
            spent = self.prompt_tokens + self.completion_tokens
            raise BudgetReached(
                f"stopped at --max-tokens {self.max_tokens:,} ({spent:,} spent): raise it "
                "and run the same command again, it goes on where it stopped"
            )
        if (
            self.max_cost is not None
            and self.price
            and self.price.of(prompt, completion) > self.max_cost
        ):
            raise BudgetReached(
                f"stopped at --max-cost {self.max_cost:g} (${self.cost:.4f} spent): raise it "
                "and run the same command again, it goes on where it stopped"
            )
