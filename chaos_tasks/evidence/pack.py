"""The evidence pack: every document of a period, its records with proofs, keys, a verifier, and a signed list of all.

A pure function of its inputs: the same records, keys and time of issue give the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files as resources

from chaos_tasks.evidence import html, markdown, tables
from chaos_tasks.evidence.body import Body
from chaos_tasks.evidence.collecting import uncollected
from chaos_tasks.evidence.controls import ControlTable
from chaos_tasks.evidence.oscal.plan import assessment_plan
from chaos_tasks.evidence.oscal.poam import plan_of_action
from chaos_tasks.evidence.oscal.results import assessment_results
from chaos_tasks.signing import dsse
from chaos_tasks.signing.keys import SigningKey, VerifyKey
from chaos_tasks.signing.statement import Statement, SubjectDigest

PREDICATE = "https://squall.dev/attestation/evidence-pack/v1"
MANIFEST, CHECKPOINT, RECORDS, LEAVES, KEYS = (
    "manifest.dsse.json", "checkpoint", "records.jsonl", "leaves.bin", "keys.txt",
)  # fmt: skip
PLAN, RESULTS, POAM = "assessment-plan.json", "assessment-results.json", "poam.json"
ATTESTATIONS = "attestations.intoto.jsonl"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time that a zip knows: the real one is in the manifest

HOW_TO = """\
# How to check this pack

    python verify.py --vkey KEY

needs Python 3.11 or newer and the package `cryptography`; nothing of Squall and no network. KEY is the key of the log
and that of the reports, as you were given them on another way than with this pack (a file of several lines will do).
Six answers come out: files, authenticity, integrity, order, completeness, re-performance. Without `--vkey`,
authenticity is `not shown`; without `redeciding.py` beside it, re-performance.

- `redeciding.py`: decides every verdict again from the records; it shares no code with what made the verdicts.

- `report.html`, `report.md`: the document for people; `report.json`: everything in it as data.
- `runs.csv`, `findings.csv`: for spreadsheets.
- `assessment-plan.json`, `assessment-results.json`, `poam.json`: OSCAL 1.2.1.
- `records.jsonl`: the records of these runs, as bytes; `leaves.bin`, or a path with each: that they are in the log.
- `checkpoint`: size and root of the log, signed by the log's key; compare it with one that was published elsewhere.
- `attestations.intoto.jsonl`: one in-toto statement in a DSSE envelope for each run.
- `manifest.dsse.json`: the list of all of this with digests, signed.
"""


@dataclass(frozen=True)
class PackedRecord:
    """One row of the log as bytes; ``path`` leads to the root where the pack does not have all leaves."""

    seq: int
    header: bytes
    salt: bytes | None
    payload: bytes | None
    path: tuple[bytes, ...] | None = None

    def line(self) -> bytes:
        """One line of JSON."""
        told: dict[str, object] = {"seq": self.seq, "header": _text(self.header)}
        if self.salt is not None and self.payload is not None:
            told |= {"salt": _text(self.salt), "payload": _text(self.payload)}
        if self.path is not None:
            told["path"] = [_text(step) for step in self.path]
        return json.dumps(told, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@dataclass(frozen=True)
class Log:
    """What of the log goes into a pack."""

    checkpoint: str  # a signed note
    records: Sequence[PackedRecord]
    leaves: bytes | None  # 32 bytes for each record of the log, or None where each record has its path


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@uncollected()
def documents(body: Body, table: ControlTable, attestations: Sequence[bytes]) -> dict[str, bytes]:
    """Every document but the PDF, by file name."""
    found = {
        "report.html": html.render(body, table).encode(),
        "report.md": markdown.render(body, table).encode(),
        "report.json": body.model_dump_json().encode() + b"\n",
        "runs.csv": tables.runs_csv(body).encode(),
        "findings.csv": tables.findings_csv(body).encode(),
        PLAN: _json(assessment_plan(body, results_name=RESULTS)),
        POAM: _json(plan_of_action(body, plan_name=PLAN)),
    }
    if attestations:
        found[ATTESTATIONS] = b"".join(one.strip() + b"\n" for one in attestations)
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in found.items()}
    found[RESULTS] = _json(assessment_results(body, plan_name=PLAN, files=digests))
    return found


def _json(value: object) -> bytes:
    # On one line: with indents the standard library takes eight times as long.
    return (json.dumps(value, sort_keys=True, ensure_ascii=False) + "\n").encode()


def contents(
    body: Body,
    made: Mapping[str, bytes],
    log: Log,
    *,
    signers: Sequence[SigningKey],
    known: Sequence[VerifyKey],
    previous: str = "",
) -> dict[str, bytes]:
    """All files of the pack, the signed manifest among them.

    ``signers``: the report key, and a person's where one signs too; ``known``: the public keys that a reader needs;
    ``previous``: SHA-256 of the manifest of the pack before, so that a missing pack shows.
    Raises SignatureInvalid without a key to sign with.
    """
    found = dict(made)
    found[CHECKPOINT] = log.checkpoint.encode()
    found[RECORDS] = b"".join(one.line() for one in log.records)
    if log.leaves is not None:
        found[LEAVES] = log.leaves
    found[KEYS] = "".join(f"{line}\n" for line in sorted({key.vkey for key in known})).encode()
    found["verify.py"] = resources("chaos_tasks.evidence").joinpath("verifier.py").read_bytes()
    found["redeciding.py"] = resources("chaos_tasks.auditing").joinpath("redeciding.py").read_bytes()
    found["VERIFY.md"] = HOW_TO.encode()
    found[MANIFEST] = dsse.seal(_manifest(body, found, log, previous).to_bytes(), *signers) + b"\n"
    return found


def _manifest(body: Body, found: Mapping[str, bytes], log: Log, previous: str) -> Statement:
    subjects = tuple(
        SubjectDigest(name=name, digest={"sha256": hashlib.sha256(raw).hexdigest()})
        for name, raw in sorted(found.items())
    )
    erased = [str(one.seq) for one in log.records if one.payload is None]
    return Statement(
        subject=subjects,
        predicate_type=PREDICATE,
        predicate={
            "window": {"since": body.scope.since.isoformat(), "until": body.scope.until.isoformat()},
            "issuedAt": body.issued_at.isoformat(),
            "targets": list(body.scope.targets),
            "owners": list(body.scope.owners),
            "framework": body.scope.framework,
            "ledger": {
                "origin": body.log.origin,
                "size": str(body.log.size),
                "root": body.log.root_sha256,
            },
            "runs": sorted({one.run_id for one in body.tested} | {one.run_id for one in body.unfinished} - {""}),
            "erasedPayloads": [*erased],
            "previousPack": previous,
        },
    )


def zipped(found: Mapping[str, bytes]) -> bytes:
    """A zip whose bytes depend on names and contents alone."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        for name in sorted(found):
            info = zipfile.ZipInfo(name, EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o644 << 16
            archive.writestr(info, found[name])
    return out.getvalue()
