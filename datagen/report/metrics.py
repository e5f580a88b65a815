"""``metrics.json`` and ``manifest.json`` as the report reads them: what is missing is zero."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from datagen.report.files import read_json


class StageNumbers(BaseModel):
    """One stage in numbers."""

    model_config = ConfigDict(frozen=True)

    name: str
    planned: int = 0
    kept: int = 0
    rejected: dict[str, int] = {}
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = Field(default=None, allow_inf_nan=False)

    @property
    def refused(self) -> int:
        """Rejected items, whatever the reason."""
        return sum(self.rejected.values())


class FilterNumbers(BaseModel):
    """One filter in numbers; where it was not applied, ``dropped`` is what it would drop."""

    model_config = ConfigDict(frozen=True)

    name: str
    before: int = 0
    dropped: int = 0
    applied: bool = True


class Metrics(BaseModel):
    """What a run did; written by ``datagen.run.metrics``."""

    model_config = ConfigDict(frozen=True)

    generator: str = ""
    model: str = ""
    engine: str = ""
    seconds: float = Field(default=0.0, allow_inf_nan=False)
    sessions: int = 0
    complete: bool = False
    stages: tuple[StageNumbers, ...] = ()
    faults: dict[str, int] = {}
    filters: tuple[FilterNumbers, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = Field(default=None, allow_inf_nan=False)
    notices: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """Requests that were answered, over all stages."""
        return sum(stage.requests for stage in self.stages)

    @property
    def planned_rows(self) -> int:
        """Positions of the stages that make rows, held-out ones included."""
        return sum(stage.planned for stage in self._row_stages())

    @property
    def made_rows(self) -> int:
        """Rows those stages made, before filters."""
        return sum(stage.kept for stage in self._row_stages())

    @property
    def refused_rows(self) -> int:
        """Positions of those stages that gave no row."""
        return sum(stage.refused for stage in self._row_stages())

    def _row_stages(self) -> list[StageNumbers]:
        return [stage for stage in self.stages if stage.name.endswith(("_rows", "_heldout"))]


def read_metrics(run: Path) -> tuple[Metrics, list[str]]:
    """The run's numbers, and a sentence for each file that is missing or cannot be read."""
    path, notes = run / "metrics.json", []
    raw: dict[str, Any] = read_json(path) or {}
    try:
        metrics = Metrics.model_validate(raw)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors()[0]["loc"])
        return Metrics(), [f"metrics.json is damaged (at {place}): its numbers are left out."]
    if not raw:
        state = "damaged" if path.exists() else "not there"
        notes = [f"metrics.json is {state}: requests, tokens, cost and faults are not known."]
    return metrics, notes
