"""Proposed checks as files: JSON that a gate loads, and pandera code to paste."""

from __future__ import annotations

import inspect
import json
from collections.abc import Sequence

from chaos_tasks.gates import checks
from chaos_tasks.gates.limits import ExtraCheck

HEADER = '''\
"""Extra checks, inferred from clean data versions: paste what you want into your gate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
import pandera.pandas as pa
'''


def as_json(proposed: Sequence[ExtraCheck]) -> str:
    """What `validate.py --extra` of the reference pipeline reads; any gate with a copy of gates/checks.py can."""
    return json.dumps({"checks": [check.model_dump(mode="json") for check in proposed]}, indent=1) + "\n"


def as_pandera(proposed: Sequence[ExtraCheck]) -> str:
    """A module that stands alone: the functions that are used, and one schema per table."""
    used = sorted({check.statistic for check in proposed})
    functions = [inspect.getsource(checks.STATISTICS[name]) for name in used]
    tables = sorted({check.table for check in proposed})
    schemas = [_schema(table, [check for check in proposed if check.table == table]) for table in tables]
    return "\n\n".join([HEADER, *functions, *schemas])


def _schema(table: str, proposed: Sequence[ExtraCheck]) -> str:
    name = "".join(letter if letter.isalnum() else "_" for letter in table).upper()
    lines = "\n".join(f"        {line(check)}," for check in proposed)
    return f"{name} = pa.DataFrameSchema(  # of {table}\n    checks=[\n{lines}\n    ]\n)\n"


def line(check: ExtraCheck) -> str:
    """One check as a pandera expression."""
    arguments = ", ".join(f"{name}={value!r}" for name, value in check.arguments.items())
    taken = f"{check.statistic}(table, {arguments})"
    return f"pa.Check(lambda table: {check.min!r} <= {taken} <= {check.max!r}, name={check.name!r})"
