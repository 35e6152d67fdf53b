"""What is known of a target beyond its file: columns, label and versions of its data, and its last control trial."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from chaos_tasks.discovery import python_reading
from chaos_tasks.errors import SquallError
from chaos_tasks.model.base import Value
from chaos_tasks.model.target import Target

if TYPE_CHECKING:
    from chaos_tasks.targets.dvc import SourceVersion

MOST_BYTES = 256 << 20
MOST_VALUES = 20
_LABELS = re.compile(
    r"^(label|target|class|y|late|outcome|species|survived|churn|quality|sentiment|spam|default)$", re.I
)


class Control(Value):
    """What a control trial of `squall doctor` left: its numbers and how long it took."""

    commit: str
    wall_s: float
    metrics: Mapping[str, float]


class DataFile(Value):
    """One data file: its columns, the one that is the label, and how many versions Git has of it."""

    path: str
    columns: tuple[str, ...]
    label: str | None = None
    why_label: str = ""
    label_values: tuple[str, ...] = ()
    rows: int = 0
    versions: int = 1


class Known(Value):
    """All of it; what could not be looked at is said."""

    files: tuple[DataFile, ...] = ()
    control: Control | None = None
    troubles: tuple[str, ...] = ()


def control_note(home: Path, name: str) -> Path:
    """Where the last control trial of a target is kept."""
    return home / "targets" / f"{name}.control.json"


def know(target: Target, home: Path) -> Known:
    """Look at the data of a target, in copies; raises SetupError where its source cannot be read."""
    from chaos_tasks.targets import dvc

    version = dvc.resolve(target.source)
    files, troubles = [], []
    names = set(_label_names(target, version.commit))
    for path in target.source.data:
        try:
            files.append(_file(target, version, path, names))
        except (SquallError, OSError, ValueError) as error:
            troubles.append(f"{path}: {str(error).splitlines()[0]}")
    return Known(files=tuple(files), control=read_control(home, target.name), troubles=tuple(troubles))


def read_control(home: Path, name: str) -> Control | None:
    """The last control trial, or None."""
    try:
        return Control.model_validate_json(control_note(home, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _file(target: Target, version: SourceVersion, path: str, names: set[str]) -> DataFile:
    from chaos_tasks.targets import dvc
    from chaos_tasks.targets.formats.files import file_format

    size = version.data[path].size
    if size is not None and size > MOST_BYTES:
        raise ValueError(f"{size >> 20} MB are too much to look at for a suggestion")
    with tempfile.TemporaryDirectory(prefix="squall-look-") as folder:
        copy = Path(folder) / Path(path).name
        dvc.export(target.source, version, path, copy)
        adapter = file_format(target.source.form)
        columns = tuple(adapter.schema(copy).names)
        label, why = _label(target, columns, names)
        values = _values(adapter, copy, label) if label else ()
        rows = adapter.rows(copy)
    versions = _versions(target, version.commit, version.data[path].pointer)
    return DataFile(
        path=path, columns=columns, label=label, why_label=why, label_values=values, rows=rows, versions=versions
    )


def _label(target: Target, columns: tuple[str, ...], names: set[str]) -> tuple[str | None, str]:
    told = target.reads.predictions.label if target.reads.predictions else ""
    if told and told in columns:
        return told, "reads.predictions names it"
    own = [one for one in columns if one in names]
    if own:
        return own[-1], "the code splits it off as the label"
    by_name = [one for one in columns if _LABELS.match(one)]
    if by_name:
        return by_name[-1], "it is called so"
    return (columns[-1], "the last column, which is a guess") if len(columns) > 1 else (None, "")


def _values(adapter: object, file: Path, label: str) -> tuple[str, ...]:
    """The label's values, the most frequent first; none where they are too many to be classes."""
    counted: Counter[str] = Counter()
    for _, batch in adapter.batches(file, [label]):  # type: ignore[attr-defined]
        counted.update(str(one) for one in batch.column(0).to_pylist() if one is not None)
        if len(counted) > MOST_VALUES:
            return ()
    return tuple(value for value, _ in counted.most_common())


def _versions(target: Target, commit: str, pointer: str) -> int:
    """How many commits changed the pointer: without an older one nothing can be stale."""
    from chaos_tasks.targets import dvc_bytes, git

    with dvc_bytes.readable(target.source.repo) as folder:
        found = git.attempt(folder, "rev-list", "--count", commit, "--", pointer)
    return int(found.stdout or 1) if found.returncode == 0 else 1


def _label_names(target: Target, commit: str) -> Iterator[str]:
    """What the scripts of the repository split off as the label."""
    for _, facts in scripts_of(target, commit):
        yield from (one.text for one in facts.labels)


def scripts_of(target: Target, commit: str) -> Iterator[tuple[str, python_reading.Facts]]:
    """The Python files of the repository, the first 200 of them, and what each is."""
    from chaos_tasks.targets import dvc_bytes, git

    with dvc_bytes.readable(target.source.repo) as folder, tempfile.TemporaryDirectory() as temporary:
        tree = git.git(folder, "ls-tree", "-r", "--name-only", "-z", commit).split("\0")
        for number, name in enumerate([one for one in tree if one.endswith(".py")][:200]):
            text = git.show(folder, commit, name)
            if text is None:
                continue
            copy = Path(temporary) / f"{number}.py"
            copy.write_text(text, encoding="utf-8")
            with suppress(SquallError):
                yield name, python_reading.read(copy)
