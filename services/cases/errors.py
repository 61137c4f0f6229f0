"""Refusals of cases, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def case_exists() -> Refusal:
    """A case with this id has been filed already."""
    return Refusal("case-exists", "A case with this id has been filed already; file it under a new id.")


def case_unknown() -> Refusal:
    """There is no such case."""
    return Refusal("case-unknown", "There is no case with this id.", "not-found")


def not_your_case() -> Refusal:
    """The case belongs to somebody else."""
    return Refusal("not-your-case", "This case is not yours to act on.", "forbidden")


def step_not_possible(step: str, state: str) -> Refusal:
    """The state machine has no such step from here."""
    return Refusal("step-not-possible", f"A case that is {state} cannot be {step}.")


def department_unknown() -> Refusal:
    """No active department has this code."""
    return Refusal("department-unknown", "There is no active department with this code.", "invalid")


def words_unreadable() -> Refusal:
    """The sealed words cannot be opened, or are not a title and a text."""
    return Refusal(
        "words-unreadable",
        "Seal title (1-200 characters) and text (1-20,000) to this service's key.",
        "invalid",
    )


def category_unknown() -> Refusal:
    """The filer chose a category that does not exist; it would travel on events, so free text has no place there."""
    return Refusal("category-unknown", "Choose one of the known categories, or leave it out.", "invalid")
