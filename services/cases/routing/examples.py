"""What training messages were about, and how near a message comes to each of them.

A message is placed among TOPICS directions, which the training messages themselves span (latent semantic
analysis), and compared with every training message there; a near one speaks for its categories, a far one
hardly. So a message is judged by its neighbours too, beyond what single features say.

Invariants: a place has length 1, or 0 for a message without any feature that has a direction; nothing here
trains.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.cases.routing.features import Floats, Rows

TOPICS = 100
NARROW = 3.0
"""How fast nearness falls with the distance: messages on unlike topics count a twentieth."""
_AT_ONCE = 256


@dataclass(frozen=True)
class Examples:
    """Training messages as places, and what each speaks for.

    `columns` are the features that have a direction, rising, and `directions` a row of TOPICS for each;
    `places` has a row per message and `weights` a value per message and label. All are empty in a model without.
    """

    columns: npt.NDArray[np.int32]
    directions: Floats
    places: Floats
    weights: Floats

    def scores(self, found: Rows) -> npt.NDArray[Any]:
        """What the examples add to the score of each message (row) for each label (column)."""
        place = placed(found, self.columns, self.directions)
        summed = np.zeros((place.shape[0], self.weights.shape[1]))
        for first in range(0, place.shape[0], _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            summed[part] = nearness(place[part], self.places) @ self.weights
        return summed


def none(labels: int) -> Examples:
    """No examples, for so many labels."""
    return Examples(
        np.zeros(0, np.int32),
        np.zeros((0, TOPICS), np.float32),
        np.zeros((0, TOPICS), np.float32),
        np.zeros((0, labels), np.float32),
    )


def placed(found: Rows, columns: npt.NDArray[np.int32], directions: Floats) -> Floats:
    """The place of each message (row)."""
    count = found.begins.size - 1
    summed = np.zeros((count, directions.shape[1]), np.float32)
    if columns.size:
        at = np.minimum(np.searchsorted(columns, found.columns), columns.size - 1)
        for row in range(count):
            cells = slice(found.begins[row], found.begins[row + 1])
            known = columns[at[cells]] == found.columns[cells]
            summed[row] = found.values[cells][known] @ directions[at[cells][known]]
    length = np.linalg.norm(summed, axis=1, keepdims=True)
    summed /= np.where(length > 0, length, 1)
    return summed


def nearness(some: Floats, others: Floats) -> Floats:
    """How near each of some places of length 1 comes to each of others: 1 for the same, a Gaussian of the distance."""
    near: Floats = np.exp(np.float32(NARROW) * (some @ others.T - np.float32(1)))
    return near
