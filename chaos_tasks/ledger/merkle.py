"""The RFC 6962 hash tree: append in O(log n), root, proofs and their verification; pure functions.

Hashes are 32 raw bytes of SHA-256.  Sections named below are of RFC 9162, which restates RFC 6962's tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

HASH_BYTES = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()

Subtree = Callable[[int, int], bytes]
"""``subtree(level, index)``: the hash over leaves [index * 2**level, (index + 1) * 2**level)."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash of one log entry (2.1.1); the 0x00 keeps a leaf from passing as a node."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node (2.1.1)."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def push(
    frontier: Sequence[bytes], size: int, leaf: bytes
) -> tuple[tuple[bytes, ...], tuple[tuple[int, int, bytes], ...]]:
    """Append a leaf to a tree of ``size`` leaves.

    The frontier is the list of complete subtrees on the right edge, largest first: one per set bit of ``size``.
    Returns the new frontier, and (level, index, hash) of each inner node that the leaf completes.
    """
    if len(frontier) != size.bit_count():
        raise ValueError(f"a tree of {size} leaves has {size.bit_count()} subtrees on its edge, not {len(frontier)}")
    edge, completed, level = list(frontier), [], 0
    while size & 1:
        leaf, size, level = node_hash(edge.pop(), leaf), size >> 1, level + 1
        completed.append((level, size, leaf))
    return (*edge, leaf), tuple(completed)


def root_of(frontier: Sequence[bytes]) -> bytes:
    """Root of the tree with this right edge."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for left in reversed(frontier[:-1]):
        root = node_hash(left, root)
    return root


def inclusion_proof(subtree: Subtree, index: int, size: int) -> tuple[bytes, ...]:
    """Path from leaf ``index`` to the root of the first ``size`` leaves (2.1.3.1)."""
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    path, low, high = [], 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_range_hash(subtree, middle, high))
            high = middle
        else:
            path.append(_range_hash(subtree, low, middle))
            low = middle
    return tuple(reversed(path))


def consistency_proof(subtree: Subtree, old: int, new: int) -> tuple[bytes, ...]:
    """Proof that the tree of ``old`` leaves is a prefix of the tree of ``new`` leaves (2.1.4.1)."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves is no prefix of a tree of {new}")
    if old in (0, new):
        return ()
    path, low, high, whole = [], 0, new, True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_range_hash(subtree, middle, high))
            high = middle
        else:
            path.append(_range_hash(subtree, low, middle))
            low, whole = middle, False
    if not whole:
        path.append(_range_hash(subtree, low, high))
    return tuple(reversed(path))


def verify_inclusion(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """Whether the path shows that ``leaf`` is entry ``index`` of the tree with that root (2.1.3.2)."""
    if not 0 <= index < size:
        return False
    first, last, computed = index, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if first & 1 or first == last:
            computed = node_hash(step, computed)
            first, last = _skip_missing_levels(first, last)
        else:
            computed = node_hash(computed, step)
        first, last = first >> 1, last >> 1
    return last == 0 and computed == root


def verify_consistency(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Whether the proof shows that the old tree is a prefix of the new one (2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not path and old_root == new_root
    if old == 0:
        return not path and old_root == EMPTY_ROOT
    if not path:
        return False
    steps = [old_root, *path] if old & (old - 1) == 0 else list(path)
    first, last = old - 1, new - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    before = after = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if first & 1 or first == last:
            before, after = node_hash(step, before), node_hash(step, after)
            first, last = _skip_missing_levels(first, last)
        else:
            after = node_hash(after, step)
        first, last = first >> 1, last >> 1
    return last == 0 and before == old_root and after == new_root


def _skip_missing_levels(first: int, last: int) -> tuple[int, int]:
    """On an incomplete right edge a node may have no sibling for some levels; the path leaves those out."""
    while first and not first & 1:
        first, last = first >> 1, last >> 1
    return first, last


def _split(count: int) -> int:
    """Largest power of two smaller than ``count``."""
    return 1 << ((count - 1).bit_length() - 1)


def _range_hash(subtree: Subtree, low: int, high: int) -> bytes:
    """Hash over leaves [low, high), from complete aligned subtrees."""
    count = high - low
    if count & (count - 1) == 0 and low % count == 0:
        level = count.bit_length() - 1
        return subtree(level, low >> level)
    middle = low + _split(count)
    return node_hash(_range_hash(subtree, low, middle), _range_hash(subtree, middle, high))
