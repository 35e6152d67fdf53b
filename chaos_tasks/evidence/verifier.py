#!/usr/bin/env python3
"""Checks an evidence pack without Squall: python verify.py [PACK] [--vkey KEY]... (Python 3.11 and `cryptography`)

PACK is a folder or a zip file; by default the folder that this file lies in.  Six answers, never one green tick:

  files           every file is the one that the manifest lists, and none is missing or added
  authenticity    the manifest and the log's checkpoint are signed by keys that you trust (--vkey)
  integrity       each record is in the log of that checkpoint, and each payload is the one that its record commits to
  order           plans were registered before faults went in, undos came after, verdicts last, all for the same plan
  completeness    every fault was undone, every run has its verdict, and its attestation is there
  re-performance  each verdict is the one that its records give to the judge beside this file, redeciding.py

Without --vkey, the pack's own keys are used, and authenticity is `not shown`: compare the keys with those that you were
given on another way.  Exit code 0: all shown; 3: something does not hold or is not shown; 2: this is no pack.
Formats: in-toto Statement v1 in DSSE, C2SP signed notes and checkpoints, RFC 6962 trees.
"""

from __future__ import annotations

import argparse
import binascii
import gc
import hashlib
import importlib.util
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

MANIFEST, CHECKPOINT, RECORDS, LEAVES, KEYS = (
    "manifest.dsse.json", "checkpoint", "records.jsonl", "leaves.bin", "keys.txt",
)  # fmt: skip
ATTESTATIONS, JUDGE = "attestations.intoto.jsonl", "redeciding.py"
IN_TOTO = "application/vnd.in-toto+json"
PACK = "https://squall.dev/attestation/evidence-pack/v1"
CHAOS = "https://squall.dev/attestation/chaos/v1"
RESULTS = {"held": "PASSED", "deviated": "FAILED", "unreverted": "FAILED"}  # all others are WARNED
HOLDS, FAILS, NOT_SHOWN = "holds", "does not hold", "not shown"
ANSWERS = ("files", "authenticity", "integrity", "order", "completeness", "re-performance")
VERDICT = "evaluate.verdict"
SHOWN = 8
JSON = json.JSONDecoder()


class Key(NamedTuple):
    """A public key: Ed25519 for kind 1."""

    name: str
    kind: int
    public: bytes


class Head(NamedTuple):
    """What a checkpoint says of the log."""

    origin: str
    size: int
    root: bytes


class Envelope(NamedTuple):
    """A DSSE envelope: the statement's bytes, those that were signed, and the signatures."""

    payload: bytes
    message: bytes
    signatures: list[bytes]


class Entry(NamedTuple):
    """One record: bytes and words of its header, the bytes of its payload where it was not erased."""

    seq: int
    raw: bytes
    header: Any
    payload: bytes | None
    path: Any


class Act(NamedTuple):
    """One record about a handle, and the outcome of its run."""

    kind: str
    seq: int
    outcome: str | None


class Broken(Exception):  # noqa: N818
    """Something is not what it should be."""


# --- what the pack says ------------------------------------------------------------------------------------------


def read_pack(place: str) -> dict[str, bytes]:
    """Bytes by name."""
    path = Path(place)
    if path.is_dir():
        names = [one for one in path.rglob("*") if one.is_file() and "__pycache__" not in one.parts]
        return {one.relative_to(path).as_posix(): one.read_bytes() for one in names}
    with zipfile.ZipFile(path) as archive:
        infos = [one for one in archive.infolist() if not one.is_dir()]
        if len({one.filename for one in infos}) != len(infos):
            raise Broken("the archive has two files of one name")
        return {one.filename: archive.read(one) for one in infos}


def parse_vkey(text: str) -> Key:
    """Name, kind and public bytes of `name+id+base64`."""
    name, _, rest = text.strip().partition("+")
    digits, _, encoded = rest.partition("+")
    raw = decoded(encoded)
    wanted = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4].hex()
    if len(raw) != 33 or digits != wanted:
        raise Broken(f"{text.strip()!r} is no key, or its id is another key's")
    return Key(name, raw[0], raw[1:])


