"""Live readings from what a running workload writes: its latest number, how long it has been still, its alarms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import ClassVar

from pydantic import Field

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.base import Reading
from chaos_tasks.probes.base import Measurement, ProbeParams
from chaos_tasks.probes.live import Scene, file_of, last_lines


class LiveSeriesParams(ProbeParams):
    """Which number."""

    file: str = Field("", description="JSON lines below {out}; by default the target's progress file.")
    field: str = Field(min_length=1, description="Field of a line, e.g. loss.")
    unit: str = Field("", description="For people: s, ms.")


class LiveSeries:
    """The latest value of a field in a file of JSON lines."""

    kind: ClassVar[str] = "live.series"
    summary: ClassVar[str] = "Latest value that the running workload has written"
    params_type: ClassVar[type[LiveSeriesParams]] = LiveSeriesParams
    needs_trial: ClassVar[bool] = True

    def read(self, scene: Scene, params: LiveSeriesParams) -> Measurement:
        """Read it; raises ProbeError while no line has the field."""
        name = params.file or _progress(scene)
        for line in reversed(_objects(last_lines(file_of(scene, name)))):
            if params.field in line:
                return Measurement(value=_number(line[params.field], params.field), unit=params.unit)
        raise ProbeError(f"no line of {name} has the field {params.field}", remedy="give it some `grace`")


class LiveStalledParams(ProbeParams):
    """Which file says that it goes on."""

    file: str = Field("", description="File below {out}; by default the target's progress file.")


class LiveStalled:
    """Seconds since the running workload last wrote, or was started."""

    kind: ClassVar[str] = "live.stalled_s"
    summary: ClassVar[str] = "Seconds since the running workload last made progress"
    params_type: ClassVar[type[LiveStalledParams]] = LiveStalledParams
    needs_trial: ClassVar[bool] = True

    def read(self, scene: Scene, params: LiveStalledParams) -> Measurement:
        """Read it; raises ProbeError where the target has no progress file and none is named."""
        path = file_of(scene, params.file or _progress(scene))
        times = [scene.started_at.timestamp()] if scene.started_at else []
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            pass  # nothing written yet: it has been still since its start
        except OSError as error:
            raise ProbeError(f"{path.name} cannot be looked at: {error.strerror}") from None
        if not times:
            raise ProbeError("nobody knows when the trial was started")
        return Measurement(value=max(0.0, scene.clock.now().timestamp() - max(times)), unit="s")


class LiveAlarmsParams(ProbeParams):
    """Which alarms."""

    file: str = Field(min_length=1, description="JSON lines {t, alarm} below {out}.")
    name: str = Field("", description="Name of the alarm; by default any.")


class LiveAlarms:
    """How many alarms the running workload has raised."""

    kind: ClassVar[str] = "live.alarms"
    summary: ClassVar[str] = "Alarms that the running workload has raised so far"
    params_type: ClassVar[type[LiveAlarmsParams]] = LiveAlarmsParams
    needs_trial: ClassVar[bool] = True

    def read(self, scene: Scene, params: LiveAlarmsParams) -> Measurement:
        """Read it; no file means that none was raised."""
        path = file_of(scene, params.file)
        if not path.exists():
            return Measurement(value=0, unit="alarms")
        named = [line for line in _objects(last_lines(path)) if params.name in ("", line.get("alarm"))]
        return Measurement(value=len(named), unit="alarms")


def _progress(scene: Scene) -> str:
    if not scene.progress_file:
        raise ProbeError(
            "the target declares no progress file", remedy="declare `reads.progress.file` in the target file, or `file`"
        )
    return scene.progress_file


def _objects(lines: Iterable[bytes]) -> list[Mapping[str, object]]:
    """Lines that are JSON objects; what a workload writes beside them is passed over."""
    found: list[Mapping[str, object]] = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _number(value: object, field: str) -> Reading:
    """Numbers and states only: a text might be a row of data."""
    if isinstance(value, int | float):
        return value
    raise ProbeError(f"the latest {field} is no number", remedy="name a field of numbers, or of true and false")
