"""How a fault and the relay speak: one key with a fault that expires by itself, one with the relay's answer.

Below a control prefix, which is the `key_prefix` of a stream's place:

    <prefix>:fault               the fault as JSON, with a time to live: it ends even if all of ours died
    <prefix>:ack                 what the living relay applies now; gone two seconds after the relay is
    <prefix>:counters            records seen, passed, delayed, dropped by relays under this prefix
    <prefix>:counters:<handle>   the same, while that handle's fault was in; kept for a week as evidence

One relay at a time serves a prefix (trials of a target run one after the other); its answer is one key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field, ValidationError

from chaos_tasks.model.base import Value

if TYPE_CHECKING:
    from redis import Redis

ACK_MS = 2_000
COUNTERS_S = 7 * 24 * 3600


class RelayFault(Value):
    """What the relay does to records while the key that holds this exists."""

    handle: str
    seed: int
    action: Literal["delay", "drop"]
    fraction: float = Field(gt=0, le=1, description="Share of the records that are selected.")
    delay_ms: float = Field(default=0, ge=0)
    jitter_ms: float = Field(default=0, ge=0, description="Up to this much more, drawn uniformly per record.")
    reorder: bool = Field(default=False, description="Delayed records are overtaken, and hold nobody back.")


class Ack(Value):
    """What the living relay applies: the handle's id, or nothing."""

    relay: str
    handle: str = ""


class Keys(Value):
    """The names of the control keys."""

    prefix: str

    @property
    def fault(self) -> str:
        """Holds the fault, with a time to live."""
        return f"{self.prefix}:fault"

    @property
    def ack(self) -> str:
        """Holds the relay's answer."""
        return f"{self.prefix}:ack"

    @property
    def counters(self) -> str:
        """Hash of counters of all relays under the prefix."""
        return f"{self.prefix}:counters"

    def counters_of(self, handle: str) -> str:
        """Hash of counters while that handle's fault was in."""
        return f"{self.prefix}:counters:{handle}"


# A key is only touched while it holds what the caller means: between reading and writing, another process may act.
_EXTEND = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
_DELETE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def put_fault(redis: Redis, keys: Keys, fault: RelayFault, *, ttl_s: float) -> bool:
    """Put the fault in, or extend it if it is in; False when the key holds anything else, which is left alone."""
    if redis.set(keys.fault, fault.canonical(), px=_ms(ttl_s), nx=True):
        return True
    return extend_fault(redis, keys, fault, ttl_s=ttl_s)


def extend_fault(redis: Redis, keys: Keys, fault: RelayFault, *, ttl_s: float) -> bool:
    """Give exactly this fault more time; False, and nothing done, when it is not in any more."""
    return bool(redis.eval(_EXTEND, 1, keys.fault, fault.canonical(), _ms(ttl_s)))


def take_fault(redis: Redis, keys: Keys, handle: str) -> bool:
    """Delete the fault of that handle; False when it was not there."""
    raw = redis.get(keys.fault)
    if raw is None or _handle_of(raw) != handle:
        return False
    return bool(redis.eval(_DELETE, 1, keys.fault, raw))


def read_fault(redis: Redis, keys: Keys) -> RelayFault | None:
    """The fault that is in, or None; what nobody of ours wrote counts as none."""
    return parse_fault(redis.get(keys.fault))


def parse_fault(raw: bytes | str | None) -> RelayFault | None:
    """The fault that those bytes say, or None for anything else."""
    try:
        return None if raw is None else RelayFault.model_validate_json(raw)
    except ValidationError:
        return None


def read_ack(redis: Redis, keys: Keys) -> Ack | None:
    """The answer of the living relay; None when no relay lives."""
    raw = redis.get(keys.ack)
    return None if raw is None else Ack.model_validate_json(raw)


def read_counts(redis: Redis, keys: Keys, handle: str) -> Mapping[str, int]:
    """Records seen, passed, delayed, dropped while that handle's fault was in."""
    counts = cast("Mapping[bytes, bytes]", redis.hgetall(keys.counters_of(handle)))
    return {name.decode(): int(count) for name, count in counts.items()}


def _handle_of(raw: bytes | str) -> str:
    fault = parse_fault(raw)
    return "" if fault is None else fault.handle


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
