"""The taxonomy and catalogues as people write them (YAML), read with every flaw's file, line, place and reason."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, RootModel

from services.cases import yaml_file
from services.cases.deadlines.rules import Urgency
from services.cases.routing.catalogue import Catalogue, Rule
from services.cases.routing.words import Taxonomy, Topic
from services.cases.yaml_file import FileInvalid, Flaw

SHIPPED = Path(__file__).parent

NO_CATEGORY, NEVER = "is no category of the taxonomy", "never applies: earlier rules take all its cases"
CODES = {NO_CATEGORY: "category-unknown", NEVER: "rule-never-applies"}
"""What contradicts, as codes for which the pages have words."""

_Name = Annotated[str, Field(min_length=1, max_length=40)]
_Word = Annotated[str, Field(min_length=2, max_length=20)]
_Place = Annotated[str, Field(pattern=r"^[0-9]{6}([0-9]{3}([0-9]{3})?)?$")]
_Code = Annotated[str, Field(pattern=r"^[a-z0-9-]{2,40}$")]


class _Taxonomy(
    RootModel[dict[_Name, dict[_Name, dict[_Name, Annotated[list[_Word], Field(min_length=1)]]]]]
):
    pass


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Rule(_Part):
    categories: Annotated[list[_Name], Field(min_length=1)]
    places: list[_Place] = []
    department: _Code
    limit: Urgency | None = None
    reason: Annotated[str, Field(min_length=1, max_length=200)]


class WrittenCatalogue(_Part):
    """A catalogue as it is written; docs/routing.md explains its keys."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9-]{2,40}$")]
    title: Annotated[str, Field(min_length=1, max_length=200)]
    begins: date
    rules: Annotated[list[_Rule], Field(max_length=5000)]

    def made(self) -> Catalogue:
        """The catalogue to choose by."""
        rules = (
            Rule(frozenset(r.categories), frozenset(r.places), r.department, r.limit, r.reason)
            for r in self.rules
        )
        return Catalogue(self.name, self.title, self.begins, tuple(rules))


def read_catalogue(text: str, taxonomy: Taxonomy, file: str = "the catalogue") -> WrittenCatalogue:
    """The catalogue of a YAML text.

    Raises:
        FileInvalid: with everything that is wrong with it, such as a category that the taxonomy does not have.
    """
    _refuse_aliases(text, file)
    written, lines = yaml_file.read(text, WrittenCatalogue, file)
    flaws = [
        Flaw(file, yaml_file.line_of(place, lines), yaml_file.shown(place), why, CODES[why])
        for place, why in contradictions(written, taxonomy)
    ]
    if flaws:
        raise FileInvalid(flaws)
    return written


def _refuse_aliases(text: str, file: str) -> None:
    """Raise FileInvalid where a text refers to itself: a few aliases can stand for millions of lines."""
    with contextlib.suppress(
        yaml.YAMLError, ValueError, ArithmeticError
    ):  # what is no YAML is said when it is read
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if isinstance(token, yaml.AliasToken):
                line = token.start_mark.line + 1
                raise FileInvalid([Flaw(file, line, "the file", 'must be written out, without "*"', "alias")])


def contradictions(written: WrittenCatalogue, taxonomy: Taxonomy) -> list[tuple[yaml_file.Place, str]]:
    """What each value for itself does not show: unknown categories, and rules that can never apply."""
    found: list[tuple[yaml_file.Place, str]] = []
    taken: set[tuple[str, str | None]] = set()
    for number, rule in enumerate(written.rules):
        for index, category in enumerate(rule.categories):
            if category not in taxonomy.categories:
                found.append((("rules", number, "categories", index), NO_CATEGORY))
        places: list[str | None] = [*rule.places] or [None]
        cases = {(category, place) for category in rule.categories for place in places}
        if cases <= taken:
            found.append((("rules", number), NEVER))
        taken |= cases
    return found


def read_taxonomy(text: str, file: str = "the taxonomy") -> Taxonomy:
    """The taxonomy of a YAML text. Raises FileInvalid."""
    written, _ = yaml_file.read(text, _Taxonomy, file)
    topics = tuple(
        Topic(category, group, name, tuple(dict.fromkeys(words)))
        for category, groups in written.root.items()
        for group, names in groups.items()
        for name, words in names.items()
    )
    return Taxonomy(topics, f"words-{hashlib.sha256(text.encode()).hexdigest()[:8]}")


@lru_cache(maxsize=1)
def shipped_taxonomy() -> Taxonomy:
    """The taxonomy that comes with the suite."""
    return read_taxonomy((SHIPPED / "taxonomy.yaml").read_text("utf-8"), "taxonomy.yaml")
