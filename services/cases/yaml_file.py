"""Rules that people write as YAML, read with everything that is wrong with them: file, line, place, reason.

Invariant: a file is taken whole or not at all; a key that stands twice is a flaw, not the last one's win.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from shared.refusals import Refusal

M = TypeVar("M", bound=BaseModel)
Place = tuple[str | int, ...]

_REASONS = {
    "extra_forbidden": "there is no such key here",
    "missing": "is missing",
    "model_type": "must be a mapping of keys",
    "model_attributes_type": "must be a mapping of keys",
}


@dataclass(frozen=True)
class Flaw:
    """One thing wrong with a file: the file, the line where there is one, the place, and why."""

    file: str
    line: int | None
    place: str
    reason: str

    def __str__(self) -> str:
        line = f":{self.line}" if self.line else ""
        return f"{self.file}{line}: {self.place}: {self.reason}"


class FileInvalid(Refusal):
    """A file that cannot be used, with every flaw found."""

    def __init__(self, flaws: Iterable[Flaw]) -> None:
        self.flaws = tuple(flaws)
        super().__init__("file-invalid", "; ".join(str(flaw) for flaw in self.flaws), "invalid")

    def __str__(self) -> str:
        return self.detail


def read(text: str, model: type[M], file: str) -> tuple[M, Mapping[Place, int]]:
    """A YAML text as a model, and the line of each place in it; `file` is its name in what is said about flaws.

    Raises:
        FileInvalid: with everything that is wrong with it.
    """
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if node is None:
            raise FileInvalid([Flaw(file, 1, "the file", "is empty")])
        lines: dict[Place, int] = {}
        repeats = [Flaw(file, line, shown(place), "stands twice") for place, line in _walk(node, (), lines)]
        if repeats:
            raise FileInvalid(repeats)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise FileInvalid([Flaw(file, line, "the file", error.problem or "is no YAML")]) from None
    except (yaml.YAMLError, RecursionError, ValueError):
        raise FileInvalid([Flaw(file, None, "the file", "is no YAML")]) from None
    try:
        return model.model_validate(document), lines
    except ValidationError as invalid:
        # "[key]" is pydantic's word for a key that is wrong itself; a file knows no such place.
        raise FileInvalid(
            Flaw(
                file,
                line_of(place, lines),
                shown(place),
                _REASONS.get(error["type"], error["msg"].removeprefix("Value error, ")),
            )
            for error in invalid.errors()
            for place in (tuple(part for part in error["loc"] if part != "[key]"),)
        ) from None


def _walk(node: yaml.Node, place: Place, lines: dict[Place, int]) -> Iterator[tuple[Place, int]]:
    """Note the line of every place, and yield every key that stands twice in one mapping."""
    lines.setdefault(place, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*place, str(key.value))
            if inner in lines:
                yield inner, key.start_mark.line + 1
                continue
            lines[inner] = key.start_mark.line + 1
            yield from _walk(value, inner, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*place, index), lines)


def line_of(place: Place, lines: Mapping[Place, int]) -> int | None:
    """The line of a place, or of the nearest one around it that the file has."""
    while place and place not in lines:
        place = place[:-1]
    return lines.get(place)


def shown(place: Place) -> str:
    """A place as people read it."""
    return ".".join(map(str, place)) or "the file"
