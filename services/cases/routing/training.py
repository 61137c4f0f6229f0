"""Training a classifier from messages with known categories, and choosing where it may act alone.

The temperature and the threshold are read off messages that were held out: the training messages are cut
into folds, near ones together, and each fold is judged by weights that were not fitted to it. Only which words
and sequences there are, without any answer, is taken from all of them at once.

Only this module and `judging` need scikit-learn, which serves to train; a trained model answers without it.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import numpy.typing as npt

from services.cases.routing import features, near
from services.cases.routing.features import BLOCKS, Floats, Rows
from services.cases.routing.model import Manifest, Model, confidences, scores
from shared.refusals import Refusal

FOLDS = 5
PRECISION = 0.98
"""What share of the messages routed without staff shall be right."""
MARGIN = 0.003
"""By how much the threshold aims higher than asked, for what held-out messages of one file can't show."""

# In how many messages a feature must occur, and how much a kind of feature weighs; found by cross-validation
# (ADR 13, docs/routing.md).
LEAST = {"words": 1, "pairs": 2, "characters": 3, "head words": 1, "head characters": 2}
WEIGHTS = {"words": 1.0, "pairs": 0.5, "characters": 1.0, "head words": 0.7, "head characters": 0.7}
PENALTY = 0.2


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
    held = np.empty((len(messages), len(names)))
    *parts, (matrix, intercept) = _fit_all(table, answers, cuts)
    for (_, judged), (part, shift) in zip(cuts, parts, strict=True):
        held[judged] = scores(table.only(judged), part, shift)
    temperature = calibrate(held, answers)
    threshold, reached, coverage = choose_threshold(confidences(held, temperature), answers, precision)
    manifest = Manifest("", names, temperature, threshold, len(messages), reached, coverage)
    return Model(manifest, vocabulary, matrix * scale[:, None], intercept)


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


def _fit_all(
    table: Rows, answers: Numbers, cuts: Sequence[tuple[Numbers, Numbers]]
) -> list[tuple[Floats, Floats]]:
    """Matrix and intercept of each fold's learning part, then of all; small tables in this process."""
    jobs = [*(learnt for learnt, _ in cuts), np.arange(answers.size)]
    workers = min(len(jobs), os.cpu_count() or 1)
    if workers < 2 or answers.size < 2000:
        return [_fit(table, answers, job) for job in jobs]
    with ProcessPoolExecutor(workers, get_context("spawn"), _hold, (table, answers)) as pool:
        return list(pool.map(_fit_held, jobs))


_held: list[tuple[Rows, Numbers]] = []
"""In a worker process: the table that it fits parts of."""


def _hold(table: Rows, answers: Numbers) -> None:
    _held[:] = [(table, answers)]


def _fit_held(job: Numbers) -> tuple[Floats, Floats]:
    return _fit(*_held[0], job)


def _fit(table: Rows, answers: Numbers, learnt: Numbers) -> tuple[Floats, Floats]:
    from scipy.sparse import csr_array
    from sklearn.linear_model import Ridge

    part = table.only(learnt)
    width = int(table.columns.max(initial=0)) + 1
    sparse = csr_array((part.values, part.columns, part.begins), shape=(learnt.size, width))
    wanted = np.where(answers[learnt, None] == np.arange(answers.max() + 1), 1.0, -1.0)
    # Least squares to +1 and -1: as good on text as a margin, one system for all categories at once.
    fitted = Ridge(alpha=PENALTY, solver="sparse_cg", tol=1e-2).fit(sparse, wanted.astype(np.float32))
    return fitted.coef_.T.astype(np.float32), fitted.intercept_.astype(np.float32)


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
