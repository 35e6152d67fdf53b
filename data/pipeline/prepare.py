"""Turns the raw tables into the training table."""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
from features import prepared


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--raw", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    flights = pd.read_parquet(args.raw / "flights.parquet")
    weather = pd.read_parquet(args.raw / "weather.parquet")
    table = prepared(flights, weather)
    args.out.mkdir(parents=True, exist_ok=True)
    table.to_parquet(args.out / "train.parquet", index=False)
    print(f"prepared {len(table)} rows of {len(flights)} flights")


if __name__ == "__main__":
    main()
