"""A trained classifier of messages: one matrix, examples, a temperature and a threshold; nothing here trains.

Scores are linear in the features, and to them comes what near examples speak for. Confidence is the likeliest
category's share after dividing the scores by the temperature; from the threshold on a message may be routed
without staff.

Invariant: a model is immutable and its version names its contents, so the same version gives the same
answer on every machine that reads it, up to the rounding of its sums.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.cases.routing.examples import Examples
from services.cases.routing.features import Floats, Rows, Vocabulary, rows
from services.cases.routing.judgement import GUESSES, Guess, Judgement


@dataclass(frozen=True)
class Manifest:
    """What a model is: its categories, where it may act alone, from how many messages it was made.

    `precision` is the share of right ones among what it may route alone, measured on messages held out in
    training; `coverage` the share of messages that it may route alone.
    """

    version: str
    labels: tuple[str, ...]
    temperature: float
    threshold: float
    messages: int
    precision: float
    coverage: float


@dataclass(frozen=True)
class Model:
    """A classifier; `matrix` has a row per feature and a column per label, `intercept` a value per label."""

    manifest: Manifest
    vocabulary: Vocabulary
    matrix: Floats
    intercept: Floats
    examples: Examples

    def classify(self, messages: Sequence[Sequence[str]]) -> list[Judgement]:
        """Judge messages, each a list of words as `text` makes them.

        A message without a single known word is never automatic.
        """
        found = rows(messages, self.vocabulary)
        scored = scores(found, self.matrix, self.intercept) + self.examples.scores(found)
        shares = confidences(scored, self.manifest.temperature)
        order = np.argsort(-shares, axis=1, kind="stable")[:, :GUESSES]
        seen = np.diff(found.begins) > 0
        return [
            Judgement(
                tuple(Guess(self.manifest.labels[k], float(share[k])) for k in best),
                bool(known and share[best[0]] >= self.manifest.threshold),
            )
            for share, best, known in zip(shares, order, seen, strict=True)
        ]


def scores(found: Rows, matrix: Floats, intercept: Floats) -> npt.NDArray[np.float64]:
    """The score of each message (row) for each label (column)."""
    count = found.begins.size - 1
    summed = np.empty((count, intercept.size))
    owner = np.repeat(np.arange(count), np.diff(found.begins))
    weighted = matrix[found.columns].astype(np.float64)
    for label in range(intercept.size):
        summed[:, label] = np.bincount(owner, weighted[:, label] * found.values, minlength=count)
    return summed + intercept


def confidences(scored: npt.NDArray[np.float64], temperature: float) -> npt.NDArray[np.float64]:
    """Scores as shares that sum to 1 (softmax at a temperature)."""
    raised = np.exp((scored - scored.max(axis=1, keepdims=True)) / temperature)
    return np.asarray(raised / raised.sum(axis=1, keepdims=True))
