"""Refusals of notify, each with its stable code."""

from __future__ import annotations

from shared.refusals import Refusal


def not_your_inbox() -> Refusal:
    """The subject of the command is somebody else."""
    return Refusal("not-your-inbox", "You may mark the notices of your own inbox only.", "forbidden")


def notices_unknown() -> Refusal:
    """At least one of the notices is not in the sender's inbox; nothing was marked."""
    return Refusal(
        "notices-unknown", "At least one of these notices is not in your inbox; none was marked.", "not-found"
    )
