"""How good a classifier is, judged on messages that it never saw, nor anything near to them.

Invariant: temperature and threshold come from the training part of each fold alone (nested), so the
figures hold for messages to come as far as those resemble the file's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from services.cases.routing import files, near, training
from services.cases.routing.judgement import Classifier, Judgement
from services.cases.routing.model import Model

BATCH = 64


@dataclass(frozen=True)
class Share:
    """A share with its numbers and the 95 % interval of Wilson."""

    part: int
    whole: int

    @property
    def value(self) -> float:
        """The share, 0 where there is nothing."""
        return self.part / self.whole if self.whole else 0.0

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval; all of 0 to 1 where there is nothing."""
        if not self.whole:
            return 0.0, 1.0
        z, n, p = 1.96, self.whole, self.value
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)


@dataclass(frozen=True)
class Quality:
    """Figures of judged messages.

    `automatic` is the right ones among those that would be routed without staff, `coverage` how many these are;
    `calibration_error` how far confidence lies from the share of right ones, in ten equal parts of the messages.
    """

    messages: int
    macro_f1: float
    f1: dict[str, float]
    right: Share
    automatic: Share
    coverage: Share
    calibration_error: float


@dataclass(frozen=True)
class Cost:
    """What a classifier costs: milliseconds a message in batches of 64 and alone, seconds to train, bytes on disk."""

    batch_ms: float
    alone_ms: float
    training_seconds: float
    model_bytes: int


@dataclass(frozen=True)
class Evaluation:
    """Quality on messages that were not learnt from, and cost.

    `near` messages have another that is near, and stay with it in one fold; `dropped` are those that were
    left out of training because one that is judged is near.
    """

    quality: Quality
    cost: Cost
    near: int
    dropped: int
    folds: int


def quality(answers: Sequence[str], judgements: Sequence[Judgement | None]) -> Quality:
    """Figures of judgements against the right answers; None is a message that nothing was said of."""
    guessed = [j.guesses[0].category if j is not None and j.guesses else None for j in judgements]
    hits = [guess == answer for guess, answer in zip(guessed, answers, strict=True)]
    automatic = [
        hit
        for hit, judgement in zip(hits, judgements, strict=True)
        if judgement is not None and judgement.automatic
    ]
    f1 = {label: _f1(label, answers, guessed) for label in sorted(set(answers))}
    return Quality(
        messages=len(answers),
        macro_f1=sum(f1.values()) / len(f1),
        f1=f1,
        right=Share(sum(hits), len(hits)),
        automatic=Share(sum(automatic), len(automatic)),
        coverage=Share(len(automatic), len(hits)),
        calibration_error=_calibration_error(judgements, hits),
    )


def _f1(label: str, answers: Sequence[str], guessed: Sequence[str | None]) -> float:
    both = sum(a == label == g for a, g in zip(answers, guessed, strict=True))
    named = sum(a == label for a in answers) + sum(g == label for g in guessed)
    return 2 * both / named if named else 0.0


def _calibration_error(judgements: Sequence[Judgement | None], hits: Sequence[bool]) -> float:
    pairs = sorted(
        (j.guesses[0].confidence, hit)
        for j, hit in zip(judgements, hits, strict=True)
        if j is not None and j.guesses
    )
    parts = [part for part in np.array_split(np.array(pairs, float).reshape(-1, 2), 10) if len(part)]
    gaps = [abs(part[:, 0].mean() - part[:, 1].mean()) * len(part) for part in parts]
    return float(sum(gaps) / len(pairs)) if pairs else 0.0


def evaluate(
    messages: Sequence[Sequence[str]], labels: Sequence[str], *, precision: float = training.PRECISION
) -> Evaluation:
    """Cross-validate, near messages kept together; then train on all and measure what that costs."""
    judgements: list[Judgement | None] = [None] * len(messages)
    dropped = 0
    near_pairs = near.pairs(messages)
    cuts = training.folds(labels, near.groups(len(messages), near_pairs))
    for learnt, judged in cuts:
        apart = set(judged.tolist())
        too_near = {b if a in apart else a for a, b in near_pairs if (a in apart) != (b in apart)}
        dropped += len(too_near)
        kept = [i for i in learnt.tolist() if i not in too_near]
        model = training.train([messages[i] for i in kept], [labels[i] for i in kept], precision=precision)
        for i, judgement in zip(judged, classify(model, [messages[i] for i in judged]), strict=True):
            judgements[i] = judgement
    began = time.perf_counter()
    model = training.train(messages, labels, precision=precision)
    seconds = time.perf_counter() - began
    kept_together = len({one for pair in near_pairs for one in pair})
    return Evaluation(
        quality(labels, judgements), cost(model, messages, seconds), kept_together, dropped, len(cuts)
    )


def evaluate_on(
    messages: Sequence[Sequence[str]],
    labels: Sequence[str],
    judged: Sequence[Sequence[str]],
    answers: Sequence[str],
    *,
    precision: float = training.PRECISION,
) -> Evaluation:
    """Judge on another file's messages; training messages near to one of them are left out."""
    too_near = near.near(messages, judged)
    kept = [i for i in range(len(messages)) if i not in too_near]
    began = time.perf_counter()
    model = training.train([messages[i] for i in kept], [labels[i] for i in kept], precision=precision)
    seconds = time.perf_counter() - began
    found = quality(answers, classify(model, judged))
    return Evaluation(found, cost(model, judged, seconds), 0, len(too_near), 1)


def classify(model: Classifier, messages: Sequence[Sequence[str]]) -> list[Judgement]:
    """Judge messages in batches."""
    return [
        judgement
        for begin in range(0, len(messages), BATCH)
        for judgement in model.classify(messages[begin : begin + BATCH])
    ]


def cost(model: Model, messages: Iterable[Sequence[str]], training_seconds: float) -> Cost:
    """Measure a model on some of the messages; reading a text into words is not in it (a sixth of a millisecond)."""
    some = list(messages)[: 20 * BATCH]
    model.classify(some[:BATCH])
    began = time.perf_counter()
    classify(model, some)
    batch = (time.perf_counter() - began) / len(some)
    alone = some[:200]
    began = time.perf_counter()
    for message in alone:
        model.classify([message])
    single = (time.perf_counter() - began) / len(alone)
    return Cost(batch * 1000, single * 1000, training_seconds, sum(map(len, files.pack(model))))
