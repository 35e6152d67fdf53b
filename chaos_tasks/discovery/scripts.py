"""From the facts of one script to how a trial runs it: what all finders of scripts share."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from chaos_tasks.discovery import python_reading
from chaos_tasks.discovery.data_files import is_data, resolve
from chaos_tasks.discovery.found import Guess, Missing, Pipeline
from chaos_tasks.discovery.python_reading import SEED, Facts, Option
from chaos_tasks.tracking.reach import without_password

_METRIC_FILES = ("metric", "score", "result", "eval", "report", "performance", "summary")
_INPUTS = ("data", "input", "train", "csv", "dataset", "file", "path")
_OUTPUTS = ("out", "output", "save", "model", "artifact", "result", "dest")


def pipeline_of(
    kind: str, what: str, root: Path, script: Path, *, command: str = "", why: str = "", cwd: Path | None = None
) -> Pipeline:
    """How one trial runs a script; ``command``: as somebody else says that it is run."""
    folder = cwd or root
    facts = python_reading.read(script)
    data = tuple(_data(root, script, facts))
    line, missing = _command(script.relative_to(folder) if script.is_relative_to(folder) else script, facts, data)
    if command:
        line, missing = command, []
    seed = _seed(facts)
    if seed is not None and not _says_seed(line, seed):
        line += f" {seed.flag} {{seed}}"
    metrics = tuple(_metrics(facts))
    printed = {name: Guess(value=one.text, why=f"printed in line {one.line}") for name, one in facts.printed.items()}
    missing += [*_missing(facts, data, seed, bool(metrics or printed or facts.logged))]
    return Pipeline(
        kind=kind,
        root=root,
        name=root.name,
        what=what,
        commands=(Guess(value=line, why=why or _why_command(script, seed)),),
        cwd=str(folder.relative_to(root)) if folder != root else ".",
        data=data,
        metrics=metrics,
        printed={} if metrics else dict(list(printed.items())[:6]),
        environment=dict(environment_of(facts)),
        writes=tuple(_beyond(facts)),
        missing=tuple(missing),
    )


def _why_command(script: Path, seed: Option | None) -> str:
    how = f"`{seed.flag}` in line {seed.line} takes the seed" if seed else "it takes no seed"
    return f"{script.name} trains; {how}"


def _says_seed(line: str, seed: Option) -> bool:
    return seed.flag in shlex.split(line) or "{seed}" in line


def _seed(facts: Facts) -> Option | None:
    return next((one for one in facts.options if SEED.search(one.flag.lstrip("-")) and not one.positional), None)


def _command(script: Path, facts: Facts, data: tuple[Guess, ...]) -> tuple[str, list[Missing]]:
    words, missing = [f"python {shlex.quote(str(script))}"], []
    for option in facts.options:
        if not option.required or SEED.search(option.flag.lstrip("-")):
            continue
        value = _value(option, data)
        if value is None:
            why = f"line {option.line} asks for {option.flag}, and nothing says what it should be"
            missing.append(Missing(field="workload.run", why=why, rules_out="any trial, until you add it to --run"))
            continue
        words.append(value if option.positional else f"{option.flag} {value}")
    return " ".join(words), missing


def _value(option: Option, data: tuple[Guess, ...]) -> str | None:
    if asks_for_folder(option.flag):
        return "out"
    if asks_for_data(option.flag) and data:
        return shlex.quote(data[0].value)
    return None


def asks_for_folder(name: str) -> bool:
    """Whether an option or parameter says where results go, by its name."""
    return any(word in name.lower() for word in _OUTPUTS)


def asks_for_data(name: str) -> bool:
    """Whether it names what is read."""
    return any(word in name.lower() for word in _INPUTS)


def _data(root: Path, script: Path, facts: Facts) -> Iterator[Guess]:
    """Data files that exist and are named in the script, but not those that it writes."""
    written = {str(path) for one in facts.writes if (path := resolve(root, script, one.text)) is not None}
    found: dict[str, int] = {}
    named = [(one.text, one.line) for one in facts.texts]
    named += [(one.default, one.line) for one in facts.options if one.default]
    for text, line in named:
        path = resolve(root, script, text)
        if path is not None and str(path) not in written and is_data(root / path):
            found.setdefault(str(path), line)
    for name, line in found.items():
        if not any(other.startswith(f"{name}/") for other in found):  # of a folder in a folder, the inner one
            yield Guess(value=name, why=f"{script.name} names it in line {line}")
    if not found:
        yield from _only_one(root)


def _only_one(root: Path) -> Iterator[Guess]:
    """A folder with one table is clear enough."""
    found = [one for one in sorted(root.rglob("*")) if one.suffix in (".csv", ".parquet") and one.is_file()]
    own = [one for one in found if not any(part.startswith(".") for part in one.relative_to(root).parts)]
    if len(own) == 1:
        yield Guess(value=str(own[0].relative_to(root)), why="the only table in the folder")


def _metrics(facts: Facts) -> Iterator[Guess]:
    for one in facts.writes:
        path = PurePosixPath(one.text.replace("@/", ""))
        fits = path.suffix in (".json", ".yaml", ".yml") and any(word in path.name.lower() for word in _METRIC_FILES)
        if fits and "{" not in one.text:
            yield Guess(value=str(path), why=f"written in line {one.line}")
            return


def environment_of(facts: Facts) -> Iterator[tuple[str, Guess]]:
    """What keeps a trial to itself: a tracking server of its own, and one hash seed per trial."""
    if "mlflow" in facts.modules:
        yield "MLFLOW_TRACKING_URI", Guess(value="sqlite:///{out}/mlflow.db", why="its runs stay in the trial")


def _beyond(facts: Facts) -> Iterator[Guess]:
    for where in dict.fromkeys(one.text for one in facts.elsewhere):
        line = next(one.line for one in facts.elsewhere if one.text == where)
        if where not in ("the network", "mlflow"):
            yield Guess(value=where, why=f"line {line}")


def _missing(facts: Facts, data: tuple[Guess, ...], seed: Option | None, measured: bool) -> Iterator[Missing]:
    if seed is None:
        fixed = facts.fixed_seeds
        how = f"line {fixed[0].line} fixes it ({fixed[0].text})" if fixed else "nothing takes it"
        yield Missing(field="{seed}", why=how, rules_out="evidence over seeds: trials differ by chance or not at all")
    if not data:
        yield Missing(field="source.data", why="no data file is named", rules_out="data faults")
    if not measured:
        yield Missing(field="reads.metrics", why="no number is written or printed", rules_out="checks of the model")
    for one in facts.required_environment:
        yield Missing(
            field="workload.environment",
            why=f"line {one.line} needs {one.text}",
            rules_out="any trial, until you add it",
        )
    yield from servers_of(facts, "")
    for one in facts.elsewhere:
        if one.text == "the network":
            yield Missing(field="writes", why=f"line {one.line} uses the network", rules_out="runs without it")
            return


def servers_of(facts: Facts, of: str) -> Iterator[Missing]:
    """MLflow servers that a trial cannot be kept away from; ``of`` says whose line it is."""
    for one in facts.servers:
        why = f"line {one.line}{of} sets the MLflow server {without_password(one.text)}, which no variable redirects"
        yield Missing(field="writes", why=why, rules_out="trials that leave it alone: their runs are logged there")


def local_scripts(root: Path) -> Mapping[Path, Facts]:
    """Scripts of a folder that can be read, shallow ones first."""
    found: dict[Path, Facts] = {}
    for path in sorted(root.rglob("*.py"), key=lambda path: (len(path.parts), path)):
        parts = path.relative_to(root).parts
        if any(part.startswith(".") or part in {"venv", "env", "tests", "test", "node_modules"} for part in parts):
            continue
        try:
            found[path] = python_reading.read(path)
        except Exception:  # noqa: BLE001  (a script that is no Python is none that trains)
            continue
        if len(found) >= 200:
            break
    return found
