"""Whatever the fault, each record leaves at most once, and only a dropped one does not leave."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chaos_tasks.targets.relay import Batch, Sluice, draw
from chaos_tasks.targets.stream import RelayFault

FAULTS = st.one_of(
    st.none(),
    st.builds(
        RelayFault,
        handle=st.just("h"),
        seed=st.integers(0, 9),
        action=st.sampled_from(["delay", "drop"]),
        fraction=st.sampled_from([0.1, 0.5, 1.0]),
        delay_ms=st.floats(0, 5_000),
        jitter_ms=st.floats(0, 5_000),
        reorder=st.booleans(),
    ),
)
ROUNDS = st.lists(st.tuples(FAULTS, st.integers(0, 8), st.floats(0, 3)), max_size=12)


@given(ROUNDS)
def test_nothing_is_lost_or_repeated_and_order_holds_unless_reordered(
    rounds: list[tuple[RelayFault | None, int, float]],
) -> None:
    sluice, now, number = Sluice(), 0.0, 0
    sent: list[int] = []
    dropped = seen = 0
    for fault, count, step_s in [*rounds, (None, 0, 0.0)]:
        now += step_s
        batch = Batch()
        sluice.release(fault, now, batch)
        for _ in range(count):
            number += 1
            sluice.put(b"%d" % number, [b"%d" % number], fault, now, batch)
        sent += [int(fields[0]) for fields in batch.send]
        dropped += batch.counts.get("dropped", 0)
        seen += batch.counts.get("seen", 0)
        assert batch.counts.get("seen", 0) == sum(batch.counts.get(n, 0) for n in ("passed", "delayed", "dropped"))
    assert len(set(sent)) == len(sent) == seen - dropped
    assert not sluice.held
    if not any(fault and fault.reorder for fault, _, _ in rounds):
        assert sent == sorted(sent)


@given(st.integers(0, 2**48), st.integers(1, 10**9))
def test_a_draw_depends_on_its_arguments_alone(seed: int, number: int) -> None:
    assert draw(seed, number, 0) == draw(seed, number, 0)
    assert 0 <= draw(seed, number, 1) < 1
