"""Evaluation takes in every fact of the other services, and of its own only corrections."""

from __future__ import annotations

from services.evaluation.consumers import EVENT_TOPICS, handlers
from services.evaluation.handlers import SHIPPED_RUBRIC
from services.evaluation.rubric import Schedule
from services.evaluation.rubric_file import read_rubric
from services.evaluation.store import EvaluationStore
from shared.contracts import events
from shared.contracts.evaluation import (
    AdoptRubric,
    AppealScore,
    DecideAppeal,
    NoteInArchive,
    RewindEvents,
    StrikeNote,
    WithdrawAppeal,
)
from shared.contracts.registry import declaration_of

NOT_TAKEN_IN = {
    "rubric.adopted": "its own",
    "score.changed": "its own; it would be a loop",
    "archive.noted": "its own; a note earns no points",
    "score.appealed": "its own; what comes of it is score.corrected",
    "command.outcomes": "answers to commands",
    "clock.ticked": "followed by the process itself",
    "department.routed": "a department's own mail",
    "department.refused": "a department's own mail",
    "department.told": "a department's own mail",
    "department.motion": "a department's own mail",
    "department.motion-told": "a department's own mail",
    "department.motion-refused": "a department's own mail",
}

COMMANDS = {
    AdoptRubric,
    AppealScore,
    DecideAppeal,
    NoteInArchive,
    RewindEvents,
    StrikeNote,
    WithdrawAppeal,
}


def test_every_event_is_taken_in_or_has_a_reason_not_to_be() -> None:
    assert set(events()) - NOT_TAKEN_IN.keys() == {
        declaration_of(model).type for model in handlers(EvaluationStore()) if model not in COMMANDS
    }
    assert set(EVENT_TOPICS) == {d.topic for t, d in events().items() if t not in NOT_TAKEN_IN}


def test_a_batch_of_mixed_events_stays_whole() -> None:
    found = handlers(EvaluationStore())
    assert len({id(handler) for model, handler in found.items() if model not in COMMANDS}) == 1


def test_every_event_that_the_shipped_rubric_looks_at_is_taken_in() -> None:
    rubric = read_rubric(SHIPPED_RUBRIC.read_text(encoding="utf-8"))[1]
    assert {item.event for item in rubric.items} <= set(EVENT_TOPICS)
    assert Schedule().event_types == frozenset()
