"""What a resident sees of their own concern by the follow link, and who read their contact data.

Invariants: only a gateway asks, with the digest of the secret; a wrong, closed or unknown one gets one and the
same answer; of what people wrote to each other inside nothing is shown, only what is meant for the resident.
"""

# No postponed annotations here: FastAPI could not find names that are made inside `router`.

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cases import errors, queries
from services.cases.domain import STATES, STEPS, Rules, Step
from services.cases.handlers import RESIDENT, read_supplied, read_words
from services.cases.steps import in_time_to_reopen
from services.cases.store import RulesAt
from shared.contracts.cases import Follow
from shared.contracts.envelope import Actor
from shared.host import WhoCalls
from shared.http.callers import require
from shared.refusals import Refusal
from shared.security.sealing import Opener

_TO_RESIDENT = frozenset({"answered", "asked", "progressed", "explained", "declined", "extension-granted"})
"""Steps whose words are meant for the resident; reasons of returns, transfers and the like are not."""
_REASONED = frozenset({"submitted", "objected", "routed", "transferred"})
"""Steps that carry a rule as their reason."""
_OWN = frozenset({"supplied", "reopened", "objected"})
"""Steps whose sealed words are the resident's own, or the deputy's for them."""
_CAN: dict[str, Step] = {
    "supply": "supplied",
    "rate": "resident-rated",
    "reopen": "reopened",
    "object": "objected",
    "withdraw": "withdrawn",
}


class Asked(BaseModel):
    """Which concern: the digest of its secret."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    follow: Follow


def view(
    row: Mapping[str, Any], reads: Sequence[Mapping[str, Any]], opener: Opener, now: datetime, rules: Rules
) -> dict[str, Any]:
    """A case as `queries.by_follow` gives it, as its resident sees it now."""
    try:
        words = read_words(opener, row["sealed"])
        told = {"title": words.title, "text": words.text, "erased": False}
    except Refusal:  # destroyed on the resident's wish
        told = {"title": None, "text": None, "erased": True}
    state = row["state"]
    own = {1} | {
        step["number"] for step in row["steps"] if step["step"] == "supplied" and step["actor"] == RESIDENT
    }
    return {
        "receipt": row["receipt"],
        "state": state,
        "state_title": STATES[state],
        **told,
        "has_contact": row["contact"] is not None,
        "consent": row["consent"],
        "submitted_at": row["filed_at"],
        "objected": row["objected"],
        "take_up_by": row["take_up_by"] if state == "submitted" else None,
        "department": row["department"],
        "answer_by": row["answer_by"],
        "dates_reason": row["dates_reason"],
        "photos": [
            {"digest": photo["digest"], "state": photo["state"]}
            for photo in row["photos"]
            if photo["step"] in own and not told["erased"] and state != "withdrawn"
        ],
        "parts": [{**part, "state_title": STATES[part["state"]]} for part in row["parts"]],
        "answer": row["answer"],
        "result": row["result"],
        "rating": {
            "stars": row["resident_stars"],
            "attitude": row["resident_attitude"],
            "result": row["resident_result"],
        },
        "can": [
            name for name, step in _CAN.items() if state in STEPS[step].before and _may(name, row, now, rules)
        ],
        "steps": [_step(step, opener) for step in row["steps"]],
        "contact_reads": [
            {name: read[name] for name in ("at", "role", "organisation", "purpose")} for read in reads
        ],
    }


def _may(name: str, row: Mapping[str, Any], now: datetime, rules: Rules) -> bool:
    """Whether it makes sense, in a state in which it is possible; the case decides again."""
    if name not in ("reopen", "object"):
        return True
    ended = row["closed_at"] or row["answered_at" if name == "reopen" else "state_since"] or row["changed_at"]
    if not row["sealed"] or not in_time_to_reopen(ended, now, rules):
        return False
    return row["department"] is not None if name == "reopen" else not (row["department"] or row["objected"])


def _step(step: Mapping[str, Any], opener: Opener) -> dict[str, Any]:
    name = step["step"]
    text = step["text"] if name in _TO_RESIDENT else None
    if name in _OWN and step["sealed"] is not None:
        try:
            text = read_supplied(opener, step["sealed"])
        except Refusal:
            text = None
    return {
        "at": step["at"],
        "step": name,
        "title": STEPS[name].title,
        "department": step["department"],
        "text": text,
        "reason": step["reason"] if name in _REASONED else step["dates_reason"],
        "why": step["why"],
        "answer_by": step["answer_by"],
    }


def router(opener: Opener, rules_at: RulesAt, engine: AsyncEngine, caller: WhoCalls) -> APIRouter:
    """The route. It is a POST so that the digest stands in no address."""
    routes = APIRouter()
    who = Annotated[Actor, Depends(caller)]

    @routes.post("/concerns/seen")
    async def seen(request: Request, asked: Asked, actor: who) -> dict[str, Any]:
        require(actor, "intake")
        async with engine.connect() as connection:
            found = await queries.by_follow(connection, asked.follow)
            if found is None:
                raise errors.follow_unknown()
            reads = await queries.contact_reads(connection, found["id"])
        now = request.app.state.clock.now()
        return {"case_id": found["id"], "concern": view(found, reads, opener, now, rules_at(now))}

    return routes
