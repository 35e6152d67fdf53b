"""The tail of a series that a trial wrote, such as the latency of each decision: harm that a mean does not show."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Trial
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.metric import require_completed
from chaos_tasks.probes.predictions import numbers, read_file, read_table

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


class TailParams(ProbeParams):
    """Which numbers, and what of their tail."""

    file: str = Field(min_length=1, description="JSON lines, Parquet or CSV below {out}, e.g. decisions.jsonl.")
    field: str = Field(min_length=1, description="Field or column of the numbers, e.g. lag.")
    quantile: float | None = Field(None, gt=0, lt=1, description="The value that this share does not exceed, e.g. .99.")
    above: float | None = Field(None, description="Instead: the share of values above this limit.")
    expected: int | None = Field(
        None,
        ge=1,
        description="Values that should be there; those that are not count as infinite.  Without it, what was lost "
        "makes the tail look better.",
    )
    min_n: int = Field(100, ge=1, description="Values below which there is no tail to measure.")
    unit: str = Field("", description="For people: s, ms.")

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Self:
        if (self.quantile is None) == (self.above is None):
            raise ValueError("a tail needs `quantile` or `above`, one of them")
        return self


class Tail:
    """A quantile of the series, or the share of it above a limit.  A value that is NaN is a measurement: so is this."""

    kind: ClassVar[str] = "model.tail"
    summary: ClassVar[str] = "Quantile, or share above a limit, of a series that the trial wrote"
    params_type: ClassVar[type[TailParams]] = TailParams
    oracle: ClassVar[bool] = True

    def measure(self, trial: Trial, params: TailParams) -> Measurement:
        """Read it; infinite where too many of the expected values are missing.

        Raises ProbeError for a file that is not there or has too few values.
        """
        import numpy as np

        from chaos_tasks.stats.tails import quantile

        require_completed(trial)
        values = _series(trial, params)
        if len(values) < params.min_n:
            raise ProbeError(
                f"{params.file} of trial {trial.id} has {len(values)} values of {params.field}, "
                f"fewer than {params.min_n}",
                remedy="let the trial run longer, or lower `min_n`",
            )
        if np.isnan(values).any():
            return Measurement(value=math.nan, unit=params.unit)
        if params.quantile is not None:
            return Measurement(value=quantile(values, params.quantile), unit=params.unit)
        return Measurement(value=float(np.mean(values > params.above)))


def _series(trial: Trial, params: TailParams) -> Array:
    """The numbers, and infinity for each that should be there and is not."""
    import numpy as np

    found = read_series(trial, params.file, params.field)
    lost = max(0, params.expected - len(found)) if params.expected is not None else 0
    return np.concatenate([found, np.full(lost, np.inf)])


def read_series(trial: Trial, file: str, field: str) -> Array:
    """The numbers of a field in the order of the file; raises ProbeError for a file that is not there."""
    import numpy as np

    if file.endswith((".jsonl", ".ndjson")):
        return np.array(_lines(read_file(trial, file), field), dtype=np.float64)
    return numbers(read_table(trial, file, [field])[0][field])


def _lines(content: bytes, field: str) -> list[float]:
    """Numbers of the lines that have the field; a line that is torn or of another shape is passed over."""
    found: list[float] = []
    for line in content.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        value = entry.get(field) if isinstance(entry, dict) else None
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(float(value))
    return found