@lru_cache
def public_key(public: bytes) -> Any:
    """The key that the bytes are."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public)


def signed(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether it is an Ed25519 signature of the message."""
    from cryptography.exceptions import InvalidSignature

    try:
        public_key(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def decoded(text: Any) -> bytes:
    """Bytes of base64, which may have nothing else in it."""
    return binascii.a2b_base64(text, strict_mode=True)


def parsed(raw: bytes) -> Any:
    """UTF-8 JSON; `json.loads` guesses at the encoding of bytes, which takes as long as the reading of a small text."""
    text = raw.decode().strip(" \t\r\n")
    value, end = JSON.raw_decode(text)
    if end != len(text):
        raise ValueError("something follows the JSON")
    return value


def envelope_of(raw: bytes) -> Envelope:
    """The parts of a DSSE envelope; its `keyid` is read by nobody."""
    told = parsed(raw)
    if told["payloadType"] != IN_TOTO:
        raise Broken("it is no in-toto statement")
    payload = decoded(told["payload"])
    kind = IN_TOTO.encode()
    message = b" ".join((b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload))
    return Envelope(payload, message, [decoded(one["sig"]) for one in told["signatures"]])


def signers_of(envelope: Envelope, keys: Iterable[Key]) -> Iterator[Key]:
    """Those keys that signed it, as they are found."""
    return (key for key in keys if any(signed(key.public, envelope.message, one) for one in envelope.signatures))


def open_envelope(raw: bytes, keys: Iterable[Key]) -> tuple[Any, list[str]]:
    """The statement in a DSSE envelope and the names of those keys that signed it."""
    envelope = envelope_of(raw)
    return parsed(envelope.payload), [key.name for key in signers_of(envelope, keys)]


def open_checkpoint(raw: bytes, keys: Iterable[Key]) -> tuple[Head, list[str]]:
    """Origin, size and root of a signed checkpoint, and the names of those keys that signed it."""
    text, _, block = raw.decode().rpartition("\n\n")
    text += "\n"
    origin, size, root = text.split("\n")[:3]
    signers = []
    for line in block.strip().split("\n"):
        name, encoded = line.removeprefix("\u2014 ").rsplit(" ", 1)
        blob = decoded(encoded)
        for key in keys:
            identity = hashlib.sha256(key.name.encode() + b"\n" + bytes([key.kind]) + key.public).digest()[:4]
            fits = key.kind == 1 and key.name == name and blob[:4] == identity
            if fits and signed(key.public, text.encode(), blob[4:]):
                signers.append(key.name)
    return Head(origin, int(size), decoded(root)), signers


def leaf_hash(header: bytes) -> bytes:
    """RFC 6962, 2.1."""
    return hashlib.sha256(b"\x00" + header).digest()


def node(left: bytes, right: bytes) -> bytes:
    """RFC 6962, 2.1."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def root_of(leaves: Sequence[bytes]) -> bytes:
    """RFC 6962, 2.1: pairs upwards, a lone last one rises as it is."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    level = list(leaves)
    while len(level) > 1:
        pairs = [node(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        level = pairs + ([level[-1]] if len(level) % 2 else [])
    return level[0]


def root_by_path(leaf: bytes, index: int, size: int, path: Iterable[bytes]) -> bytes:
    """RFC 9162, 2.1.3.2: the root that an inclusion path leads to."""
    here, last, found = index, size - 1, leaf
    for step in path:
        if last == 0:
            raise Broken("a path is too long")
        if here % 2 or here == last:
            found = node(step, found)
            while here % 2 == 0 and here:
                here, last = here // 2, last // 2
        else:
            found = node(found, step)
        here, last = here // 2, last // 2
    if last:
        raise Broken("a path is too short")
    return found


# --- the answers -------------------------------------------------------------------------------------------------


class Check:
    """Collects what is wrong, by answer."""

    def __init__(self, files: dict[str, bytes], trusted: Sequence[Key], judge: Any = None) -> None:
        self.files, self.trusted, self.judge = files, trusted, judge
        self.wrong: dict[str, list[str]] = {name: [] for name in ANSWERS}
        self.missing: dict[str, list[str]] = {name: [] for name in ANSWERS}
        self.statement: Any = {}
        self.records: list[Entry] = []
        self.head: Head | None = None

    def run(self) -> Check:
        """Look at everything once."""
        collecting = gc.isenabled()
        gc.disable()  # what is read has no cycles, and walking over all of it again and again took a third of the time
        try:
            return self._run()
        finally:
            if collecting:
                gc.enable()

    def _run(self) -> Check:
        own = [parse_vkey(line) for line in self.files.get(KEYS, b"").decode().splitlines() if line.strip()]
        keys = self.trusted or own
        self._signatures(keys)
        self._files()
        self._records()
        self._inclusion()
        self._runs(keys)
        self._again()
        if not self.trusted:
            self.missing["authenticity"].append("no key was given (--vkey): signatures are by the pack's own keys")
        return self

    def answer(self, name: str) -> str:
        """Holds, does not hold, or not shown."""
        return FAILS if self.wrong[name] else NOT_SHOWN if self.missing[name] else HOLDS

    def _signatures(self, keys: Sequence[Key]) -> None:
        try:
            self.statement, signers = open_envelope(self.files[MANIFEST], keys)
            if not signers:
                self.wrong["authenticity"].append("the manifest is not signed by a known key")
            if self.statement.get("predicateType") != PACK:
                self.wrong["files"].append("the manifest is not that of an evidence pack")
        except (KeyError, TypeError, ValueError, Broken) as error:
            raise Broken(f"the manifest cannot be read: {error}") from error
        try:
            self.head, signers = open_checkpoint(self.files[CHECKPOINT], keys)
            if not signers:
                self.wrong["authenticity"].append("the checkpoint is not signed by a known key")
        except (KeyError, ValueError, Broken) as error:
            self.wrong["authenticity"].append(f"the checkpoint cannot be read ({error})")

    def _files(self) -> None:
        listed = {one["name"]: one["digest"]["sha256"] for one in self.statement.get("subject", [])}
        for name, digest in sorted(listed.items()):
            if name not in self.files:
                self.wrong["files"].append(f"{name} is missing")
            elif hashlib.sha256(self.files[name]).hexdigest() != digest:
                self.wrong["files"].append(f"{name} is not the file that was signed")
        for name in sorted(set(self.files) - set(listed) - {MANIFEST}):
            self.wrong["files"].append(f"{name} was added")

    def _records(self) -> None:
        for number, line in enumerate(self.files.get(RECORDS, b"").splitlines(), 1):
            try:
                told = parsed(line)
                raw = decoded(told["header"])
                header = parsed(raw)
                self.records.append(Entry(told["seq"], raw, header, self._payload(told, header), told.get("path")))
            except (KeyError, TypeError, ValueError) as error:
                self.wrong["integrity"].append(f"line {number} of {RECORDS} cannot be read ({type(error).__name__})")
        seqs = [one.seq for one in self.records]
        if seqs != sorted(set(seqs)):
            self.wrong["integrity"].append("records are doubled or out of order")

    def _payload(self, told: Any, header: Any) -> bytes | None:
        """The payload, if it is the one that the header commits to; None for an erased one."""
        named, payload = header["payload"], told.get("payload")
        if named is None or payload is None:
            if named is None and payload is not None:
                self.wrong["integrity"].append(f"record {told['seq']} has a payload that its header does not name")
            return None
        data = decoded(payload)
        if hashlib.sha256(decoded(told["salt"]) + data).hexdigest() != named["commit"] or len(data) != named["bytes"]:
            self.wrong["integrity"].append(f"the payload of record {told['seq']} is not the one that it commits to")
        return data

    def _inclusion(self) -> None:
        if self.head is None:
            self.missing["integrity"].append("without a checkpoint no record is shown to be in a log")
            return
        told = self.statement["predicate"]["ledger"]
        if told["size"] != str(self.head.size) or told["root"] != self.head.root.hex():
            self.wrong["integrity"].append("manifest and checkpoint name different logs")
        leaves = self._leaves(self.head)
        for one in self.records:
            leaf, seq = leaf_hash(one.raw), one.seq
            if not 0 <= seq < self.head.size:
                self.wrong["integrity"].append(f"record {seq} is beyond the checkpoint")
            elif leaves is not None:
                if leaves[seq] != leaf:
                    self.wrong["integrity"].append(f"record {seq} is not the one in the log")
            elif not self._on_path(one, leaf, self.head):
                self.wrong["integrity"].append(f"record {seq} is not in the log of the checkpoint")

    def _on_path(self, one: Entry, leaf: bytes, head: Head) -> bool:
        try:
            path = [decoded(step) for step in one.path]
            return root_by_path(leaf, one.seq, head.size, path) == head.root
        except (TypeError, ValueError, Broken):
            return False

    def _leaves(self, head: Head) -> list[bytes] | None:
        """All leaves of the log, where the pack has them; they must give the root of the checkpoint."""
        raw = self.files.get(LEAVES)
        if raw is None:
            return None
        leaves = [raw[i : i + 32] for i in range(0, len(raw), 32)]
        if len(leaves) != head.size or root_of(leaves) != head.root:
            self.wrong["integrity"].append("the leaves do not give the root of the checkpoint")
            return leaves if len(leaves) == head.size else None
        return leaves

    def _runs(self, keys: Sequence[Key]) -> None:
        runs: dict[str, list[Entry]] = {}
        for one in self.records:
            runs.setdefault(one.header["run_id"], []).append(one)
        attested = self._attested(keys)
        for run, records in runs.items():
            handles = self._by_handle(records)
            self._order(run, records, handles)
            self._complete(run, records, handles, attested)
        for run in self.statement["predicate"].get("runs", []):
            if run not in runs:
                self.wrong["completeness"].append(f"{run} has no record in the pack")

    def _by_handle(self, records: Sequence[Entry]) -> dict[str, list[Act]]:
        """Kind, number and the run's outcome of each act, by handle."""
        outcome = next((one.header["outcome"] for one in records if one.header["kind"] == VERDICT), None)
        found: dict[str, list[Act]] = {}
        for one in records:
            kind = one.header["kind"]
            if kind.startswith(("inject.", "revert.")):
                handle = one.header["handle_id"] or (self._told(one) or {}).get("handle_id", "")
                if handle:
                    found.setdefault(handle, []).append(Act(kind, one.seq, outcome))
        return found

    def _told(self, one: Entry) -> Any:
        """What a payload says; None for an erased one."""
        try:
            told = None if one.payload is None else parsed(one.payload)
        except ValueError:
            told = ()
        if told is None or isinstance(told, dict):
            return told
        self.wrong["integrity"].append(f"the payload of record {one.seq} cannot be read")
        return None

    def _order(self, run: str, records: Sequence[Entry], handles: dict[str, list[Act]]) -> None:
        first: dict[str, int] = {}
        for one in records:
            first.setdefault(one.header["kind"], one.seq)
        planned, judged = first.get("experiment.registered"), first.get(VERDICT)
        intent, armed = first.get("inject.intent"), first.get("fault.armed")
        for what, early, late in (
            ("armed before its plan was registered", planned, armed),
            ("injected before its plan was registered", planned, intent),
            ("injected before it was armed", armed, intent),
            ("judged before its plan was registered", planned, judged),
        ):
            if late is not None and (early is None or early > late):
                self.wrong["order"].append(f"{run} was {what}")
        plans = {one.header["plan_sha256"] for one in records} - {""}
        if len(plans) > 1:
            self.wrong["order"].append(f"{run} has records of {len(plans)} plans")
        for handle, acts in handles.items():
            self._acts(run, handle, acts, judged)

    def _acts(self, run: str, handle: str, acts: Sequence[Act], judged: int | None) -> None:
        """Intent before receipt, undo after the fault; a verdict may come before a late undo only if it says so."""
        intent = None
        for kind, seq, outcome in acts:
            if kind == "inject.intent":
                intent = seq
            elif kind == "inject.applied" and intent is None:
                self.wrong["order"].append(f"{handle} of {run} was injected without an intent on record before")
            elif kind == "revert.verified" and judged is not None and seq > judged and outcome != "unreverted":
                self.wrong["order"].append(f"{handle} of {run} was put back after its verdict")

    def _complete(
        self, run: str, records: Sequence[Entry], handles: dict[str, list[Act]], attested: dict[str, Any] | None
    ) -> None:
        kinds = {one.header["kind"] for one in records}
        outcome = next((one.header["outcome"] for one in records if one.header["kind"] == VERDICT), None)
        for handle, acts in handles.items():
            names = [kind for kind, _, _ in acts]
            if "inject.intent" in names and "revert.verified" not in names and outcome != "unreverted":
                self.wrong["completeness"].append(f"{handle} of {run} was injected and never put back")
        if VERDICT not in kinds:
            if "inject.intent" in kinds:
                self.wrong["completeness"].append(f"{run} was injected and has no verdict")
        elif attested is not None and run not in attested:
            self.wrong["completeness"].append(f"{run} has a verdict and no attestation")
        elif attested is not None and attested[run] != (RESULTS.get(outcome or "", "WARNED"), outcome):
            self.wrong["completeness"].append(f"the attestation of {run} does not say {outcome}, as its verdict does")

    def _again(self) -> None:
        """Every verdict decided again, by a judge that shares nothing with the one that made it."""
        if self.judge is None:
            self.missing["re-performance"].append(f"{JUDGE} does not lie beside this file")
            return
        named = ("kind", "run_id", "occurred_at", "outcome")
        rows = (
            self.judge.Row(seq=one.seq, payload=self._told(one), **{name: one.header.get(name) or "" for name in named})
            for one in self.records
            if one.header["kind"] in self.judge.READS
        )
        redone = list(self.judge.redecide(rows))
        for one in redone:
            self.wrong["re-performance"] += [f"{one.run_id}: {text}" for text in one.differences]
            self.missing["re-performance"] += [f"{one.run_id}: {one.not_shown}"] if one.not_shown else []
        if not redone:
            self.missing["re-performance"].append("the pack has no verdict to decide again")

    def _attested(self, keys: Sequence[Key]) -> dict[str, Any] | None:
        """Result and outcome that an attestation tells of each run; None where the pack has none at all."""
        raw = self.files.get(ATTESTATIONS)
        if raw is None:
            self.missing["completeness"].append("the pack has no attestations")
            return None
        found: dict[str, Any] = {}
        order = list(keys)
        for number, line in enumerate(raw.splitlines(), 1):
            try:
                envelope = envelope_of(line)
                told = parsed(envelope.payload)["predicate"]
                run, said = told[CHAOS]["runId"], (told["result"], told[CHAOS]["outcome"])
            except (KeyError, TypeError, ValueError, Broken):
                self.wrong["authenticity"].append(f"attestation {number} cannot be read")
                continue
            signer = next(signers_of(envelope, order), None)
            if signer is None:
                self.wrong["authenticity"].append(f"attestation {number} is not signed by a known key")
            else:
                order.sort(key=signer.__ne__)  # one key signs most of them: it is asked first
            if found.setdefault(run, said) != said:
                self.wrong["completeness"].append(f"two attestations of {run} say different things")
        return found


def verify(place: str, vkeys: Iterable[str] = ()) -> Check:
    """The check of a pack, run; raises Broken when it is no pack."""
    return Check(read_pack(place), [parse_vkey(one) for one in vkeys], judge_beside(Path(__file__))).run()


def judge_beside(here: Path) -> Any:
    """The judge beside a file; None where there is none.  Isolated Python (-I) would not look there by itself."""
    path = here.resolve().with_name(JUDGE)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if not path.is_file() or spec is None or spec.loader is None:
        return None
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the answers; see above for the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", nargs="?", default=str(Path(__file__).resolve().parent))
    parser.add_argument("--vkey", action="append", default=[], help="a key that you trust: name+id+base64, or a file")
    told = parser.parse_args(arguments)
    try:
        keys = [line for one in told.vkey for line in vkey_lines(one)]
        check = verify(told.pack, keys)
    except (Broken, OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile) as error:
        sys.stdout.write(f"this is no evidence pack that can be checked: {error}\n")
        return 2
    for name in ANSWERS:
        sys.stdout.write(f"{name:<16}{check.answer(name)}\n")
        for text in (check.wrong[name] + check.missing[name])[:SHOWN]:
            sys.stdout.write(f"                {text}\n")
    return 0 if all(check.answer(name) == HOLDS for name in ANSWERS) else 3


def vkey_lines(text: str) -> list[str]:
    """The keys that an argument names: a vkey, or a file of them."""
    path = Path(text)
    found = path.read_text().splitlines() if path.is_file() else [text]
    return [line for line in found if line.strip()]


if __name__ == "__main__":
    sys.exit(main())
