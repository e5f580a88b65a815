"""Settings of a run folder."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field


class RunConfig(BaseModel):
    """Where a run lives and what it may spend."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    out: Path | None = None
    """Run folder; default runs/NAME. Running again with the same folder goes on where it stopped.
    """
    seed: int = 42
    """Seed of every plan and every draw."""
    block: int = Field(512, ge=1)
    """Plan positions in one block, the unit of recovery; fixed once a run has begun."""
    max_cost: float | None = Field(None, gt=0)
    """Dollars after which the run stops cleanly; it can be resumed."""
    max_tokens: int | None = Field(None, gt=0)
    """Tokens (prompt and completion) after which the run stops cleanly; it can be resumed."""
