"""pymerkle builds the same trees and proofs as our hash tree does, in sizes drawn by chance."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from chaos_tasks.ledger import merkle
from tests.oracles.conftest import Ask
from tests.unit.ledger.test_merkle import Tree

ANSWER = """
import json, sys
from pymerkle import InmemoryTree
told = []
for case in json.load(open(sys.argv[1])):
    tree = InmemoryTree(algorithm="sha256")
    for leaf in case["leaves"]:
        tree.append_entry(bytes.fromhex(leaf))
    old, new, seq = case["old"], len(case["leaves"]), case["seq"]
    told.append({
        "roots": [tree.get_root(size).hex() for size in range(1, new + 1)],
        "inclusion": [step.hex() for step in tree.prove_inclusion(seq + 1, new).path],
        "consistency": tree.prove_consistency(old, new).serialize(),
    })
print(json.dumps(told))
"""
VERIFY = """
import json, sys
from pymerkle import InclusionProof, InmemoryTree, InvalidProof
told = json.load(open(sys.argv[1]))
tree = InmemoryTree(algorithm="sha256")
tree.append_entries([b""] * told["size"])
rule = tree.prove_inclusion(told["seq"] + 1, told["size"]).rule
leaf, root, *path = (bytes.fromhex(each) for each in (told["leaf"], told["root"], *told["path"]))
try:
    InclusionProof("sha256", True, told["size"], told["seq"] + 1, rule, [leaf, *path]).verify(leaf, root)
except InvalidProof:
    sys.exit(3)
"""


def drawn() -> list[dict[str, Any]]:
    """All small sizes, and some larger ones; in each a prefix and a leaf to prove."""
    draw, cases = random.Random(20), []
    for size in [*range(1, 18), *(draw.randrange(18, 300) for _ in range(20))]:
        leaves = [draw.randbytes(draw.randrange(1, 80)).hex() for _ in range(size)]
        cases.append({"leaves": leaves, "old": draw.randint(1, size), "seq": draw.randrange(size)})
    return cases


def built(case: dict[str, Any]) -> Tree:
    return Tree([bytes.fromhex(leaf) for leaf in case["leaves"]])


def answered(oracle: Ask, folder: Path, cases: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    (folder / "cases.json").write_text(json.dumps(cases))
    answer = oracle(ANSWER, folder / "cases.json")
    assert answer.returncode == 0, answer.stderr
    told: list[dict[str, Any]] = json.loads(answer.stdout)
    return told


def as_the_rfc_has_it(proof: dict[str, Any], old: int, new: int) -> tuple[bytes, ...]:
    """pymerkle goes down to the first new leaf, where the RFC names the subtree of new leaves, and names it first."""
    path, rule, of_old = [bytes.fromhex(step) for step in proof["path"]], proof["rule"], proof["subset"]
    if old == new:
        return ()
    right, at = path[0], 1
    while not of_old[at]:
        right = merkle.node_hash(path[at], right) if rule[at - 1] else merkle.node_hash(right, path[at])
        at += 1
    known = old & (old - 1) == 0  # the old root itself, which whoever checks has
    return (*(() if known else (path[at],)), right, *path[at + 1 :])


def test_roots_and_proofs_are_those_of_pymerkle(oracle: Ask, tmp_path: Path) -> None:
    cases = drawn()
    for case, told in zip(cases, answered(oracle, tmp_path, cases), strict=True):
        tree, old, new, seq = built(case), case["old"], len(case["leaves"]), case["seq"]
        assert told["roots"] == [each.hex() for each in tree.roots[1:]]
        inclusion = (tree.nodes[0, seq], *merkle.inclusion_proof(tree.subtree, seq, new))
        assert told["inclusion"] == [step.hex() for step in inclusion]
        theirs = as_the_rfc_has_it(told["consistency"], old, new)
        assert merkle.consistency_proof(tree.subtree, old, new) == theirs
        assert merkle.verify_consistency(old, new, tree.roots[old], tree.roots[new], theirs)


def test_one_other_bit_in_a_leaf_is_another_tree_so_the_oracle_looks(oracle: Ask, tmp_path: Path) -> None:
    case = drawn()[-1]
    first = bytearray.fromhex(case["leaves"][0])
    first[0] ^= 1
    told = answered(oracle, tmp_path, [{**case, "leaves": [first.hex(), *case["leaves"][1:]]}])[0]
    assert not {root.hex() for root in built(case).roots[1:]} & set(told["roots"])


@pytest.mark.parametrize("tampered", [None, "leaf", "root", "path"])
def test_pymerkle_accepts_our_proof_and_no_changed_one(oracle: Ask, tmp_path: Path, tampered: str | None) -> None:
    case = drawn()[-1]
    tree, size, seq = built(case), len(case["leaves"]), case["seq"]
    proof: dict[str, Any] = {"size": size, "seq": seq, "leaf": tree.nodes[0, seq].hex(), "root": tree.roots[size].hex()}
    proof["path"] = [step.hex() for step in merkle.inclusion_proof(tree.subtree, seq, size)]
    if tampered == "path":
        proof["path"][1] = "00" * 32
    elif tampered:
        proof[tampered] = "00" * 32
    (tmp_path / "proof.json").write_text(json.dumps(proof))
    answer = oracle(VERIFY, tmp_path / "proof.json")
    assert (answer.returncode, answer.stderr) == (3 if tampered else 0, "")
