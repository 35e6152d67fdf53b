"""Predictions are matched by key, proved by digest, and refused where two models did not see the same rows."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pytest

from chaos_tasks.errors import ProbeError
from chaos_tasks.model.trial import Arm
from chaos_tasks.probes.predictions import ABSENT, MAX_GROUPS, generator, matched, scored
from tests.predictions import LAYOUT, Columns, drawn, pair, trial

Spoil = Callable[[Columns], Columns]


def test_rows_are_matched_by_key_whatever_their_order(tmp_path: Path) -> None:
    columns = drawn(50)
    order = np.random.default_rng(3).permutation(50)
    mixed = {
        **{name: columns[name][order] for name in ("id", "late", "score")},
        "origin": columns["origin"].take(order),
    }
    found = matched(*pair(tmp_path, columns, mixed), LAYOUT, ["origin"])
    assert np.array_equal(found.control, found.treatment)
    assert found.n == 50


def test_the_order_of_rows_comes_from_the_seed_alone(tmp_path: Path) -> None:
    columns = drawn(50)
    once = matched(*pair(tmp_path / "a", columns, columns), LAYOUT)
    again = matched(*pair(tmp_path / "b", columns, drawn(50, shift=0.3)), LAYOUT)
    assert np.array_equal(once.control, again.control)
    assert not np.array_equal(once.control, columns["score"])


def test_draws_depend_on_seed_and_purpose() -> None:
    assert generator(1, "a").random() == generator(1, "a").random()
    assert len({generator(seed, purpose).random() for seed in (-1, 1, 2**70) for purpose in "ab"}) == 6


@pytest.mark.parametrize(
    ("spoil", "cause"),
    [
        (lambda c: {name: column[:-1] for name, column in c.items()}, "of which 49 are the same"),
        (lambda c: {**c, "id": c["id"] + 1}, "of which 49 are the same"),
        (lambda c: {**c, "id": c["id"] // 2}, "predicted a row twice"),
        (lambda c: {**c, "late": 1 - c["late"]}, "other labels"),
        (lambda c: {**c, "late": c["late"] * 2}, "something else than 0 and 1"),
        (lambda c: {name: column for name, column in c.items() if name != "score"}, "has no column score"),
        (lambda c: {**c, "id": pa.array([None, *range(49)])}, "has no key"),
        (lambda c: {**c, "score": ["x"] * 50}, "holds no numbers"),
        (lambda c: {name: column[:0] for name, column in c.items()}, "predicted no row"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_the_reason(tmp_path: Path, spoil: Spoil, cause: str) -> None:
    with pytest.raises(ProbeError, match=cause) as caught:
        matched(*pair(tmp_path, drawn(50), spoil(drawn(50))), LAYOUT)
    assert caught.value.remedy


def test_no_row_is_named_in_an_error(tmp_path: Path) -> None:
    columns = {**drawn(50), "id": [f"passenger-{n}" for n in range(50)]}
    other = {**columns, "id": [f"traveller-{n}" for n in range(50)]}
    with pytest.raises(ProbeError) as caught:
        matched(*pair(tmp_path, columns, other), LAYOUT)
    assert "passenger" not in str(caught.value)
    assert "traveller" not in str(caught.value)


def test_keys_may_be_text_and_scores_and_groups_may_be_null(tmp_path: Path) -> None:
    columns = {
        "id": ["b", "a"],
        "late": [True, False],
        "score": pa.array([None, 0.5]),
        "origin": pa.array(["JFK", None]),
    }
    found = scored(trial(tmp_path, Arm.CONTROL, columns), LAYOUT, ["origin"])
    assert found.keys.tolist() == ["b", "a"]
    assert np.isnan(found.scores).tolist() == [True, False]
    assert [found.groups["origin"].names[code] for code in found.groups["origin"].codes] == ["JFK", ABSENT]


def test_a_column_that_names_rows_is_no_group(tmp_path: Path) -> None:
    columns = {**drawn(MAX_GROUPS + 1), "origin": [f"p{n}" for n in range(MAX_GROUPS + 1)]}
    with pytest.raises(ProbeError, match="names rows, not groups"):
        scored(trial(tmp_path, Arm.CONTROL, columns), LAYOUT, ["origin"])


def test_csv_is_read_too(tmp_path: Path) -> None:
    left = trial(tmp_path, Arm.CONTROL, drawn(20))
    plain = {name: column for name, column in drawn(20).items() if name != "origin"}
    pacsv.write_csv(pa.table(plain), tmp_path / "control" / "p.csv")
    found = scored(left, LAYOUT.model_copy(update={"path": "p.csv"}))
    assert np.allclose(found.scores, scored(left, LAYOUT).scores)


@pytest.mark.parametrize("name", ["../p.parquet", "p.xlsx", "absent.parquet"])
def test_only_a_file_of_a_known_form_below_the_trials_folder_is_read(tmp_path: Path, name: str) -> None:
    left = trial(tmp_path, Arm.CONTROL, drawn(20))
    (tmp_path / "p.parquet").write_bytes(b"")
    (tmp_path / "control" / "p.xlsx").write_bytes(b"")
    with pytest.raises(ProbeError):
        scored(left, LAYOUT.model_copy(update={"path": name}))


def test_a_torn_file_is_an_error_of_the_probe(tmp_path: Path) -> None:
    left = trial(tmp_path, Arm.CONTROL, drawn(20)).model_copy(update={"files": {}})
    path = tmp_path / "control" / LAYOUT.path
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ProbeError, match="cannot be read"):
        scored(left, LAYOUT)


def test_comparing_a_pair_imports_no_pandas(tmp_path: Path) -> None:
    """A second of each task's time."""
    control, treatment = pair(tmp_path, drawn(200), drawn(200, shift=0.1))
    program = (
        "import sys; from chaos_tasks.model.trial import Trial; from chaos_tasks.probes.predictions import matched;"
        "from chaos_tasks.model.target import Predictions;"
        "matched(*(Trial.model_validate_json(text) for text in sys.argv[1:3]),"
        "Predictions.model_validate_json(sys.argv[3]), ['origin']); assert 'pandas' not in sys.modules"
    )
    texts = [one.model_dump_json() for one in (control, treatment, LAYOUT)]
    subprocess.run([sys.executable, "-c", program, *texts], check=True)
