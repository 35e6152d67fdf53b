"""What fairlearn, evidently and scipy take for the questions of `benchmarks/judging.py`, and what they answer.

Runs in the opponents' own virtual environment; knows nothing of Squall.  Prints one JSON object.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

warnings.simplefilter("ignore")
Arrays = Mapping[str, Any]
Answer = dict[str, Any]
LEVEL = [0.05, 0.95]


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """CPU seconds, seconds on the clock, and what came out."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.process_time() - cpu, time.perf_counter() - wall, result


def frame(arrays: Arrays, metrics: Mapping[str, Any], boots: int | None) -> Any:
    from fairlearn.metrics import MetricFrame

    options = {"n_boot": boots, "ci_quantiles": LEVEL, "random_state": 1} if boots else {}
    found = MetricFrame(
        metrics=dict(metrics),
        y_true=arrays["labels"],
        y_pred=arrays["decisions"],
        sensitive_features=arrays["codes"],
        **options,
    )
    return found.difference_ci() if boots else found.difference()


def fairness(arrays: Arrays, boots: int) -> Answer:
    """Seconds for `boots` bootstraps beyond the point estimate: of four rates at once, and of one."""
    from fairlearn.metrics import false_positive_rate, selection_rate, true_positive_rate
    from sklearn.metrics import accuracy_score

    rates = {
        "selection": selection_rate,
        "tpr": true_positive_rate,
        "fpr": false_positive_rate,
        "accuracy": accuracy_score,
    }
    found: Answer = {}
    for name, metrics in (("four", rates), ("one", {"tpr": true_positive_rate})):
        frame(arrays, metrics, None)
        cpu_0, wall_0, _ = timed(partial(frame, arrays, metrics, None))
        cpu, wall, ends = timed(partial(frame, arrays, metrics, boots))
        found[name] = {
            "cpu_s": cpu - cpu_0,
            "wall_s": wall - wall_0,
            "boots": boots,
            "ends": {rate: [float(end[rate]) for end in ends] for rate in metrics},
        }
    return found


def point(arrays: Arrays) -> Answer:
    """Equalised odds difference of a million rows."""
    from fairlearn.metrics import equalized_odds_difference

    cpu, wall, value = timed(
        lambda: equalized_odds_difference(
            arrays["many_labels"], arrays["many_decisions"], sensitive_features=arrays["many_codes"]
        )
    )
    return {"cpu_s": cpu, "wall_s": wall, "value": float(value)}


def evidently(arrays: Arrays) -> dict[str, Answer]:
    """The preset, and the same measure alone, without its histograms; both from ready data sets."""
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.metrics import ValueDrift
    from evidently.presets import DataDriftPreset

    names = [f"c{place}" for place in range(len(arrays["reference"]))]
    definition = DataDefinition(numerical_columns=names)
    reference, current = (
        Dataset.from_pandas(pd.DataFrame(dict(zip(names, arrays[arm], strict=True))), data_definition=definition)
        for arm in ("reference", "current")
    )

    def report_of(metrics: list[Any]) -> Answer:
        report: Answer = Report(metrics).run(current, reference).dict()
        return report

    found = {}
    for title, metrics in (
        ("preset", [DataDriftPreset()]),
        ("measure", [ValueDrift(column=name) for name in names]),
    ):
        cpu, wall, report = timed(partial(report_of, metrics))
        drifts = {
            one["config"]["column"]: float(one["value"])
            for one in report["metrics"]
            if one["config"]["type"].endswith("ValueDrift")
        }
        found[title] = {"cpu_s": cpu, "wall_s": wall, "normed": [drifts[name] for name in names]}
    return found


def scipy(arrays: Arrays) -> dict[str, Answer]:
    """The exact distances, column by column."""
    from scipy.stats import ks_2samp, wasserstein_distance

    pairs = list(zip(arrays["reference"], arrays["current"], strict=True))
    cpu, wall, distances = timed(lambda: [wasserstein_distance(a, b) for a, b in pairs])
    ks_cpu, ks_wall, statistics = timed(lambda: [ks_2samp(a, b, method="asymp").statistic for a, b in pairs])
    return {
        "wasserstein": {"cpu_s": cpu, "wall_s": wall, "values": [float(value) for value in distances]},
        "ks": {"cpu_s": ks_cpu, "wall_s": ks_wall, "values": [float(value) for value in statistics]},
    }


def main() -> None:
    """All opponents once, on the arrays of a file."""
    path, boots = Path(sys.argv[1]), int(sys.argv[2])
    arrays = np.load(path)
    loaded = {name: arrays[name] for name in arrays.files}
    answer = {
        "versions": {name: version(name) for name in ("fairlearn", "evidently", "scipy", "numpy", "pandas")},
        "fairness": fairness(loaded, boots),
        "point": point(loaded),
        "evidently": evidently(loaded),
        "scipy": scipy(loaded),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
