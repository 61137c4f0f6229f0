"""Refusals of routing, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def catalogue_exists() -> Refusal:
    """A catalogue of this name has been adopted; a version never changes."""
    return Refusal(
        "catalogue-exists", "A catalogue of this name has been adopted; give the new one another name."
    )


def catalogue_invalid(place: str, why: str) -> Refusal:
    """A catalogue that contradicts itself or the taxonomy."""
    return Refusal("catalogue-invalid", f"{place}: {why}.", "invalid")


def name_invalid() -> Refusal:
    """The subject is no name of a catalogue or model."""
    return Refusal("name-invalid", "A name is 2 to 40 of a-z, 0-9 and the hyphen.", "invalid")


def draft_empty() -> Refusal:
    """A draft without catalogue and model."""
    return Refusal("draft-empty", "Name a catalogue or a model to try.", "invalid")


def replay_running() -> Refusal:
    """One replay at a time: each may open the words of thousands of cases."""
    return Refusal("replay-running", "Another replay is running; try again when it is done.")


def model_unknown() -> Refusal:
    """The service holds no such model."""
    return Refusal("model-unknown", "There is no model of this version here; install it first.", "not-found")


def model_not_good_enough(right: int, automatic: int) -> Refusal:
    """The model's check set did not show that it may act alone."""
    return Refusal(
        "model-not-good-enough",
        f"Of {automatic} checked messages that it would route alone {right} are right; that is too few of either.",
    )


def learning_elsewhere() -> Refusal:
    """One lesson at a time, so that none is learnt twice."""
    return Refusal("learning-elsewhere", "Another process is learning; try again when it is done.")
