"""Which rows are hit: exactly k of them, the same ones whatever the size of the batches.

Each row has a number in [0, 1) that depends on (seed, fault, column, absolute row number) alone; the eligible rows with
the k smallest scores are chosen, k = round(fraction * eligible).  So counts are exact, and a larger fraction hits a
superset of the rows of a smaller one.  Numbers: Philox-4x64-10, a counter-based generator (Salmon et al., SC 2011).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Scored = tuple[Floats, Mask]  # score and eligibility of each row of one batch

BUCKETS = 1 << 16
_PER_COUNTER = 4  # Philox gives four numbers per counter


def uniforms(seed: int, fault: str, column: str, first: int, count: int) -> Floats:
    """Numbers in [0, 1) of the rows ``first`` to ``first + count - 1``."""
    key = hashlib.blake2b(f"{seed}\0{fault}\0{column}".encode(), digest_size=16).digest()
    generator = np.random.Philox(key=int.from_bytes(key, "little"))
    generator.advance(first // _PER_COUNTER)
    skip = first % _PER_COUNTER
    raw = generator.random_raw(skip + count)[skip:]
    return (np.asarray(raw, dtype=np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53


class Threshold:
    """The eligible rows with a score below ``limit`` are exactly ``chosen`` of ``eligible``."""

    def __init__(self, limit: float, chosen: int, eligible: int) -> None:
        self.limit, self.chosen, self.eligible = limit, chosen, eligible

    def mask(self, scored: Scored) -> Mask:
        """Which rows of a batch are hit."""
        scores, eligible = scored
        return np.asarray(eligible & (scores < self.limit), dtype=np.bool_)


def threshold(passes: Callable[[], Iterable[Scored]], fraction: float) -> Threshold:
    """Find the limit in two passes and bounded memory: a histogram first, then only the bucket that it cuts."""
    histogram = np.zeros(BUCKETS, dtype=np.int64)
    for scores, eligible in passes():
        histogram += np.bincount(_bucket(scores[eligible]), minlength=BUCKETS)
    total = int(histogram.sum())
    chosen = round(fraction * total)
    if chosen == 0:
        return Threshold(-np.inf, 0, total)
    if chosen == total:
        return Threshold(np.inf, total, total)
    below = np.cumsum(histogram)
    cut = int(np.searchsorted(below, chosen, side="left"))
    inside = chosen - (int(below[cut - 1]) if cut else 0)
    candidates = np.sort(np.concatenate(list(_in_bucket(passes(), cut))))
    return Threshold(float(np.nextafter(candidates[inside - 1], np.inf)), chosen, total)


def _bucket(scores: Floats) -> NDArray[np.int64]:
    return np.minimum((scores * BUCKETS).astype(np.int64), BUCKETS - 1)


def _in_bucket(batches: Iterable[Scored], cut: int) -> Iterator[Floats]:
    for scores, eligible in batches:
        kept = scores[eligible]
        yield kept[_bucket(kept) == cut]


class MaskFile:
    """The ground truth of what was changed: one bit per row, packed, with a digest that batches cannot change."""

    def __init__(self) -> None:
        self._packed: list[bytes] = []
        self._rest: Mask = np.zeros(0, dtype=np.bool_)
        self._digest = hashlib.sha256()
        self.rows = 0
        self.changed = 0

    def add(self, mask: Mask) -> None:
        """Append the rows of one batch."""
        self.rows += len(mask)
        self.changed += int(mask.sum())
        bits = np.concatenate([self._rest, mask])
        whole = len(bits) // 8 * 8
        self._rest = bits[whole:]
        self._keep(np.packbits(bits[:whole]).tobytes())

    def finish(self) -> tuple[bytes, str]:
        """All bits, most significant first, and their SHA-256."""
        self._keep(np.packbits(self._rest).tobytes())
        self._rest = self._rest[:0]
        return b"".join(self._packed), self._digest.hexdigest()

    def _keep(self, packed: bytes) -> None:
        self._packed.append(packed)
        self._digest.update(packed)
