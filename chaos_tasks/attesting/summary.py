"""The statement that a model gate reads: which faults a version was shown to withstand, as short properties.

in-toto Simple Verification Result v0.2 (https://github.com/in-toto/attestation/blob/main/spec/predicates/svr.md).  A
property is there only if the latest judged run of that sort held; one that deviated, or gave no answer, has none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from chaos_tasks.errors import SquallError
from chaos_tasks.evidence.body import Tested
from chaos_tasks.model.verdict import Outcome
from chaos_tasks.signing.statement import Statement, SubjectDigest

PREDICATE = "https://in-toto.io/attestation/svr/v0.2"
VERIFIER = "https://squall.dev/verifier/v1"


def summary_of(runs: Iterable[Tested], subject: SubjectDigest, *, at: datetime, policy: str = "") -> Statement:
    """What is shown of ``subject``; raises SquallError without a single judged run, since that shows nothing.

    ``policy``: SHA-256 of the plans' own policy file, where there is one.
    """
    latest = _latest(runs)
    if not latest:
        raise SquallError(
            f"no judged run speaks about {subject.name}", remedy="run its experiments first: `squall suggest`"
        )
    properties = _tolerated(latest)
    policies = [{"uri": "urn:squall:policy", "digest": {"sha256": policy}}] if policy else []
    return Statement(
        subject=(subject,),
        predicate_type=PREDICATE,
        predicate={
            "verifier": {"id": VERIFIER, **({"policies": [*policies]} if policies else {})},
            "timeCreated": at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            "properties": [*properties],
        },
    )


def properties_of(run: Tested) -> tuple[str, ...]:
    """Such as SQUALL_DATA_LABEL_FLIP_TOLERATED: one for each fault of a run that held with every undo proved."""
    if run.outcome is not Outcome.HELD or not all(fault.proved for fault in run.faults):
        return ()
    return tuple(property_name(kind) for kind in run.fault_kinds)


def property_name(kind: str) -> str:
    """A kind of fault as a property."""
    return f"SQUALL_{re.sub('[^A-Z0-9]+', '_', kind.upper())}_TOLERATED"


def missing(found: Sequence[str], wanted: Iterable[str]) -> list[str]:
    """Kinds of fault that the properties do not cover, in the order asked for."""
    return [kind for kind in wanted if property_name(kind) not in found]


def _latest(runs: Iterable[Tested]) -> list[Tested]:
    """The last judged run of each experiment: an older answer does not stand beside a newer one."""
    found: dict[str, Tested] = {}
    for run in sorted(runs, key=lambda one: one.verdict_seq):
        found[run.experiment] = run
    return list(found.values())


def _tolerated(latest: Sequence[Tested]) -> list[str]:
    """A kind that one experiment withstood and another did not counts as not withstood."""
    bad = {property_name(kind) for run in latest if run.outcome is not Outcome.HELD for kind in run.fault_kinds}
    return sorted({name for run in latest for name in properties_of(run)} - bad)
