"""What `cases` answers about routing 派单: what is in force and held, checks and replays of drafts, why a case is where it is."""

from __future__ import annotations

from datetime import date, datetime
from uuid import UUID

from gateway.answers.cases import Ground, Guess
from gateway.answers.page import Answer
from shared.contracts.cases import CaseState, Urgency


class CatalogueRule(Answer):
    """One rule of a catalogue 派单目录; no places means everywhere."""

    categories: tuple[str, ...]
    places: tuple[str, ...]
    department: str
    limit: Urgency | None
    reason: str


class CatalogueDocument(Answer):
    """A catalogue as it was adopted or is to be: the first day on which it holds, and its rules in their order."""

    name: str
    title: str
    begins: date
    rules: tuple[CatalogueRule, ...]


class Catalogue(Answer):
    """A catalogue that was adopted."""

    name: str
    document: CatalogueDocument
    adopted_by: str
    adopted_at: datetime


class RoutingModel(Answer):
    """A model that is held, with its check: of `checked` messages it would route `automatic` alone, that many right."""

    name: str
    checked: int
    automatic: int
    automatic_right: int
    may_be_adopted: bool
    adopted_by: str | None
    adopted_at: datetime | None
    recorded_at: datetime


class NeededCheck(Answer):
    """What a check must show before a model may be adopted: messages routed alone, and the share of right ones."""

    automatic: int
    right: float


class Routing(Answer):
    """Catalogues in the order of adoption; models, the one in force first where one was adopted."""

    catalogues: tuple[Catalogue, ...]
    models: tuple[RoutingModel, ...]
    needed: NeededCheck


class CatalogueFlaw(Answer):
    """One thing wrong with a catalogue: where, in which line, and what, as a code with its values; `reason` says it."""

    path: str
    line: int | None
    code: str
    values: dict[str, str]
    reason: str


class CatalogueCheck(Answer):
    """What came of checking a catalogue: itself, or its flaws; and which departments that it names are not active."""

    catalogue: CatalogueDocument | None
    flaws: tuple[CatalogueFlaw, ...]
    not_active: tuple[str, ...]


class RoutedAlone(Answer):
    """Of the settled cases: how many were routed without staff, and how many of these to who took them on."""

    alone: int
    right: int


class RoutingChange(Answer):
    """From one department to another (null: to staff): how many cases, and some of them."""

    before: str | None
    after: str | None
    cases: int
    examples: tuple[UUID, ...]


class RoutingReplay(Answer):
    """What a draft would have done with past cases, beside what routing did; `newest_only` where there were too many."""

    cases: int
    changed: int
    settled: int
    before: RoutedAlone
    after: RoutedAlone
    changes: tuple[RoutingChange, ...]
    not_active: tuple[str, ...]
    newest_only: bool


class RoutingAtFiling(Answer):
    """What was held about a case's category when it was filed or taken up, by which model or words and catalogue."""

    at: datetime
    category: str | None
    because: str
    classifier: str | None
    topic: str | None
    catalogue: str | None
    guesses: tuple[Guess, ...]


class RoutingMove(Answer):
    """One step that moved a case to a department; `why` says in codes what `reason` says."""

    step: str
    at: datetime
    department: str | None
    reason: str | None
    why: tuple[Ground, ...]
    text: str | None


class CaseRouting(Answer):
    """Why a case is where it is 派单依据."""

    case_id: UUID
    state: CaseState
    category: str | None
    department: str | None
    reason: str | None
    at_filing: RoutingAtFiling | None
    moves: tuple[RoutingMove, ...]
