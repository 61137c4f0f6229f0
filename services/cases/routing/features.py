"""What a classifier sees of messages: words, pairs of words, leading words and character n-grams, as numbers.

Invariants: only words that the training messages held are seen, so that what one form of a message
leaves out (stop words) does not change the n-grams around it; a feature's key is exact, never a hash;
training and prediction count by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEADING = 12
"""How many words of a message, its subject first, count once more as its head."""
LONGEST = 4
"""The longest sequence of characters; four characters of the basic plane fit a 64-bit key."""
LONGEST_IN_HEAD = 3
BLOCKS = ("words", "pairs", "characters", "head words", "head characters")

Keys = npt.NDArray[np.uint64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """One kind of feature: its sorted keys and the weight (idf) of each."""

    keys: Keys
    weights: Floats


@dataclass(frozen=True)
class Vocabulary:
    """Everything that counts: the words (with their numbers), and per kind of feature its keys."""

    words: Mapping[str, int]
    blocks: Mapping[str, Block]

    @property
    def size(self) -> int:
        """How many features there are, over all blocks in the order of BLOCKS."""
        return sum(block.keys.size for block in self.blocks.values())


@dataclass(frozen=True)
class Rows:
    """Messages as rows of a sparse matrix: row i holds `columns[begins[i]:begins[i + 1]]` with `values`."""

    begins: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    values: Floats


def fit(messages: Sequence[Sequence[str]], least: Mapping[str, int]) -> Vocabulary:
    """The vocabulary of training messages; a feature must occur in at least `least[block]` of them."""
    words: dict[str, int] = {}
    for message in messages:
        for word in message:
            words.setdefault(word, len(words) + 1)
    found: dict[str, list[Keys]] = {name: [] for name in BLOCKS}
    for message in messages:
        for name, keys in _keys(message, words).items():
            found[name].append(np.unique(keys))
    blocks = {}
    for name in BLOCKS:
        keys, counts = np.unique(np.concatenate([*found.pop(name), _NONE]), return_counts=True)
        kept = counts >= least[name]
        idf = np.log((1 + len(messages)) / (1 + counts[kept])) + 1
        blocks[name] = Block(keys[kept], idf.astype(np.float32))
    return Vocabulary(words, blocks)


def rows(messages: Iterable[Sequence[str]], vocabulary: Vocabulary) -> Rows:
    """Messages as rows: 1 + ln(count) times idf, each block of a message of length 1."""
    parts = [_keys(message, vocabulary.words) for message in messages]
    count = len(parts)
    cells, values, offset = [], [], 0
    for name in BLOCKS:
        block = vocabulary.blocks[name]
        sizes = [part[name].size for part in parts]
        keys = np.concatenate([*(part[name] for part in parts), _NONE])
        owner = np.repeat(np.arange(count, dtype=np.int64), sizes)
        if block.keys.size and keys.size:
            at = np.minimum(np.searchsorted(block.keys, keys), block.keys.size - 1)
            known = block.keys[at] == keys
            cell, times = np.unique(
                owner[known] * block.keys.size + at[known].astype(np.int64), return_counts=True
            )
            row, column = np.divmod(cell, block.keys.size)
            value = (1 + np.log(times)) * block.weights[column]
            length = np.sqrt(np.bincount(row, value**2, minlength=count))
            cells.append((row, column + offset))
            values.append(value / length[row])
        offset += block.keys.size
    if not cells:
        return Rows(np.zeros(count + 1, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
    row = np.concatenate([cell[0] for cell in cells])
    order = np.argsort(row, kind="stable")
    begins = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))])
    columns = np.concatenate([cell[1] for cell in cells])[order]
    return Rows(begins.astype(np.int64), columns, np.concatenate(values)[order].astype(np.float32))


_NONE = np.zeros(0, np.uint64)


def _keys(message: Sequence[str], words: Mapping[str, int]) -> dict[str, Keys]:
    """The keys of one message, with repetitions."""
    known = [word for word in message if word in words]
    numbers = np.array([words[word] for word in known], np.uint64)
    return {
        "words": numbers,
        "pairs": (numbers[:-1] << np.uint64(32)) | numbers[1:],
        "characters": _sequences("".join(known), LONGEST),
        "head words": numbers[:LEADING],
        "head characters": _sequences("".join(known[:LEADING]), LONGEST_IN_HEAD),
    }


def _sequences(joined: str, longest: int) -> Keys:
    """Every sequence of 1 to `longest` characters as one number, 16 bits a character."""
    points = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    # Characters beyond the basic plane (emoji, rare forms) all count as one.
    signs: Keys = np.minimum(points, 0xFFFF).astype(np.uint64)
    found: list[Keys] = [_NONE]
    key: Keys = signs
    for size in range(1, min(longest, signs.size) + 1):
        key = signs if size == 1 else (key[:-1] << np.uint64(16)) | signs[size - 1 :]
        found.append(key)
    return np.concatenate(found)
