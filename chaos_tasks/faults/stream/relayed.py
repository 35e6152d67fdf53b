"""What all record faults share: they are one key that the relay obeys, and that expires by itself.

The key lives for three leases.  Each further ``inject``, and each ``renew``, extends it; nothing brings it back once it
is gone.  So no fault outlives its lease by more than two of its lengths, even if all of ours died at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, cast

from pydantic import JsonValue

from chaos_tasks.errors import FaultError, InjectError, RevertError
from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.base import Value
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt, Reversibility
from chaos_tasks.model.place import Place, StreamPlace
from chaos_tasks.ports import Clock
from chaos_tasks.targets import stream
from chaos_tasks.targets.stream import Keys, RelayFault

if TYPE_CHECKING:
    from redis import Redis

LEASES = 3
ANSWER_WITHIN_S = 5.0  # a living relay answers within 0.05 s; a dead one's last answer is gone after 2 s
POLL_S = 0.02
REVERT_WITHIN_S = 10.0  # a Redis that is restarted is back sooner; a fault need not stay in for that
AGAIN_S = 0.2

P = TypeVar("P", bound=FaultParams)


class RelayedFault(Generic[P]):
    """Arms, proves and takes back one fault of the relay; a kind says only what the relay shall do."""

    kind: ClassVar[str]
    reversibility: ClassVar[Reversibility] = Reversibility.RESTORES
    place_types: ClassVar[tuple[type[Value], ...]] = (StreamPlace,)
    policy: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def order(self, handle: Handle, params: P) -> RelayFault:
        """What the relay shall do."""
        raise NotImplementedError

    def snapshot(self, place: Place, params: P, ctx: FaultContext) -> Mapping[str, JsonValue]:
        """Nothing needs keeping: the prior state is that no fault is in, and ``inject`` refuses any other."""
        return {}

    def inject(self, handle: Handle, params: P, ctx: FaultContext) -> Receipt:
        """Put the order in, or extend it, and wait for the answer of a relay that runs."""
        redis, keys = _reach(handle.place, ctx)
        try:
            if not stream.put_fault(redis, keys, self.order(handle, params), ttl_s=LEASES * ctx.lease_s):
                raise InjectError(
                    f"another fault is in on {handle.place.key}",
                    handle_id=handle.id,
                    remedy="revert it first; `squall status` lists open handles",
                )
            answered = _await_answer(redis, keys, handle.id, present=True, ctx=ctx)
            left_ms = redis.pttl(keys.fault)
        except _redis_errors() as error:
            raise _unreachable(InjectError, handle, error) from error
        if answered is False:
            raise InjectError(
                f"the relay of {handle.place.key} does not take the fault up",
                handle_id=handle.id,
                remedy="read the relay's output; it must run with this place's prefix as --control",
            )
        taken_up = "the relay applies it" if answered else "no relay runs yet, the next one applies it from its start"
        return Receipt(
            at=ctx.clock.now(),
            effective=left_ms > 0,
            summary=f"{self.kind} is in, {taken_up}",
            evidence={"acknowledged": bool(answered), "expires_in_ms": left_ms},
        )

    def renew(self, handle: Handle, params: P, ctx: FaultContext) -> bool:
        """Keep the fault in for another three leases; False when it is not in any more."""
        redis, keys = _reach(handle.place, ctx)
        try:
            return stream.extend_fault(redis, keys, self.order(handle, params), ttl_s=LEASES * ctx.lease_s)
        except _redis_errors() as error:
            raise _unreachable(InjectError, handle, error) from error

    def revert(self, handle: Handle, params: P, ctx: FaultContext) -> Receipt:
        """Take the order back, wait until the relay has let go, and say what the fault did while it was in."""
        redis, keys = _reach(handle.place, ctx)
        try:
            _persist(ctx.clock, lambda: stream.take_fault(redis, keys, handle.id))
            answered = _await_answer(redis, keys, handle.id, present=False, ctx=ctx)
            left = stream.read_fault(redis, keys)
            counts = stream.read_counts(redis, keys, handle.id)
        except _redis_errors() as error:
            raise _unreachable(RevertError, handle, error) from error
        if answered is False or (left is not None and left.handle == handle.id):
            raise RevertError(
                f"the relay of {handle.place.key} still applies {handle.id}",
                handle_id=handle.id,
                remedy="end the relay's process; its records wait in the source stream",
            )
        hurt = counts.get("delayed", 0) + counts.get("dropped", 0)
        return Receipt(
            at=ctx.clock.now(),
            effective=True,
            summary=f"{self.kind} is out; it hurt {hurt} of {counts.get('seen', 0)} records",
            evidence={"acknowledged": bool(answered), **counts},
        )

    def inspect(self, handle: Handle, params: P, ctx: FaultContext) -> Finding:
        """What the key and the relay's answer say."""
        redis, keys = _reach(handle.place, ctx)
        try:
            order, answer = stream.read_fault(redis, keys), stream.read_ack(redis, keys)
            was_in = bool(stream.read_counts(redis, keys, handle.id))
        except _redis_errors():
            return Finding.UNKNOWN
        applied = answer is not None and answer.handle == handle.id
        if order is not None and order.handle == handle.id:
            return Finding.INJECTED if answer is None or applied else Finding.PARTIAL
        if applied:
            return Finding.PARTIAL
        return Finding.REVERTED if was_in else Finding.ARMED

    def fingerprint(self, place: Place, ctx: FaultContext) -> Fingerprint:
        """Whether a fault is in, and which."""
        redis, keys = _reach(place, ctx)
        try:
            raw = cast("bytes", redis.get(keys.fault) or b"")
        except _redis_errors() as error:
            raise _unreachable(FaultError, None, error) from error
        return Fingerprint(
            digest=hashlib.sha256(raw).hexdigest(),
            covers=f"the fault that relays of {keys.prefix} obey",
            leaves_out="records in the streams, counters, time to live",
        )


