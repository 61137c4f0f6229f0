"""What a classifier says of a message, whichever it is: trained, or the shipped words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

GUESSES = 3
"""How many categories are shown to staff."""


@dataclass(frozen=True)
class Guess:
    """A category and how sure the classifier is of it, 0 to 1."""

    category: str
    confidence: float


@dataclass(frozen=True)
class Judgement:
    """Guesses, surest first (none where nothing is known), and whether the first may act alone."""

    guesses: tuple[Guess, ...]
    automatic: bool


class Classifier(Protocol):
    """What judges messages."""

    def classify(self, messages: Sequence[Sequence[str]]) -> list[Judgement]:
        """A judgement for each message, which is a list of words as `text` makes them."""
        ...


@dataclass(frozen=True)
class Judged:
    """What is held about a case's category: the one it goes by (None: staff decide), why, and the guesses.

    `catalogue` is the version that held when it was filed. `classifier` is the version of the model or of the shipped words that guessed, None where the filer chose.
    """

    category: str | None
    because: str
    classifier: str | None = None
    topic: str | None = None
    catalogue: str | None = None
    guesses: tuple[Guess, ...] = ()


CHOSEN = "chosen when filing"


def chosen(category: str) -> Judged:
    """The filer said what the case is about."""
    return Judged(category, CHOSEN)


def judged(judgement: Judgement, classifier: str, topic: str | None) -> Judged:
    """What a classifier said; the category is taken only where it may act alone."""
    if not judgement.guesses:
        return Judged(None, f"unknown to {classifier}", classifier)
    best = judgement.guesses[0]
    because = f"by {classifier}, confidence {best.confidence:.2f}"
    category = best.category if judgement.automatic else None
    return Judged(category, because, classifier, topic, guesses=judgement.guesses)
