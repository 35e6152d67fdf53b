"""Check a whole ledger and give separate answers: integrity, order, completeness.  Never one green tick.

Nothing stored is trusted: leaves are recomputed from header bytes and the root from the leaves.  What integrity cannot
show by itself is that the newest records were not cut off; for that compare the root with a checkpoint kept elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from pydantic import Field

from chaos_tasks.errors import LedgerError
from chaos_tasks.ledger import header, merkle
from chaos_tasks.ledger.database_ledger import DatabaseLedger
from chaos_tasks.ledger.run_order import Snapshot, Story
from chaos_tasks.ledger.store import RawRow, Subtrees
from chaos_tasks.model.base import Value
from chaos_tasks.model.record import Stored

SHOWN = 10


class Offence(Value):
    """One thing that is wrong, at a sequence number where there is one."""

    seq: int | None
    what: str


class Answer(Value):
    """One verdict: how many problems, and the first of them in log order."""

    problems: int = Field(0, ge=0)
    first: tuple[Offence, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return self.problems == 0


class Verification(Value):
    """The separate answers about one ledger at one moment; `chaos_tasks.auditing` adds the others."""

    size: int
    root_sha256: str = Field(description="Root recomputed from the headers: compare it with a checkpoint.")
    erased_payloads: int
    unfinished_runs: tuple[str, ...] = Field((), description="Runs under way: complete once they end.")
    open_handles: tuple[str, ...] = Field((), description="Handles not reverted yet, as the ledger itself says.")
    roots: Mapping[int, str] = Field(default_factory=dict, description="Roots recomputed at the sizes asked for.")
    integrity: Answer
    order: Answer
    completeness: Answer

    @property
    def ok(self) -> bool:
        """Whether all answers are good."""
        return self.integrity.ok and self.order.ok and self.completeness.ok


def verify(ledger: DatabaseLedger, sizes: Collection[int] = ()) -> Verification:
    """Read the whole log once; a running ledger may be verified.  ``sizes``: where the root is wanted as well."""
    # Taken before the log is read, so that whatever it says has its records in what is read after it.
    snapshot = Snapshot.take(ledger)
    tree, story = _Tree(ledger.subtrees(), sizes), Story()
    try:
        for row in ledger.raw_rows():
            stored = tree.add(row)
            if stored is not None:
                story.add(stored)
    except LedgerError as error:
        tree.offences.append((None, f"reading stopped after {tree.size} records: {error.message}"))
    tree.compare_with_head(ledger)
    return Verification(
        size=tree.size,
        root_sha256=merkle.root_of(tree.frontier).hex(),
        roots=tree.roots,
        erased_payloads=tree.erased,
        unfinished_runs=story.unfinished(snapshot),
        open_handles=snapshot.open_handles,
        integrity=_answer(iter(tree.offences)),
        order=_answer(iter(story.offences)),
        completeness=_answer(story.gaps(snapshot)),
    )


class _Tree:
    """The tree as the headers make it, and where the rows disagree with it."""

    def __init__(self, subtrees: Subtrees, sizes: Collection[int] = ()) -> None:
        self.subtrees = subtrees
        self.sizes = frozenset(sizes)
        self.roots = {0: merkle.EMPTY_ROOT.hex()} if 0 in self.sizes else {}
        self.size = 0
        self.erased = 0
        self.next_seq = 0
        self.frontier: tuple[bytes, ...] = ()
        self.stored: tuple[bytes, ...] = ()  # as the stored leaves make it: the same one, where they are the headers'
        self.gap = False
        self.offences: list[tuple[int | None, str]] = []

    def add(self, row: RawRow) -> Stored | None:
        """Check one row; returns its record if it can be read."""
        if row.seq != self.next_seq:
            self.offences.append((row.seq, f"{self.next_seq} should come next: records are missing"))
            self.gap = True
        self.next_seq = row.seq + 1
        leaf = merkle.leaf_hash(row.entry.header)
        self._grow(leaf, row.leaf)
        if self.size in self.sizes:
            self.roots[self.size] = merkle.root_of(self.frontier).hex()
        if leaf != row.leaf:
            self.offences.append((row.seq, "the stored leaf hash is not that of the header"))
        return self._read(row)

    def _grow(self, leaf: bytes, stored: bytes) -> None:
        """Push a leaf, and look at the stored inner nodes that it completes.

        They serve proofs only, but a wrong one would make good proofs look forged.  They were made from the stored
        leaves, and are compared with those: a header that was changed is one offence and not twenty.  Behind a gap
        every record has another place in the tree, and there is nothing to compare.
        """
        one_tree = self.stored is self.frontier and leaf == stored
        frontier, completed = merkle.push(self.frontier, self.size, leaf)
        if one_tree:
            self.stored = frontier
        else:
            self.stored, completed = merkle.push(self.stored, self.size, stored)
        self.frontier, self.size = frontier, self.size + 1
        for level, index, expected in () if self.gap else completed:
            if self.subtrees.hash_of(level, index) != expected:
                self.offences.append((None, f"the stored subtree {index} at level {level} is wrong"))

    def compare_with_head(self, ledger: DatabaseLedger) -> None:
        """The head must be at least where we are, and its log must contain ours."""
        try:
            head = ledger.head()
            if head.size < self.size or (head.size == self.size and head.root != merkle.root_of(self.frontier)):
                self.offences.append(
                    (None, f"the head says {head.size} records and another root than the headers give")
                )
            elif head.size > self.size and not self._grew(ledger, head.size, head.root):
                self.offences.append((None, f"the head says {head.size} records, but only {self.size} are there"))
        except (LedgerError, ValueError) as error:
            self.offences.append((None, str(getattr(error, "message", error))))

    def _read(self, row: RawRow) -> Stored | None:
        try:
            head = header.decode_header(row.seq, row.entry.header)
            if not header.opens(head, row.entry):
                self.offences.append((row.seq, "the payload is not the one that the header commits to"))
                return None
            stored = header.decode_under(head, row.seq, row.entry)
        except LedgerError as error:
            self.offences.append((row.seq, error.message))
            return None
        copies = (row.idem_key, row.run_id, row.kind, row.occurred_at)
        if copies != (head.idem_key, head.run_id, head.kind.value, head.occurred_at):
            self.offences.append((row.seq, "the columns for queries do not say what the header says"))
        self.erased += stored.erased
        return stored

    def _grew(self, ledger: DatabaseLedger, size: int, root: bytes) -> bool:
        """Whether records were appended while we read: then the bigger tree contains ours."""
        proof = ledger.consistency_proof(self.size, size)
        return self.size == 0 or merkle.verify_consistency(self.size, size, merkle.root_of(self.frontier), root, proof)


def _answer(offences: Iterator[tuple[int | None, str]]) -> Answer:
    found = list(offences)
    found.sort(key=lambda offence: (offence[0] is None, offence[0] or 0))
    first = tuple(Offence(seq=seq, what=what) for seq, what in found[:SHOWN])
    return Answer(problems=len(found), first=first)
