"""The model as it is served: a small archive of weights, scored with numpy alone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from batches import Batch, Encoding
from schema import CATEGORICAL

if TYPE_CHECKING:
    from model import LateFlights

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Served:
    encoding: Encoding
    weights: dict[str, Array]

    def score(self, rows: Batch) -> Array:
        """What the network would say, to within rounding."""
        w = self.weights
        embedded = [w[f"embeddings.{i}.weight"][rows.codes[:, i]] for i in range(len(CATEGORICAL))]
        x = np.concatenate([*embedded, rows.numbers], axis=1)
        for layer in ("first", "second"):
            x = np.maximum(x @ w[f"{layer}.weight"].T + w[f"{layer}.bias"], 0)
        logit = (x @ w["last.weight"].T + w["last.bias"])[:, 0]
        return np.asarray(1 / (1 + np.exp(-logit)))


def export(model: LateFlights, encoding: Encoding, path: Path) -> None:
    """The same model always gives the same bytes."""
    weights = {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}
    words = np.array(json.dumps(encoding.vocabularies))
    np.savez_compressed(path, means=encoding.means, scales=encoding.scales, vocabularies=words, **weights)


def load(path: Path) -> Served:
    """Raises on an archive that is torn or lacks a part."""
    with np.load(path) as archive:
        parts = {name: archive[name] for name in archive.files}
    encoding = Encoding(json.loads(str(parts.pop("vocabularies"))), parts.pop("means"), parts.pop("scales"))
    return Served(encoding, parts)
