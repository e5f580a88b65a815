"""Dollars per million tokens: a small table of list prices, and what the user says over it.

List prices as known in mid 2025, without batch or cache discounts; they change, so give your own
(``--price-in``, ``--price-out``) where money matters.
"""

from __future__ import annotations

from dataclasses import dataclass

from datagen.errors import ConfigError
from datagen.llm import ModelConfig

LIST_PRICES: dict[str, tuple[float, float]] = {
    "gpt-4-turbo": (10.0, 30.0),
    "gpt-4o": (2.5, 10.0),
    "gpt-4o-mini": (0.15, 0.6),
    "gpt-4.1": (2.0, 8.0),
    "gpt-4.1-mini": (0.4, 1.6),
    "gpt-4.1-nano": (0.1, 0.4),
    "o3": (2.0, 8.0),
    "o4-mini": (1.1, 4.4),
    "gpt-5": (1.25, 10.0),
    "gpt-5-mini": (0.25, 2.0),
    "gpt-5-nano": (0.05, 0.4),
    "claude-3-5-sonnet": (3.0, 15.0),
    "claude-3-5-haiku": (0.8, 4.0),
    "deepseek-chat": (0.27, 1.1),
}


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars per million prompt and completion tokens."""

    prompt: float
    completion: float

    def of(self, prompt_tokens: float, completion_tokens: float) -> float:
        """Dollars for so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def price_of(config: ModelConfig) -> Price | None:
    """The price of the configured model, or None where nobody named one.

    A model that runs on this machine (local, vllm, scripted) costs nothing. A dated name
    (``gpt-4o-2024-08-06``) has the price of the longest listed name it begins with.
    """
    if (config.price_in is None) != (config.price_out is None):
        raise ConfigError("--price-in and --price-out go together: dollars per million tokens each")
    if config.price_in is not None and config.price_out is not None:
        return Price(config.price_in, config.price_out)
    if config.resolved_engine() != "openai":
        return Price(0.0, 0.0)
    name = (config.model or "").rsplit("/", 1)[-1]
    listed = [known for known in LIST_PRICES if name == known or name.startswith(known + "-20")]
    return Price(*LIST_PRICES[max(listed, key=len)]) if listed else None
