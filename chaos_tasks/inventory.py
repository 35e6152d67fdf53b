"""A target by its name in the inventory."""

from __future__ import annotations

from chaos_tasks.errors import InvalidFile, Problem
from chaos_tasks.loading import load_target
from chaos_tasks.model.target import Target
from chaos_tasks.settings import Settings


def read_target(settings: Settings, name: str, *, keep_unset: bool = False) -> Target:
    """Load and check a target of the inventory; raises SetupError or InvalidFile.

    Where its data may not be copied, its source is the masked one that the inventory names.
    """
    path = settings.target_path(name)
    target = load_target(path, settings.variables, keep_unset=keep_unset)
    if target.name != name:
        cause = f"the file describes {target.name!r}, the inventory calls it {name!r}"
        raise InvalidFile(path, (Problem(1, "name", cause, "give both the same name"),))
    data = settings.entry(name).data
    if data.masked_repo and data.classification.above(settings.data.highest):
        return target.model_copy(update={"source": target.source.model_copy(update={"repo": data.masked_repo})})
    return target
