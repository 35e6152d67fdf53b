"""Eight bytes that a supervisor and its engine share: until when the run was renewed last.

They are in memory, so that they can be written on a full disk, and be read when the supervisor was killed.
"""

from __future__ import annotations

import os
import struct
import weakref

VARIABLE = "SQUALL_RENEWAL_FD"
"""Names the slot's file descriptor to the supervisor, which inherits it."""

_UNTIL = struct.Struct("=d")


class RenewalSlot:
    """A number of monotonic seconds of this host; empty until the first renewal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    @classmethod
    def make(cls) -> RenewalSlot:
        """One that children inherit where they are passed its descriptor."""
        made = cls(os.memfd_create("squall-renewal", os.MFD_CLOEXEC))
        weakref.finalize(made, os.close, made.fd)  # not before its last reader is gone, in whichever thread
        return made

    def write(self, until: float) -> None:
        """The run is renewed until then; one write, so that a reader never meets half of it."""
        os.pwrite(self.fd, _UNTIL.pack(until), 0)

    def read(self) -> float | None:
        """Until when; None where nothing was renewed."""
        found = os.pread(self.fd, _UNTIL.size, 0)
        return float(_UNTIL.unpack(found)[0]) if len(found) == _UNTIL.size else None
