"""The gate before training: refuses a prepared table that leaves the limits learnt from clean months."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import extra_checks
import pandas as pd
import pandera.pandas as pa
from pandera.errors import SchemaErrors

REFUSED = 3
Gate = dict[str, Any]


def few_nulls(share: float) -> pa.Check:
    return pa.Check(lambda column: bool(column.isna().mean() <= share), name="null_share", ignore_na=False)


def mostly(within: Callable[[pd.Series], pd.Series], unusual: float, name: str) -> pa.Check:
    """Lets a small share of unusual values through; beyond it, each of them is a failure."""

    def check(column: pd.Series) -> pd.Series:
        ok = within(column)
        return ok if (~ok).mean() > unusual else pd.Series(True, index=column.index)

    return pa.Check(check, name=name)


def column(limits: Gate, unusual: float) -> pa.Column:
    checks = [few_nulls(limits["null_share"])]
    if "values" in limits:
        checks.append(mostly(lambda c: c.isin(limits["values"]), unusual, "isin"))
    else:
        checks.append(mostly(lambda c: c.between(limits["min"], limits["max"]), unusual, "in_range"))
    return pa.Column(limits["dtype"], checks, nullable=limits["null_share"] > 0)


def label(gate: Gate) -> pa.Column:
    rate, limits = gate["label_rate"], gate["label"]
    within = pa.Check(lambda late: bool(rate["min"] <= late.mean() <= rate["max"]), name="label_rate")
    return pa.Column(limits["dtype"], [pa.Check.isin(limits["values"]), within])


def enough_rows(gate: Gate) -> list[pa.Check]:
    rows, month = gate["rows"], gate["rows_per_month"]
    return [
        pa.Check(lambda table: len(table) >= rows["min"], name="rows"),
        pa.Check(
            lambda table: bool(table.groupby("month").size().between(month["min"], month["max"]).all()),
            name="rows_per_month",
        ),
    ]


def schema(gate: Gate) -> pa.DataFrameSchema:
    columns = {name: column(limits, gate["unusual_share"]) for name, limits in gate["columns"].items()}
    columns[gate["label"]["name"]] = label(gate)
    columns[gate["key"]] = pa.Column("int64", unique=True)
    return pa.DataFrameSchema(columns, checks=enough_rows(gate))


def failures(table: pd.DataFrame, gate: Gate) -> list[dict[str, Any]]:
    """What is wrong, by column and check, with the number of values; never the values themselves."""
    try:
        schema(gate).validate(table, lazy=True)
    except SchemaErrors as errors:
        cases = errors.failure_cases
    else:
        return []
    cases = cases.assign(column=cases["column"].fillna("").astype(str), check=cases["check"].astype(str))
    counts = cases.groupby(["column", "check"]).size()
    return [{"column": c, "check": k.split("(")[0], "count": int(n)} for (c, k), n in counts.items()]


def extra(checks: list[Gate]) -> pa.DataFrameSchema:
    """Checks adopted later, on one table each: a number of it within limits."""

    def one(check: Gate) -> pa.Check:
        return pa.Check(lambda table: extra_checks.holds(table, check), name=check["name"])

    return pa.DataFrameSchema(checks=[one(check) for check in checks])


def extra_failures(path: Path, checks: list[Gate]) -> list[dict[str, Any]]:
    """Which extra checks a table does not pass."""
    try:
        extra(checks).validate(pd.read_parquet(path), lazy=True)
    except SchemaErrors as errors:
        names = sorted(set(errors.failure_cases["check"].astype(str)))
        return [{"column": path.stem, "check": name, "count": 1} for name in names]
    return []


def adopted(file: Path, data: Path, prepared: Path) -> list[dict[str, Any]]:
    """All failures of a file of extra checks; a table's name is a path below `data`, or prepared/NAME."""
    by_table: dict[Path, list[Gate]] = {}
    for check in json.loads(file.read_text())["checks"]:
        folder, _, name = check["table"].rpartition("/")
        path = prepared / name if folder == "prepared" else data / check["table"]
        by_table.setdefault(path, []).append(check)
    return [failure for path, checks in by_table.items() for failure in extra_failures(path, checks)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--gate", type=Path, default=Path(__file__).with_name("gate.json"))
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--extra", type=Path, help="JSON file of checks adopted later")
    parser.add_argument("--data", type=Path, default=Path(), help="where extra checks find the tables that they name")
    args = parser.parse_args()
    found = failures(pd.read_parquet(args.prepared / "train.parquet"), json.loads(args.gate.read_text()))
    if args.extra:
        found += adopted(args.extra, args.data, args.prepared)
    report = {"passed": not found, "failures": found, "at": datetime.now(UTC).isoformat()}
    args.report.parent.mkdir(parents=True, exist_ok=True)
    args.report.write_text(json.dumps(report, indent=1) + "\n")
    for failure in found:
        print(f"refused: {failure['column']} fails {failure['check']} ({failure['count']})", file=sys.stderr)
    sys.exit(REFUSED if found else 0)


if __name__ == "__main__":
    main()
