"""Rules that people write as YAML, read with everything that is wrong with them: file, line, place, reason.

Invariant: a file is taken whole or not at all; a key that stands twice is a flaw, not the last one's win.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

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
OTHER = "not-valid"
CODES = {
    "extra_forbidden": "unknown-key",
    "missing": "missing",
    "model_type": "not-a-mapping",
    "model_attributes_type": "not-a-mapping",
    "list_type": "not-a-list",
    "string_type": "not-a-text",
    "date_type": "not-a-date",
    "date_parsing": "not-a-date",
    "date_from_datetime_parsing": "not-a-date",
    "date_from_datetime_inexact": "not-a-date",
    "literal_error": "not-one-of",
    "string_pattern_mismatch": "wrong-pattern",
    "string_too_short": "text-too-short",
    "string_too_long": "text-too-long",
    "too_short": "too-few",
    "too_long": "too-many",
}
"""The types of pydantic's errors as codes, for which the pages have words; any other is `OTHER`."""
_VALUES = {"pattern": "pattern", "min_length": "least", "max_length": "most", "expected": "expected"}
"""What pydantic tells of an error, as values: the bounds that stand in the models here, never the input."""

YAML = (
    ("found character '\\t'", "yaml-tab"),
    ("mapping values are not allowed", "yaml-colon"),
    ("could not find expected ':'", "yaml-no-colon"),
    ("expected <block end>", "yaml-indent"),
    ("expected ',' or", "yaml-bracket"),
    ("found unexpected end of stream", "yaml-quote"),
)
"""How PyYAML's words for the usual mistakes begin; they can go on with the file's own."""


@dataclass(frozen=True)
class Flaw:
    """One thing wrong with a file: the file, the line where there is one, the place, and why.

    `code` and its `values` say what `reason` says, for pages that word it in their own language.
    """

    file: str
    line: int | None
    place: str
    reason: str
    code: str = field(default=OTHER, compare=False)
    values: Mapping[str, str] = field(default_factory=dict, compare=False)

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
            raise FileInvalid([Flaw(file, 1, "the file", "is empty", "empty")])
        lines: dict[Place, int] = {}
        repeats = [
            Flaw(file, line, shown(place), "stands twice", "key-twice")
            for place, line in _walk(node, (), lines)
        ]
        if repeats:
            raise FileInvalid(repeats)
        document = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        said = error.problem or "is no YAML"
        code = next((code for words, code in YAML if said.startswith(words)), "not-yaml")
        raise FileInvalid([Flaw(file, line, "the file", said, code)]) from None
    except (yaml.YAMLError, RecursionError, ValueError, ArithmeticError, LookupError, AttributeError):
        # All of which the library raises for tags and escapes that stand for nothing.
        raise FileInvalid([Flaw(file, None, "the file", "is no YAML", "not-yaml")]) from None
    try:
        return model.model_validate(document), lines
    except ValidationError as invalid:
        # "[key]" is pydantic's word for a key that is wrong itself; a file knows no such place.
        raise FileInvalid(
            Flaw(
                file,
                line_of(place, lines),
                shown(place),
                reason := _REASONS.get(error["type"], error["msg"].removeprefix("Value error, ")),
                CODES.get(error["type"], OTHER),
                {"message": reason, **_values(error.get("ctx", {}))},
            )
            for error in invalid.errors()
            for place in (tuple(part for part in error["loc"] if part != "[key]"),)
        ) from None


def _values(told: Mapping[str, Any]) -> dict[str, str]:
    """The bounds among what pydantic tells; a choice of texts without its quotation marks and its last "or"."""
    return {
        name: str(told[known]).replace("'", "").replace(" or ", ", ")
        for known, name in _VALUES.items()
        if known in told
    }


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
