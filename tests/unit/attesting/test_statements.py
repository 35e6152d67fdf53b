"""What a statement about a run or a model says, and what an alias can be set by."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos_tasks.attesting.promoting import Gate, ModelVersion, attest, digest_of
from chaos_tasks.attesting.summary import PREDICATE, properties_of, property_name
from chaos_tasks.attesting.test_result import EXTENSION, statement_of
from chaos_tasks.errors import GuardTripped, SetupError, SignatureInvalid, SquallError
from chaos_tasks.evidence import body as values
from chaos_tasks.evidence.body import LogHead
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.signing import dsse
from chaos_tasks.signing.keys import SigningKey
from chaos_tasks.signing.statement import Statement
from tests.unit.evidence.bodies import body

KEY = SigningKey("example.org/reports", b"R" * 32)
STRANGER = SigningKey("example.org/reports", b"S" * 32)
HEAD = LogHead(origin="example.org/log", size=600, root_sha256="ab" * 32)
MODEL = ModelVersion(name="late-flights", version="7")
NOW = datetime(2026, 11, 24, tzinfo=UTC)
FLIP = "data.label_flip"


def run(experiment: str) -> values.Tested:
    return next(one for one in body().tested if one.experiment == experiment)


@pytest.mark.parametrize(
    ("experiment", "result"),
    [("missing-values", "PASSED"), ("label-flip", "FAILED"), ("late-data", "WARNED"), ("deny-access", "FAILED")],
)
def test_every_outcome_has_a_result_and_none_is_dropped(experiment: str, result: str) -> None:
    statement = statement_of(run(experiment), HEAD)
    assert statement.predicate["result"] == result
    extension = statement.predicate[EXTENSION]
    assert isinstance(extension, dict)
    assert extension["outcome"] == run(experiment).outcome.value


def test_thresholds_and_plan_are_shown_to_come_first_in_the_log() -> None:
    told = statement_of(run("label-flip"), HEAD).predicate[EXTENSION]
    assert isinstance(told, dict)
    assert isinstance(told["ledger"], dict)
    assert int(str(told["ledger"]["registeredIndex"])) < int(str(told["ledger"]["verdictIndex"]))
    assert isinstance(told["checks"], list)
    first = told["checks"][0]
    assert isinstance(first, dict)
    assert float(str(first["margin"])) == run("label-flip").checks[0].margin
    late = run("label-flip").model_copy(update={"registered_seq": 10_000})
    with pytest.raises(SquallError, match="its plan at record 10000"):
        statement_of(late, HEAD)


def test_only_what_held_with_every_undo_proved_is_a_property() -> None:
    assert properties_of(run("missing-values")) == (property_name(FLIP),)
    assert properties_of(run("label-flip")) == ()
    assert properties_of(run("late-data")) == ()
    unproved = run("deny-access").model_copy(update={"outcome": Outcome.HELD})
    assert properties_of(unproved) == ()


class Folder:
    """A registry in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.aliases = folder, dict[str, str]()

    def files(self, model: ModelVersion) -> Path:
        return self.folder

    def point(self, model: ModelVersion, alias: str) -> None:
        self.aliases[alias] = model.version


@pytest.fixture
def registry(tmp_path: Path) -> Folder:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_bytes(b"1234")
    (tmp_path / "MLmodel").write_text("flavors: {}")
    return Folder(tmp_path)


def gate(require: tuple[str, ...] = (FLIP,), at: datetime = NOW) -> Gate:
    return Gate(require, [KEY.verify_key], timedelta(days=7), lambda: at)


def held(registry: Folder) -> bytes:
    return attest(MODEL, registry.files(MODEL), [run("missing-values")], KEY, at=NOW)


def test_an_alias_is_set_by_a_statement_about_exactly_these_bytes(registry: Folder) -> None:
    done = gate().promote(MODEL, "champion", held(registry), registry)
    assert registry.aliases == {"champion": "7"}
    assert done.properties == (property_name(FLIP),)


Change = Callable[[Folder, bytes], tuple[Gate, ModelVersion, bytes]]


def _weights(registry: Folder, envelope: bytes) -> tuple[Gate, ModelVersion, bytes]:
    (registry.folder / "model" / "weights").write_bytes(b"1235")
    return gate(), MODEL, envelope


def _deviated(registry: Folder, envelope: bytes) -> tuple[Gate, ModelVersion, bytes]:
    runs = [run("missing-values"), run("label-flip")]
    return gate(), MODEL, attest(MODEL, registry.folder, runs, KEY, at=NOW)


def _forged(registry: Folder, envelope: bytes) -> tuple[Gate, ModelVersion, bytes]:
    return gate(), MODEL, attest(MODEL, registry.folder, [run("missing-values")], STRANGER, at=NOW)


def _edited(registry: Folder, envelope: bytes) -> tuple[Gate, ModelVersion, bytes]:
    told = json.loads(envelope)
    told["payload"] = told["payload"][:-8] + "AAAA" + told["payload"][-4:]
    return gate(), MODEL, json.dumps(told).encode()


def _of_a_run(registry: Folder, envelope: bytes) -> tuple[Gate, ModelVersion, bytes]:
    return gate(), MODEL, dsse.seal(statement_of(run("missing-values"), HEAD).to_bytes(), KEY)


CASES: dict[str, tuple[Change, type[SquallError], str]] = {
    "a file changed": (_weights, GuardTripped, "as it is now"),
    "another version": (
        lambda r, e: (gate(), ModelVersion(name="late-flights", version="8"), e),
        GuardTripped,
        "as it is",
    ),
    "one of its experiments deviated": (_deviated, GuardTripped, "not shown to tolerate data.label_flip"),
    "something else is required": (lambda r, e: (gate((FLIP, "process.kill")), MODEL, e), GuardTripped, "process.kill"),
    "it is old": (lambda r, e: (gate(at=NOW + timedelta(days=8)), MODEL, e), GuardTripped, "attest again"),
    "it is from the future": (lambda r, e: (gate(at=NOW - timedelta(hours=1)), MODEL, e), GuardTripped, "old at most"),
    "a stranger signed it": (_forged, SignatureInvalid, "sign"),
    "it was edited": (_edited, SignatureInvalid, "sign"),
    "it is about a run": (_of_a_run, GuardTripped, "not a summary"),
}


@pytest.mark.parametrize("name", CASES)
def test_no_alias_without_the_evidence(name: str, registry: Folder) -> None:
    change, error, said = CASES[name]
    asked, model, envelope = change(registry, held(registry))
    with pytest.raises(error, match=said):
        asked.promote(model, "champion", envelope, registry)
    assert registry.aliases == {}


def test_without_a_judged_run_nothing_is_attested(registry: Folder) -> None:
    with pytest.raises(SquallError, match="no judged run"):
        attest(MODEL, registry.folder, [], KEY, at=NOW)


def test_a_model_without_files_has_no_digest(tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="no file"):
        digest_of(tmp_path)


def test_the_summary_is_an_in_toto_statement_of_its_type(registry: Folder) -> None:
    opened = dsse.open_envelope(held(registry), [KEY.verify_key])
    statement = Statement.from_bytes(opened.payload)
    assert statement.predicate_type == PREDICATE
    assert statement.subject[0].digest["sha256"] == digest_of(registry.folder)
