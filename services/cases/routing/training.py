"""Training a classifier from messages with known categories, and choosing where it may act alone.

The temperature and the threshold are read off messages that were held out: the training messages are cut
into folds, near ones together, and each fold is judged by weights that were not fitted to it. Only which words
and sequences there are, and what goes together among them, without any answer, is taken from all at once.

Only this module and `judging` need scikit-learn, which serves to train; a trained model answers without it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from services.cases.routing import features, near
from services.cases.routing.examples import TOPICS, Examples, nearness, none, placed
from services.cases.routing.features import BLOCKS, Floats, Rows
from services.cases.routing.model import Manifest, Model, confidences
from shared.refusals import Refusal

if TYPE_CHECKING:
    from scipy.sparse import csr_array

FOLDS = 5
PRECISION = 0.98
"""What share of the messages routed without staff shall be right."""
MARGIN = 0.003
"""By how much the threshold aims higher than asked, for what held-out messages of one file can't show."""

# In how many messages a feature must occur, how much a kind of feature weighs, how small weights are held;
# docs/routing.md says how these were found, and what that means for the figures.
LEAST = {"words": 1, "pairs": 2, "characters": 3, "head words": 1, "head characters": 2}
WEIGHTS = {"words": 1.0, "pairs": 0.5, "characters": 1.0, "head words": 0.7, "head characters": 0.7}
PENALTY = 0.2
LEAST_WITH_DIRECTION = 10
"""In how many messages a feature must occur to have a part in what a message is about."""
EXAMPLES_MOST = 12_000
"""Up to so many messages each is compared with each: at 12,000 the comparisons take 0.6 GB, twice in solving."""
_AT_ONCE = 500


class NotTrainable(Refusal):
    """Messages from which no classifier can be made."""

    def __init__(self, why: str) -> None:
        super().__init__("routing-not-trainable", why, "invalid")

    def __str__(self) -> str:
        return self.detail


Message = Sequence[str]
Numbers = npt.NDArray[np.int64]
Scores = npt.NDArray[np.float64]


def train(messages: Sequence[Message], labels: Sequence[str], *, precision: float = PRECISION) -> Model:
    """A calibrated classifier, still without a version, which `files.save` gives it.

    `precision` is what share of the messages it routes alone shall be right.

    Raises:
        NotTrainable: fewer than two categories, or one with fewer than two different messages.
    """
    names, answers = _numbered(labels)
    cuts = folds(labels, near.groups(len(messages), near.pairs(messages)))
    vocabulary = features.fit(messages, LEAST)
    rows = features.rows(messages, vocabulary)
    scale = np.concatenate(
        [np.full(vocabulary.blocks[name].keys.size, WEIGHTS[name], np.float32) for name in BLOCKS]
    )
    table = Rows(rows.begins, rows.columns, rows.values * scale[rows.columns])
    fitted = (_fit_exactly if len(messages) <= EXAMPLES_MOST else _fit_linearly)(table, answers, cuts)
    temperature = calibrate(fitted.held, answers)
    threshold, reached, coverage = choose_threshold(confidences(fitted.held, temperature), answers, precision)
    manifest = Manifest("", names, temperature, threshold, len(messages), reached, coverage)
    # A message to be judged is counted without the kinds' weights, so they go into what meets it.
    directions = fitted.examples.directions * scale[fitted.examples.columns, None]
    return Model(
        manifest,
        vocabulary,
        fitted.matrix * scale[:, None],
        fitted.intercept,
        replace(fitted.examples, directions=directions),
    )


def _numbered(labels: Sequence[str]) -> tuple[tuple[str, ...], Numbers]:
    names = tuple(sorted(set(labels)))
    return names, np.array([names.index(label) for label in labels], np.int64)


def folds(labels: Sequence[str], groups: Sequence[int]) -> list[tuple[Numbers, Numbers]]:
    """Messages cut into at most FOLDS folds, groups kept whole: positions to learn from, and to judge.

    Raises:
        NotTrainable: fewer than two categories, or one with fewer than two different messages.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    names, answers = _numbered(labels)
    if len(names) < 2:
        raise NotTrainable("a classifier needs messages of at least two categories")
    different = Counter(answer for answer, _ in set(zip(answers.tolist(), groups, strict=True)))
    rarest, count = min(different.items(), key=lambda item: item[1])
    if count < 2:
        raise NotTrainable(f"category {names[rarest]} has fewer than two different messages")
    split = StratifiedGroupKFold(min(FOLDS, count), shuffle=True, random_state=0)
    return [(a.astype(np.int64), b.astype(np.int64)) for a, b in split.split(answers, answers, groups)]


@dataclass(frozen=True)
class _Fitted:
    """What all messages together say, and `held`: each message's scores by what the other folds say."""

    held: Scores
    matrix: Floats
    intercept: Floats
    examples: Examples


