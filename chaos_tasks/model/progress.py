"""How a trial got on: which of its time was of use, what each fault cost it, and how it saves."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from chaos_tasks.model.base import Value


class Setback(Value):
    """One fault that took hold of a run in progress, and how the run got over it; None where it never did.

    A run that starts anew is *back* at its first sign of progress (a `resume` or `start` line counts), makes its *first
    step* after that, and has *caught up* with the first step beyond the last one before the fault.
    """

    handle_id: str
    fired_at: datetime
    held_at: datetime = Field(description="When the fault was in, by its receipt.")
    step_before: int | None = Field(None, description="Highest step reported before it struck.")
    resumed_from: int | None = Field(None, description="Step that a new start went on from; None: no restart.")
    restarted_at: datetime | None = Field(None, description="When its own runtime started it again.")
    back_at: datetime | None = None
    first_step_at: datetime | None = None
    caught_up_at: datetime | None = None
    down_s: float | None = Field(None, ge=0, description="From the fault until the run was back.")
    redone_steps: int = Field(0, ge=0, description="Reported steps that were done again.")
    redone_s: float = Field(0.0, ge=0, description="Work beyond the checkpoint, done again.")

    @property
    def restart_s(self) -> float | None:
        """From the firing to the start of the next launch."""
        return self._after(self.restarted_at)

    @property
    def back_s(self) -> float | None:
        """From the firing to the first progress."""
        return self._after(self.back_at)

    @property
    def first_step_s(self) -> float | None:
        """From the firing to the first step made."""
        return self._after(self.first_step_at)

    @property
    def caught_up_s(self) -> float | None:
        """From the firing to the first step beyond the last one before it."""
        return self._after(self.caught_up_at)

    def _after(self, at: datetime | None) -> float | None:
        return None if at is None else max(0.0, (at - self.fired_at).total_seconds())


class Checkpointing(Value):
    """How a trial saves, by the `checkpoint` lines of its progress."""

    count: int = Field(ge=1)
    interval_s: float | None = Field(None, ge=0, description="Work between two saves, the median.")
    write_s: float | None = Field(None, ge=0, description="Cost of one save, the median; None: it does not show.")


class TrialProgress(Value):
    """Where the time of a trial went, from its first sign of progress to its last step.

    Start-up before and evaluation after are left out: they do not come again with failures.  A trial that did not
    complete counts to its end.
    """

    span_s: float = Field(ge=0)
    useful_s: float = Field(ge=0, description="Work whose result was kept.")
    redone_s: float = Field(0.0, ge=0, description="Work that was lost and done again.")
    saving_s: float = Field(0.0, ge=0, description="Time spent on writing checkpoints.")
    stalled_s: float = Field(0.0, ge=0, description="Standing still or slowed down under a fault, without a restart.")
    down_s: float = Field(0.0, ge=0, description="From a failure until the run was back.")
    redone_steps: int = Field(0, ge=0)
    redone_samples: int | None = Field(None, description="None: the progress does not tell samples.")
    device: str = Field("", description="As the workload says it: cpu, cuda; empty when it does not.")
    devices: int = Field(1, ge=1)
    checkpoints: Checkpointing | None = None
    setbacks: tuple[Setback, ...] = ()

    @property
    def ettr(self) -> float | None:
        """Effective training time ratio (0..1): useful time over all; None without any."""
        return min(1.0, self.useful_s / self.span_s) if self.span_s > 0 else None

    @property
    def uses_gpu(self) -> bool:
        """Whether the workload says that it ran on a GPU."""
        return self.device.startswith("cuda")

    @property
    def lost_gpu_s(self) -> float:
        """GPU-seconds that were lost: devices times the time redone, stalled and down; 0 without a GPU."""
        return self.devices * (self.redone_s + self.stalled_s + self.down_s) if self.uses_gpu else 0.0
