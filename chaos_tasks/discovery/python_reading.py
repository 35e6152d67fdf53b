"""What a Python script takes, reads, writes, prints and draws, from its syntax tree alone: nothing of it is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from chaos_tasks import reading
from chaos_tasks.discovery.python_names import constants, dotted, name_of, text_of
from chaos_tasks.errors import SetupError
from chaos_tasks.model.base import Value

DATA = (".csv", ".parquet", ".jsonl", ".tsv", ".npy", ".npz", ".txt", ".xlsx", ".json")
METRIC = re.compile(
    r"(?:^|[^a-z])(accuracy|acc|auc|roc_auc|f1|precision|recall|rmse|mse|mae|r2|r\^2|loss|logloss|log_loss|score|error|"
    r"perplexity|map|mape|bleu|rouge|iou|dice)(?:$|[^a-z])",
    re.IGNORECASE,
)
SCORING = re.compile(r"score|accuracy|auc|f1|rmse|mse|mae|r2|loss|error", re.IGNORECASE)
SAVERS = frozenset({"open", "write_text", "dump", "to_csv", "to_json", "to_parquet", "save", "savefig", "savez"})
NUMBER = r"([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?|nan|inf)"
SEED = re.compile(r"(?:^|[-_])(seed|random[-_]state|manual[-_]seed)$")


class Option(Value):
    """One thing that a script takes on its command line."""

    flag: str
    default: str | None = None
    required: bool = False
    positional: bool = False
    takes_value: bool = True
    line: int


class Named(Value):
    """A text in a script, and its line."""

    text: str
    line: int


class Facts(Value):
    """What a script is."""

    options: tuple[Option, ...] = ()
    texts: tuple[Named, ...] = ()
    writes: tuple[Named, ...] = ()
    printed: Mapping[str, Named] = {}
    logged: tuple[Named, ...] = ()
    fixed_seeds: tuple[Named, ...] = ()
    environment: tuple[Named, ...] = ()
    required_environment: tuple[Named, ...] = ()
    elsewhere: tuple[Named, ...] = ()
    servers: tuple[Named, ...] = ()
    labels: tuple[Named, ...] = ()
    modules: tuple[str, ...] = ()
    runs: bool = False
    trains: bool = False


def read(path: Path) -> Facts:
    """The facts of one script; raises SetupError where it is no Python."""
    try:
        tree = ast.parse(reading.text(path, errors="replace"))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise SetupError(f"{path} cannot be read as Python: {error}", remedy="name another script") from None
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}", remedy="name another script") from None
    names = constants(tree)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    environment = list(_environment(tree, calls))
    return Facts(
        options=tuple(_options(calls)),
        texts=tuple(_texts(tree, names)),
        writes=tuple(_writes(calls, names)),
        printed=dict(_printed(calls)),
        logged=tuple(
            Named(text=name_of(call.func), line=call.lineno)
            for call in calls
            if name_of(call.func) in {"log_metric", "log_metrics", "autolog"}
        ),
        fixed_seeds=tuple(_seeds(calls)),
        environment=tuple(one for one, _ in environment),
        required_environment=tuple(one for one, needed in environment if needed),
        elsewhere=tuple(_elsewhere(calls, names)),
        servers=tuple(_servers(tree, calls, names)),
        labels=tuple(_labels(tree, calls)),
        modules=tuple(sorted(set(_modules(tree)))),
        runs=any(_is_main(node) for node in tree.body) or any(isinstance(node, ast.Expr) for node in tree.body[1:]),
        trains=any(
            name_of(call.func) in {"fit", "train", "backward", "fit_transform", "fit_generator"} for call in calls
        ),
    )


def _is_main(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and "__main__" in ast.dump(node.test)


def _options(calls: list[ast.Call]) -> Iterator[Option]:
    """argparse's add_argument, click's option and argument, typer's Option and Argument."""
    for call in calls:
        name = name_of(call.func)
        if name not in {"add_argument", "option", "argument", "Option", "Argument"}:
            continue
        words = [one.value for one in call.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        flags = [word for word in words if word.startswith("-")]
        said = {one.arg: one.value for one in call.keywords if one.arg}
        if not words or (name in {"Option", "Argument"} and not flags):
            continue
        positional = not flags and name in {"add_argument", "argument"}
        flag = next((one for one in flags if one.startswith("--")), flags[0]) if flags else words[0]
        default = said.get("default")
        action = said.get("action")
        switch = isinstance(action, ast.Constant) and str(action.value).startswith(("store_", "count", "version"))
        yield Option(
            flag=flag.partition("/")[0],
            default=None if default is None else ast.unparse(default).strip("'\""),
            required=_true(said.get("required")) or (positional and default is None and "nargs" not in said),
            positional=positional,
            takes_value=not switch and "is_flag" not in said,
            line=call.lineno,
        )


def _true(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is True


def _texts(tree: ast.AST, names: Mapping[str, str]) -> Iterator[Named]:
    """Every text that can be known, once; paths put together from parts too."""
    seen: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.BinOp | ast.Call | ast.JoinedStr):
            text = text_of(node, names)
            if text and len(text) < 300 and "\n" not in text and text not in seen:
                seen.add(text)
                yield Named(text=text, line=node.lineno)


def _writes(calls: list[ast.Call], names: Mapping[str, str]) -> Iterator[Named]:
    for call in calls:
        name = name_of(call.func)
        if name not in SAVERS or (name == "open" and not _for_writing(call)):
            continue
        places: list[ast.expr] = [*call.args, *(one.value for one in call.keywords)]
        if isinstance(call.func, ast.Attribute):
            places.append(call.func.value)
        for one in places:
            text = text_of(one, names)
            if text and PurePosixPath(text).suffix:
                yield Named(text=text, line=call.lineno)


def _for_writing(call: ast.Call) -> bool:
    modes = [*call.args[:2], *(one.value for one in call.keywords if one.arg == "mode")]
    return any(
        isinstance(one, ast.Constant) and str(one.value)[:1] in "wax" and len(str(one.value)) < 4 for one in modes
    )


def _printed(calls: list[ast.Call]) -> Iterator[tuple[str, Named]]:
    """Numbers with a name that a person would read: `print("Accuracy:", x)`, f-strings, % and format."""
    for call in calls:
        if (
            dotted(call.func).split(".")[0] not in {"print", "logging", "logger", "log", "click", "typer"}
            or not call.args
        ):
            continue
        if name_of(call.func) in {"getLogger", "basicConfig", "debug"}:
            continue
        yield from _in_line(call)


def _in_line(call: ast.Call) -> Iterator[tuple[str, Named]]:
    first = call.args[0]
    if isinstance(first, ast.JoinedStr):
        yield from _in_f_string(first, call.lineno)
    elif isinstance(first, ast.BinOp) and isinstance(first.op, ast.Mod) and isinstance(first.left, ast.Constant):
        for before in re.split(r"%[-+0-9.]*[a-zA-Z]", str(first.left.value))[:-1]:
            yield from _metric(before, call.lineno)
    elif isinstance(first, ast.Call) and isinstance(first.func, ast.Attribute) and first.func.attr == "format":
        for before in re.split(r"\{[^}]*\}", str(getattr(first.func.value, "value", "")))[:-1]:
            yield from _metric(before, call.lineno)
    elif isinstance(first, ast.Constant) and len(call.args) > 1:
        yield from _metric(str(first.value), call.lineno)
    elif isinstance(first, ast.Name | ast.BinOp) and len(call.args) == 1:
        yield from _bare(first, call.lineno)
    elif isinstance(first, ast.Call) and SCORING.search(name_of(first.func)) and "report" not in name_of(first.func):
        yield name_of(first.func), Named(text=rf"^\s*{NUMBER}\s*$", line=call.lineno)


def _bare(value: ast.expr, line: int) -> Iterator[tuple[str, Named]]:
    """`print(accuracies * 100)`: a line of numbers alone, of which the first is taken."""
    names = [node.id for node in ast.walk(value) if isinstance(node, ast.Name)]
    named = next((one for one in names if METRIC.search(one.replace("_", " "))), None)
    if named is not None:
        yield named.lower(), Named(text=rf"^\s*\[?\s*{NUMBER}[-+\s\d.,e]*\]?\s*$", line=line)


def _in_f_string(text: ast.JoinedStr, line: int) -> Iterator[tuple[str, Named]]:
    before = ""
    for part in text.values:
        if isinstance(part, ast.Constant):
            before = str(part.value)
        else:
            yield from _metric(before, line)
            before = ""


def _metric(before: str, line: int) -> Iterator[tuple[str, Named]]:
    label = before.split("\n")[-1].strip()
    found = METRIC.search(label.replace("_", " "))
    if found and len(label) < 60:
        words = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_") or found[1].lower()
        text = r"\s+".join(re.escape(word) for word in label.split())
        yield words, Named(text=rf"{text}\s*{NUMBER}", line=line)


def _seeds(calls: list[ast.Call]) -> Iterator[Named]:
    for call in calls:
        name = name_of(call.func)
        fixed = [*call.args[:1]] if name in {"seed", "manual_seed", "set_seed", "default_rng", "RandomState"} else []
        fixed += [one.value for one in call.keywords if one.arg in {"random_state", "seed"}]
        for one in fixed:
            if isinstance(one, ast.Constant) and isinstance(one.value, int):
                yield Named(text=f"{name} {one.value}", line=call.lineno)


def _environment(tree: ast.AST, calls: list[ast.Call]) -> Iterator[tuple[Named, bool]]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Subscript) or dotted(node.value) not in {"os.environ", "environ"}:
            continue
        if isinstance(node.slice, ast.Constant) and isinstance(node.ctx, ast.Load):
            yield Named(text=str(node.slice.value), line=node.lineno), True
    for call in calls:
        asks = dotted(call.func) in {"os.getenv", "getenv", "os.environ.get", "environ.get"}
        if asks and call.args and isinstance(call.args[0], ast.Constant):
            yield Named(text=str(call.args[0].value), line=call.lineno), False


