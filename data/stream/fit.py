"""Fits the small model that the stream consumer scores with; its result is committed as model.json."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pandas as pd
from sklearn.linear_model import LogisticRegression

CATEGORICAL = ["carrier", "origin", "dest", "hour", "weekday"]
NUMERIC = ["distance", "temp", "humid", "wind_speed", "precip", "pressure", "visib", "recent_delay"]
DIGITS = 5


def fit(table: pd.DataFrame) -> dict[str, object]:
    """Weights per category value, and per number its centre, width and weight."""
    means, scales = table[NUMERIC].mean(), table[NUMERIC].std()
    dummies = pd.get_dummies(table[CATEGORICAL].astype(str), prefix_sep="=", dtype="float32")
    inputs = pd.concat([dummies, ((table[NUMERIC] - means) / scales).fillna(0.0)], axis=1)
    model = LogisticRegression(max_iter=300).fit(inputs, table["late"])
    weights = {name: round(float(w), DIGITS) for name, w in zip(inputs.columns, model.coef_[0], strict=True)}
    categories: dict[str, dict[str, float]] = {name: {} for name in CATEGORICAL}
    for column in dummies.columns:
        name, value = column.split("=", 1)
        categories[name][value] = weights[column]
    numbers = {
        name: {
            "mean": round(float(means[name]), DIGITS),
            "scale": round(float(scales[name]), DIGITS),
            "weight": weights[name],
        }
        for name in NUMERIC
    }
    return {
        "intercept": round(float(model.intercept_[0]), DIGITS),
        "categories": categories,
        "numbers": numbers,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--prepared", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = fit(pd.read_parquet(args.prepared / "train.parquet"))
    args.out.write_text(json.dumps(model, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
