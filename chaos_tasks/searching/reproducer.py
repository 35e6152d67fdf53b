"""A found experiment as a file that a person reads, runs and keeps; pure."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from chaos_tasks.model.experiment import Experiment

MOST = 60  # characters of a name
SUFFIX = "-small"
TAGS = frozenset({"type", "at"})
"""Keys that tell alternatives apart: written even where they are the default."""


def reproducer(experiment: Experiment, name: str = "") -> Experiment:
    """The experiment under a name of its own, run by hand only."""
    chosen = name or experiment.name[: MOST - len(SUFFIX)].rstrip("-") + SUFFIX
    return experiment.model_copy(
        update={"name": chosen, "nightly": False, "schedule": None, "ramp": None, "known_finding": None}
    )


def as_yaml(experiment: Experiment, comment: str) -> str:
    """The file: a comment, then what differs from the defaults."""
    full = experiment.model_dump(mode="json")
    short = {"version": experiment.version, **experiment.model_dump(mode="json", exclude_defaults=True)}
    text = yaml.safe_dump(
        _trimmed(full, short), sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text


def _trimmed(full: object, short: object) -> object:
    """What is in ``short``, and the tags of what is there."""
    if isinstance(full, Mapping) and isinstance(short, Mapping):
        return {key: _trimmed(full[key], short.get(key, full[key])) for key in full if key in short or key in TAGS}
    if isinstance(full, list) and isinstance(short, list):
        return [_trimmed(one, other) for one, other in zip(full, short, strict=True)]
    return short