def _reach(place: Place, ctx: FaultContext) -> tuple[Redis, Keys]:
    if not isinstance(place, StreamPlace):
        raise FaultError(f"{place.key} is no stream", remedy="give the step a redis_stream resource as its target")
    return ctx.clients.redis(place.url), Keys(prefix=place.key_prefix)


def _await_answer(redis: Redis, keys: Keys, handle: str, *, present: bool, ctx: FaultContext) -> bool | None:
    """True once the relay's answer names the handle (or names it no more), False if it does not, None without relay."""
    deadline = ctx.clock.monotonic() + ANSWER_WITHIN_S
    while True:
        answer = stream.read_ack(redis, keys)
        if answer is None:
            return None
        if (answer.handle == handle) is present:
            return True
        if ctx.clock.monotonic() > deadline:
            return False
        ctx.clock.sleep(POLL_S)


def _persist(clock: Clock, act: Callable[[], object]) -> None:
    """Call until Redis answers, for as long as one that is restarted needs."""
    deadline = clock.monotonic() + REVERT_WITHIN_S
    while True:
        try:
            act()
            return
        except _redis_errors() as error:
            if not _passes_by_itself(error) or clock.monotonic() > deadline:
                raise
        clock.sleep(AGAIN_S)


def _passes_by_itself(error: Exception) -> bool:
    """Whether Redis does not answer, or loads its data: both end.  A wrong password does not."""
    from redis import exceptions

    lasting = (exceptions.AuthenticationError, exceptions.AuthorizationError)
    return isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError)) and not isinstance(error, lasting)


def _redis_errors() -> type[Exception]:
    from redis.exceptions import RedisError

    return RedisError


def _unreachable(kind: type[FaultError], handle: Handle | None, error: Exception) -> FaultError:
    where = f" for {handle.id}" if handle is not None else ""
    return kind(
        f"Redis does not answer{where}: {type(error).__name__}",
        handle_id=handle.id if handle is not None else "",
        remedy="start Redis; a fault that is in expires by itself",
    )
