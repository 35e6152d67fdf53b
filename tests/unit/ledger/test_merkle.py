"""The tree against the vectors of Certificate Transparency and against the recursion of the RFC's text."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos_tasks.ledger import merkle

# The eight leaves and roots that the reference implementations of RFC 6962 are tested with.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def naive_root(leaves: list[bytes]) -> bytes:
    """Section 2.1 word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


class Tree:
    """Appends leaf by leaf, as the store does."""

    def __init__(self, leaves: list[bytes]) -> None:
        self.frontier: tuple[bytes, ...] = ()
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.roots = [merkle.root_of(())]
        for size, entry in enumerate(leaves):
            leaf = merkle.leaf_hash(entry)
            self.nodes[0, size] = leaf
            self.frontier, completed = merkle.push(self.frontier, size, leaf)
            self.nodes.update({(level, index): value for level, index, value in completed})
            self.roots.append(merkle.root_of(self.frontier))

    def subtree(self, level: int, index: int) -> bytes:
        return self.nodes[level, index]


def test_roots_of_the_reference_vectors() -> None:
    assert [root.hex() for root in Tree(LEAVES).roots[1:]] == ROOTS


def test_the_empty_tree_has_the_hash_of_nothing() -> None:
    assert merkle.EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@settings(deadline=None)
@given(st.lists(st.binary(max_size=8), max_size=70))
def test_appending_gives_the_root_of_the_recursion(leaves: list[bytes]) -> None:
    assert Tree(leaves).roots[-1] == naive_root(leaves)


@settings(deadline=None)
@given(st.integers(1, 70), st.data())
def test_every_inclusion_proof_verifies_and_no_changed_one_does(size: int, data: st.DataObject) -> None:
    tree = Tree([bytes([n]) for n in range(size)])
    index = data.draw(st.integers(0, size - 1))
    path, leaf, root = merkle.inclusion_proof(tree.subtree, index, size), tree.subtree(0, index), tree.roots[size]
    assert merkle.verify_inclusion(index, size, leaf, path, root)
    assert not merkle.verify_inclusion(index, size, merkle.leaf_hash(b"forged"), path, root)
    assert not merkle.verify_inclusion(index, size, leaf, (*path, root), root)
    assert not merkle.verify_inclusion(size, size, leaf, path, root)
    if path:
        assert not merkle.verify_inclusion(index, size, leaf, path[:-1], root)
        assert not merkle.verify_inclusion(index ^ 1, size, leaf, path, root)


@settings(deadline=None)
@given(st.integers(0, 70), st.integers(0, 70), st.data())
def test_every_consistency_proof_verifies_and_no_changed_one_does(one: int, other: int, data: st.DataObject) -> None:
    old, new = sorted((one, other))
    tree = Tree([bytes([n]) for n in range(new)])
    path = merkle.consistency_proof(tree.subtree, old, new)
    assert merkle.verify_consistency(old, new, tree.roots[old], tree.roots[new], path)
    assert not merkle.verify_consistency(old, new, b"\x00" * 32, tree.roots[new], path)
    if 0 < old < new:
        assert not merkle.verify_consistency(old, new, tree.roots[old], b"\x00" * 32, path)
        assert not merkle.verify_consistency(old, new, tree.roots[old], tree.roots[new], path[:-1])
        place = data.draw(st.integers(0, len(path) - 1))
        forged = (*path[:place], b"\x00" * 32, *path[place + 1 :])
        assert not merkle.verify_consistency(old, new, tree.roots[old], tree.roots[new], forged)


def test_a_frontier_of_the_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="3 leaves has 2"):
        merkle.push((), 3, b"")


@pytest.mark.parametrize(("index", "size"), [(-1, 3), (3, 3), (0, 0)])
def test_no_proof_for_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="is not in a tree"):
        merkle.inclusion_proof(Tree(LEAVES[:size]).subtree, index, size)


# Proofs that the reference implementation of Certificate Transparency is tested with, over LEAVES.
PATHS: dict[tuple[int, int], tuple[str, ...]] = {
    (0, 1): (),
    (0, 8): (
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ),
    (5, 8): (
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 3): ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",),
    (1, 5): (
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ),
}
PREFIXES: dict[tuple[int, int], tuple[str, ...]] = {
    (1, 1): (),
    (1, 8): PATHS[0, 8],
    (6, 8): (
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (2, 5): PATHS[1, 5][1:],
}


@pytest.mark.parametrize(("index", "size"), PATHS)
def test_inclusion_proofs_of_the_reference_vectors(index: int, size: int) -> None:
    tree, path = Tree(LEAVES), tuple(bytes.fromhex(step) for step in PATHS[index, size])
    assert merkle.inclusion_proof(tree.subtree, index, size) == path
    root = bytes.fromhex(ROOTS[size - 1])
    assert merkle.verify_inclusion(index, size, merkle.leaf_hash(LEAVES[index]), path, root)


@pytest.mark.parametrize(("old", "new"), PREFIXES)
def test_consistency_proofs_of_the_reference_vectors(old: int, new: int) -> None:
    path = tuple(bytes.fromhex(step) for step in PREFIXES[old, new])
    assert merkle.consistency_proof(Tree(LEAVES).subtree, old, new) == path
    before, after = (bytes.fromhex(ROOTS[size - 1]) for size in (old, new))
    assert merkle.verify_consistency(old, new, before, after, path)
