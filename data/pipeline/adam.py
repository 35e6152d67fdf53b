"""Adam in twenty lines: building torch's own optimiser imports its compiler, five dear seconds."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

BETAS = (0.9, 0.999)
EPSILON = 1e-8


class Adam:
    """The update of Kingma and Ba (2015), step for step what `torch.optim.Adam` does."""

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        self.parameters = list(parameters)
        self.steps = 0
        self.means = [torch.zeros_like(p) for p in self.parameters]
        self.squares = [torch.zeros_like(p) for p in self.parameters]

    @torch.no_grad()
    def step(self, rate: float) -> None:
        self.steps += 1
        gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in self.parameters]
        torch._foreach_lerp_(self.means, gradients, 1 - BETAS[0])
        torch._foreach_mul_(self.squares, BETAS[1])
        torch._foreach_addcmul_(self.squares, gradients, gradients, 1 - BETAS[1])
        widths = torch._foreach_div(torch._foreach_sqrt(self.squares), (1 - BETAS[1] ** self.steps) ** 0.5)
        torch._foreach_add_(widths, EPSILON)
        torch._foreach_addcdiv_(self.parameters, self.means, widths, -rate / (1 - BETAS[0] ** self.steps))

    def zero_grad(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, object]:
        return {"steps": self.steps, "means": self.means, "squares": self.squares}

    def load_state_dict(self, state: dict[str, object]) -> None:
        """Takes copies onto the device of the parameters."""
        self.steps = int(str(state["steps"]))
        for mine, name in ((self.means, "means"), (self.squares, "squares")):
            for tensor, saved in zip(mine, state[name], strict=True):  # type: ignore[call-overload]
                tensor.copy_(saved)
