"""Learns the gate's limits from clean months: what was ever seen, with some room."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pandas as pd
from schema import CATEGORICAL, KEY, LABEL, NUMERIC

TAIL = 0.001
RANGE_SLACK = 0.25  # of the width between the outer quantiles
NULL_SLACK, NULL_FLOOR = 1.5, 0.01
ROWS_SLACK = 0.25
RATE_SLACK = 0.05
UNUSUAL = 0.001  # the share of values outside that is let through: a new destination, a cloudburst
Limits = dict[str, Any]


def numeric(column: pd.Series, months: pd.Series) -> Limits:
    """The range of the outer quantiles, and the share of missing values of the worst month."""
    low, high = column.quantile(TAIL), column.quantile(1 - TAIL)
    room = RANGE_SLACK * (high - low)
    nulls = column.isna().groupby(months).mean().max()
    return {
        "dtype": str(column.dtype),
        "min": 0.0 if column.min() >= 0 else float(min(low - room, column.min())),
        "max": float(max(high + room, column.max())),
        "null_share": float(nulls * NULL_SLACK + NULL_FLOOR) if nulls else 0.0,
    }


def category(column: pd.Series) -> Limits:
    return {"dtype": str(column.dtype), "values": sorted(column.unique().tolist()), "null_share": 0.0}


def infer(table: pd.DataFrame) -> Limits:
    """The whole gate as plain data."""
    per_month, rates = table.groupby("month").size(), table.groupby("month")[LABEL].mean()
    columns = {name: category(table[name]) for name in CATEGORICAL}
    columns |= {name: numeric(table[name], table["month"]) for name in NUMERIC}
    return {
        "key": KEY,
        "unusual_share": UNUSUAL,
        "columns": columns,
        "label": {"name": LABEL, "values": [0, 1], "dtype": str(table[LABEL].dtype)},
        "label_rate": {"min": float(rates.min() - RATE_SLACK), "max": float(rates.max() + RATE_SLACK)},
        "rows": {"min": int(len(table) * (1 - ROWS_SLACK))},
        "rows_per_month": {
            "min": int(per_month.min() * (1 - ROWS_SLACK)),
            "max": int(per_month.max() * (1 + ROWS_SLACK)),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True, help="folder of a clean train.parquet")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    gate = infer(pd.read_parquet(args.prepared / "train.parquet"))
    args.out.write_text(json.dumps(gate, indent=1) + "\n")


if __name__ == "__main__":
    main()
