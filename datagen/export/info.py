"""What a dataset card says of a run; it is given by whoever made the rows."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict


class DatasetInfo(BaseModel):
    """What a dataset card says that the rows themselves do not."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    generator: str
    """The generator's name, such as skillmix."""
    model: str
    """The model that wrote the rows, as its endpoint names it."""
    engine: str = ""
    """The backend it was reached through: openai, vllm, local, scripted."""
    title: str = ""
    """The card's title; the generator's name when empty."""
    summary: str = ""
    """How the rows were made, in a few sentences."""
    paper: str = ""
    """Name of the paper whose method this is."""
    arxiv: str = ""
    """Its arXiv number, such as 2408.14774."""
    command: str = ""
    """The command that made the dataset, without keys."""
    config: dict[str, Any] = {}
    """The resolved configuration, without keys; the card holds the whole of it."""
    counts: dict[str, int] = {}
    """Further figures of the run, in the order to print: planned, rejected and why, tokens."""
    limits: tuple[str, ...] = ()
    """What this generator's rows are not good for, a sentence each."""
    language: tuple[str, ...] = ("en",)
    """Codes of the rows' languages, such as en."""
    license: str = ""
    """A hub licence identifier, such as apache-2.0; empty leaves it to whoever publishes."""
