"""A fault that undoes nothing and says that it did, to see whether a cell turns red without asking the fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

from chaos_tasks.faults.base import FaultContext, FaultParams
from chaos_tasks.model.handle import Finding, Fingerprint, Handle, Receipt
from chaos_tasks.model.place import Place
from chaos_tasks.testing.conformance import AnyFault


@contextmanager
def lying(fault: AnyFault) -> Iterator[None]:
    """Within, also in forked processes: injection is real, revert does nothing, and all that proves it agrees."""
    kind, hurt = type(fault), set[str]()  # of this process: another one that inspects finds all as it should be
    inject = kind.inject

    def hurting(self: AnyFault, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        hurt.add(handle.id)
        receipt: Receipt = inject(self, handle, params, ctx)
        return receipt

    def idle(self: AnyFault, handle: Handle, params: FaultParams, ctx: FaultContext) -> Receipt:
        hurt.discard(handle.id)
        return Receipt(at=ctx.clock.now(), effective=True, summary="a lie", evidence={"undone": "nothing"})

    def blind(self: AnyFault, handle: Handle, params: FaultParams, ctx: FaultContext) -> Finding:
        return Finding.INJECTED if handle.id in hurt else Finding.REVERTED

    def constant(self: AnyFault, place: Place, ctx: FaultContext) -> Fingerprint:
        return Fingerprint(digest="0" * 64, covers="nothing", leaves_out="everything")

    doubles: dict[str, Any] = {"inject": hurting, "revert": idle, "inspect": blind, "fingerprint": constant}
    with ExitStack() as patches:
        for name, double in doubles.items():
            patches.enter_context(patch.object(kind, name, double))
        yield
