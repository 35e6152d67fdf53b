"""What a trial left behind: metrics, digests of its files, and what its owners would have noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chaos_tasks.judging.work_lost import account
from chaos_tasks.model.spec import TrialSpec
from chaos_tasks.model.target import AirflowSignal, AlarmFileSignal, ExitCodeSignal, Progress, Signal
from chaos_tasks.model.trial import Launch, SignalEvent, Trial
from chaos_tasks.workloads import dag_sight
from chaos_tasks.workloads.progress import Tail, read_events

Metrics = tuple[dict[str, float], dict[str, dict[str, float]]]


def read_metrics(path: Path) -> Metrics:
    """Flat numbers (NaN and infinities too) and slices; raises ValueError for a file that is no JSON object."""
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} holds no JSON object")
    named = content.get("slices")
    slices = named if isinstance(named, dict) else {}
    return _numbers(content), {str(name): _numbers(entry) for name, entry in slices.items() if isinstance(entry, dict)}


def _numbers(entry: Mapping[object, object]) -> dict[str, float]:
    """Booleans are no numbers; an integer beyond a float's range is left out, as it would be no metric."""
    found: dict[str, float] = {}
    for name, value in entry.items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            with suppress(OverflowError):
                found[str(name)] = float(value)
    return found


def digests(spec: TrialSpec) -> dict[str, str]:
    """SHA-256 of the metrics and predictions files that exist."""
    names = [name for name in (spec.metrics_file, spec.predictions_file) if name]
    return {name: sha256_of(Path(spec.out) / name) for name in names if (Path(spec.out) / name).is_file()}


def with_progress(trial: Trial, progress: Progress | None) -> Trial:
    """The trial with where its time went, if it showed progress; its lost steps are then those done again."""
    found = account(trial, read_events(progress, Path(trial.out)))
    return trial if found is None else trial.model_copy(update={"progress": found, "lost_steps": found.redone_steps})


def sha256_of(path: Path) -> str:
    """In bounded memory."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def noticed(
    signals: Sequence[Signal], out: Path, launches: Iterable[Launch], *, label_delay_s: float = 0.0
) -> tuple[SignalEvent, ...]:
    """What the target's owners would have noticed, in the order of time; the gate's signal is the engine's.

    What needs labels is had once the label delay is over, whenever the file says that it rang.
    """
    events: list[SignalEvent] = []
    for signal in signals:
        found: list[SignalEvent] = []
        if isinstance(signal, ExitCodeSignal):
            found = _bad_ends(launches)
        elif isinstance(signal, AlarmFileSignal):
            found = _alarms(out / signal.path)
        elif isinstance(signal, AirflowSignal):
            found = dag_sight.events(dag_sight.read(out), signal)
        events += [once_labelled(event, label_delay_s) for event in found] if signal.needs_labels else found
    return tuple(sorted(events, key=lambda event: event.at))


def once_labelled(event: SignalEvent, label_delay_s: float) -> SignalEvent:
    """The signal at the time when the labels that it needs are known."""
    try:
        at = event.at + timedelta(seconds=label_delay_s)
    except OverflowError:  # the file dates it at the end of time
        at = datetime.max.replace(tzinfo=UTC)
    return event.model_copy(update={"at": at, "label_delay_s": label_delay_s})


def _bad_ends(launches: Iterable[Launch]) -> list[SignalEvent]:
    """Each launch that ended non-zero is noticed, restarted or not."""
    return [
        SignalEvent(name="exit_code", at=launch.ended_at, detail=f"exit code {launch.exit_code}")
        for launch in launches
        if launch.ended_at is not None and launch.exit_code not in (0, None)
    ]


def _alarms(path: Path) -> list[SignalEvent]:
    """Lines {"t": unix seconds, "alarm": name}; a line that is neither is passed over."""
    events: list[SignalEvent] = []
    for line in Tail(path).lines():
        with suppress(ValueError, TypeError, KeyError, OverflowError, OSError):
            entry = json.loads(line)
            at = datetime.fromtimestamp(float(entry["t"]), UTC)
            events.append(SignalEvent(name=str(entry["alarm"]), at=at, detail=path.name))
    return events
