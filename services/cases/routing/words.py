"""Routing by shipped words, for a city that has no past cases yet: a judgement like a trained model's.

A message speaks for a topic with each of the topic's words: longer words, repeated ones and those at the
head (the subject) count more, words of several categories less. Confidence is the category's share of all
that was said; it may act alone from `SURE` on, if at least `LEAST` words speak for it.

Invariant: a judgement names categories and topics, never the words found.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from services.cases.routing.judgement import GUESSES, Guess, Judgement

HEAD = 24
"""How many characters of a message, its subject first, count double."""
SURE = 0.75
"""Three times as much speaks for the category as for all others together; where less does, staff decide."""
LEAST = 2


@dataclass(frozen=True)
class Topic:
    """The third level of the taxonomy: under which category and group it stands, and its words."""

    category: str
    group: str
    name: str
    words: tuple[str, ...]

    @property
    def path(self) -> str:
        """All three levels."""
        return f"{self.category} / {self.group} / {self.name}"


@dataclass(frozen=True)
class Taxonomy:
    """Categories in three levels, with the words that speak for each topic."""

    topics: tuple[Topic, ...]
    version: str

    @cached_property
    def categories(self) -> dict[str, tuple[str, ...]]:
        """Each category with all its words, in order."""
        found: dict[str, list[str]] = {}
        for topic in self.topics:
            found.setdefault(topic.category, []).extend(topic.words)
        return {category: tuple(dict.fromkeys(words)) for category, words in found.items()}

    @cached_property
    def _weights(self) -> Mapping[str, float]:
        """What one mention of a word weighs."""
        shared: defaultdict[str, int] = defaultdict(int)
        for words in self.categories.values():
            for word in words:
                shared[word] += 1
        return {word: min(len(word), 5) / 2 / count**2 for word, count in shared.items()}

    def classify(self, messages: Sequence[Sequence[str]]) -> list[Judgement]:
        """Judge messages, each a list of words as `text` makes them."""
        return [self._judge("".join(message)) for message in messages]

    def topic_of(self, message: Sequence[str], category: str) -> str | None:
        """The topic of a category that a message speaks for most, as a path; None where it speaks for none."""
        found = self._said("".join(message))
        best = max(
            (topic for topic in self.topics if topic.category == category),
            key=lambda topic: sum(found.get(word, 0.0) for word in topic.words),
            default=None,
        )
        return best.path if best and any(word in found for word in best.words) else None

    @cached_property
    def _by_start(self) -> Mapping[str, tuple[str, ...]]:
        """Words by their first two characters, so that a message is gone through once."""
        found: defaultdict[str, list[str]] = defaultdict(list)
        for word in self._weights:
            found[word[:2]].append(word)
        return {start: tuple(words) for start, words in found.items()}

    def _said(self, joined: str) -> dict[str, float]:
        """The weight of each word that occurs."""
        counts: Counter[str] = Counter()
        heads = set()
        for at in range(len(joined) - 1):
            for word in self._by_start.get(joined[at : at + 2], ()):
                if joined.startswith(word, at):
                    counts[word] += 1
                    if at < HEAD:
                        heads.add(word)
        return {
            word: self._weights[word] * (1 + math.log(count) + (word in heads))
            for word, count in counts.items()
        }

    def _judge(self, joined: str) -> Judgement:
        found = self._said(joined)
        score = {
            category: sum(found.get(word, 0.0) for word in words)
            for category, words in self.categories.items()
        }
        total = sum(score.values())
        if not total:
            return Judgement((), automatic=False)
        ranked = sorted((-value, category) for category, value in score.items() if value)
        guesses = tuple(Guess(category, -value / total) for value, category in ranked[:GUESSES])
        best = guesses[0]
        words = sum(word in found for word in self.categories[best.category])
        return Judgement(guesses, best.confidence >= SURE and words >= LEAST)
