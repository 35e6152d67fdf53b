"""What the inventories of tests say about identities."""

from __future__ import annotations

from chaos_tasks.model.identity import IdentityCheck, IdentityPolicy, NotApplicable


def one_user(*families: str) -> IdentityPolicy:
    """A place where identities cannot be told apart: one user runs everything of a test on one machine."""
    reason = "One user runs everything of a test on one machine."
    waived = NotApplicable(check=IdentityCheck.PRINCIPALS, families=families, reason=reason)
    return IdentityPolicy(not_applicable=(waived,))
