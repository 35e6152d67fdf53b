"""How a channel says that it could not tell."""

from __future__ import annotations


class DeliveryError(Exception):
    """A channel did not take a notice; the text says why and names no address, which may carry a secret."""

    def __init__(self, why: str, *, tries: int = 1) -> None:
        super().__init__(why)
        self.tries = tries