def _wanted(answers: Numbers) -> npt.NDArray[np.float32]:
    """Least squares to +1 and -1: as good on text as a margin, one system for all categories at once."""
    return np.where(answers[:, None] == np.arange(answers.max() + 1), 1.0, -1.0).astype(np.float32)


def _fit_exactly(table: Rows, answers: Numbers, cuts: Sequence[tuple[Numbers, Numbers]]) -> _Fitted:
    """Features and examples in one system, solved by how like each message is to each other one."""
    from scipy.linalg import cho_factor, cho_solve

    sparse, wanted = _sparse(table), _wanted(answers)
    columns, directions = _directions(sparse)
    places = placed(table, columns, directions)
    likeness = nearness(places, places) if columns.size else np.zeros((answers.size,) * 2, np.float32)
    turned = sparse.T.tocsr()
    for first in range(0, answers.size, _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        likeness[part] += (sparse[part] @ turned).toarray()

    def solved(learnt: Numbers) -> tuple[Floats, Floats]:
        system = likeness[np.ix_(learnt, learnt)]
        system[np.diag_indices_from(system)] += PENALTY
        mean = wanted[learnt].mean(axis=0)
        # The table is its own mirror image, and only columns in a row are solved without a copy.
        factor = cho_factor(system.T, lower=True, overwrite_a=True, check_finite=False)
        return cho_solve(factor, wanted[learnt] - mean, check_finite=False), mean

    held = np.empty(wanted.shape)
    for learnt, judged in cuts:
        weights, mean = solved(learnt)
        held[judged] = likeness[np.ix_(judged, learnt)] @ weights + mean
    weights, mean = solved(np.arange(answers.size))
    examples = Examples(columns, directions, places, weights) if columns.size else none(wanted.shape[1])
    return _Fitted(held, turned @ weights, mean, examples)


def _directions(sparse: csr_array) -> tuple[npt.NDArray[np.int32], Floats]:
    """The features that occur often enough, and the directions of most of what messages have in common."""
    from sklearn.decomposition import TruncatedSVD

    often = np.bincount(sparse.indices, minlength=sparse.shape[1]) >= LEAST_WITH_DIRECTION
    columns = np.flatnonzero(often).astype(np.int32)
    if min(columns.size, sparse.shape[0]) <= TOPICS:
        empty = none(0)
        return empty.columns, empty.directions
    found = TruncatedSVD(TOPICS, n_iter=3, random_state=0).fit(sparse[:, columns])
    return columns, np.ascontiguousarray(found.components_.T, np.float32)


def _fit_linearly(table: Rows, answers: Numbers, cuts: Sequence[tuple[Numbers, Numbers]]) -> _Fitted:
    """Features alone, for more messages than can be compared each with each."""
    from sklearn.linear_model import Ridge

    sparse, wanted = _sparse(table), _wanted(answers)

    def solved(learnt: Numbers) -> Ridge:
        return Ridge(alpha=PENALTY, solver="sparse_cg", tol=1e-2).fit(sparse[learnt], wanted[learnt])

    held = np.empty(wanted.shape)
    for learnt, judged in cuts:
        held[judged] = solved(learnt).predict(sparse[judged])
    whole = solved(np.arange(answers.size))
    matrix, intercept = whole.coef_.T.astype(np.float32), whole.intercept_.astype(np.float32)
    return _Fitted(held, matrix, intercept, none(wanted.shape[1]))


def _sparse(table: Rows) -> csr_array:
    from scipy.sparse import csr_array

    width = int(table.columns.max(initial=0)) + 1
    cells = table.columns.astype(np.int32), table.begins.astype(np.int32)
    return csr_array((table.values, *cells), shape=(table.begins.size - 1, width))


def calibrate(held: Scores, answers: Numbers) -> float:
    """The temperature at which the confidences of held-out messages say best how often they are right."""
    from scipy.optimize import minimize_scalar

    def loss(log_temperature: float) -> float:
        shares = confidences(held, float(np.exp(log_temperature)))
        return float(-np.log(np.maximum(shares[np.arange(answers.size), answers], 1e-12)).mean())

    return float(np.exp(minimize_scalar(loss, bounds=(-5, 3), method="bounded").x))


def choose_threshold(shares: Scores, answers: Numbers, precision: float) -> tuple[float, float, float]:
    """The lowest confidence from which on messages are right as often as asked, and a margin more.

    Returns it with the share of right ones and of messages from it on; above 1, so never, where nothing reaches it.
    """
    sure = shares.max(axis=1)
    order = np.argsort(-sure, kind="stable")
    right = (shares.argmax(axis=1) == answers)[order]
    reached = np.cumsum(right) / np.arange(1, right.size + 1)
    aim = min(precision + MARGIN, 1.0)
    # A cut between two equal confidences is none.
    cuts = np.append(sure[order][:-1] > sure[order][1:], [True])
    enough = np.flatnonzero((reached >= aim) & cuts)
    if not enough.size:
        return 2.0, 0.0, 0.0
    last = int(enough[-1])
    return float(sure[order][last]), float(reached[last]), (last + 1) / right.size