_ELSEWHERE = {
    "set_tracking_uri": "mlflow", "start_run": "mlflow", "log_model": "mlflow", "set_experiment": "mlflow",
    "upload_file": "s3", "put_object": "s3", "create_engine": "a database", "to_sql": "a database",
    "urlretrieve": "the network", "urlopen": "the network", "load_dataset": "the network",
}  # fmt: skip


def _elsewhere(calls: list[ast.Call], names: Mapping[str, str]) -> Iterator[Named]:
    """Places beyond the folder that a run talks to."""
    for call in calls:
        name, whole = name_of(call.func), dotted(call.func)
        where = _ELSEWHERE.get(name, "")
        if whole.startswith(("requests.", "httpx.")) or name.startswith("fetch_"):
            where = "the network"
        if call.args and (text_of(call.args[0], names) or "").startswith(("http://", "https://")) and "read" in name:
            where = "the network"
        if where:
            yield Named(text=where, line=call.lineno)


def _servers(tree: ast.AST, calls: list[ast.Call], names: Mapping[str, str]) -> Iterator[Named]:
    """MLflow servers whose address stands in the code: no variable of the environment sends the runs elsewhere."""
    told: list[tuple[ast.expr, int]] = []
    for call in calls:
        given = [one.value for one in call.keywords if one.arg in {"uri", "tracking_uri"}]
        if name_of(call.func) in {"set_tracking_uri", "MlflowClient"}:
            told += [(one, call.lineno) for one in (*call.args[:1], *given)]
        if dotted(call.func) == "dagshub.init":
            yield Named(text="DagsHub", line=call.lineno)
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any("MLFLOW_TRACKING_URI" in ast.unparse(one) for one in node.targets):
            told.append((node.value, node.lineno))
    for value, line in told:
        text = text_of(value, names) or ""
        if text.startswith(("http://", "https://", "databricks")):
            yield Named(text=text, line=line)


def _labels(tree: ast.AST, calls: list[ast.Call]) -> Iterator[Named]:
    """Columns that are split off as the label: `y = df["late"]`, `X = df.drop("late", axis=1)`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Subscript):
            names = [one.id.lower() for one in node.targets if isinstance(one, ast.Name)]
            if any(name in {"y", "target", "labels", "label", "y_train", "train_y", "test_y"} for name in names):
                yield from (Named(text=text, line=node.lineno) for text in _words(node.value.slice))
    for call in calls:
        if name_of(call.func) == "drop":
            places = [*call.args[:1], *(one.value for one in call.keywords if one.arg == "columns")]
            yield from (Named(text=text, line=call.lineno) for one in places for text in _words(one))


def _words(node: ast.expr) -> list[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return [node.value]
    if isinstance(node, ast.List | ast.Tuple) and len(node.elts) == 1:
        return _words(node.elts[0])
    return []


def _modules(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name.split(".")[0] for one in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]
