"""The network: embeddings of the categories beside the numbers, two hidden layers, one logit."""

from __future__ import annotations

import torch
from torch import Tensor, nn

WIDTH = 4
HIDDEN = 64
DROPOUT = 0.1


class LateFlights(nn.Module):
    """`sizes` are the vocabulary sizes with one more for the unseen."""

    def __init__(self, sizes: list[int], numbers: int) -> None:
        super().__init__()
        self.embeddings = nn.ModuleList(nn.Embedding(size, WIDTH) for size in sizes)
        self.first = nn.Linear(WIDTH * len(sizes) + numbers, HIDDEN)
        self.second = nn.Linear(HIDDEN, HIDDEN // 2)
        self.last = nn.Linear(HIDDEN // 2, 1)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, codes: Tensor, numbers: Tensor) -> Tensor:
        embedded = [layer(codes[:, i]) for i, layer in enumerate(self.embeddings)]
        x = torch.cat([*embedded, numbers], dim=1)
        x = self.dropout(torch.relu(self.first(x)))
        x = self.dropout(torch.relu(self.second(x)))
        out: Tensor = self.last(x).squeeze(1)
        return out
