"""What text a Python expression stands for, where that can be known without running it."""

from __future__ import annotations

import ast
from collections.abc import Mapping

_JOINS = frozenset({"join", "joinpath"})
_PATHS = frozenset({"Path", "PurePath", "PosixPath", "str", "abspath", "resolve", "fspath", "as_posix", "expanduser"})


def constants(tree: ast.AST) -> dict[str, str]:
    """Names that are given one text anywhere in a file, in the order of the file: a later one may use an earlier."""
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        value: ast.expr | None = None
        if isinstance(node, ast.Assign):
            targets, value = node.targets, node.value
        elif isinstance(node, ast.AnnAssign):
            targets, value = [node.target], node.value
        if value is None:
            continue
        text = text_of(value, found)
        for target in targets:
            if isinstance(target, ast.Name) and text is not None:
                found[target.id] = text
    return found


def text_of(node: ast.expr, names: Mapping[str, str]) -> str | None:
    """The text of an expression, or None; the folder of the script itself is `@`."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        return "@/x" if node.id == "__file__" else names.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div | ast.Add):
        left, right = text_of(node.left, names), text_of(node.right, names)
        if left is None or right is None:
            return None
        return f"{left.rstrip('/')}/{right}" if isinstance(node.op, ast.Div) else left + right
    if isinstance(node, ast.JoinedStr):
        parts = [text_of(one.value if isinstance(one, ast.FormattedValue) else one, names) for one in node.values]
        return None if any(one is None for one in parts) else "".join(one or "" for one in parts)
    if isinstance(node, ast.Attribute) and node.attr == "parent":
        return _parent(text_of(node.value, names))
    if isinstance(node, ast.Call):
        return _of_call(node, names)
    return None


def _of_call(node: ast.Call, names: Mapping[str, str]) -> str | None:
    name = name_of(node.func)
    told = [text_of(one, names) for one in node.args]
    if name in _JOINS and told:
        first = [text_of(node.func.value, names)] if name == "joinpath" and isinstance(node.func, ast.Attribute) else []
        parts = [*first, *told]
        return None if any(one is None for one in parts) else "/".join(one or "" for one in parts)
    if name == "dirname":
        return _parent(told[0]) if told else None
    if name in _PATHS:
        return told[0] if told else text_of(node.func.value, names) if isinstance(node.func, ast.Attribute) else None
    return None


def _parent(text: str | None) -> str | None:
    """Above the folder of the script, `@`, stands `@/..`."""
    if text is None or text == "@" or text.endswith("/.."):
        return None if text is None else f"{text}/.."
    return text.rpartition("/")[0] or "."


def name_of(node: ast.expr) -> str:
    """Last word of a called name: `read_csv` of `pd.read_csv`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def dotted(node: ast.expr) -> str:
    """A called name as it is written."""
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""
