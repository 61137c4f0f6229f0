"""Writing a motion 起草 and finding who signs it 联名, until it is submitted 提交.

Invariants: only the author changes it, only who was invited signs it; a changed text voids every confirmation
given to an earlier one; it is submitted with as many signers, all of them deputies of its congress, as the rule
pack asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

from services.cases.deadlines.rules import MotionKind
from services.cases.motions import errors
from services.cases.motions.domain import (
    BILL_PARTS,
    Act,
    Cosigner,
    CosignState,
    Deputy,
    Motion,
    Rules,
    Step,
    StepKind,
    Text,
    author_only,
    possible,
)

COSIGNERS_MAX = 300


def draft(motion: Motion) -> tuple[Step, ...]:
    """A deputy begins a motion 起草; nobody else sees it."""
    return (Step("drafted", str(motion.author_id), motion.drafted_at),)


def revise(
    motion: Motion, act: Act, text: Text, *, kind: MotionKind | None, secret: bool | None
) -> tuple[Step, ...]:
    """The author changes it 修改; another text voids every confirmation of the one before."""
    author_only(motion, act)
    possible(motion, "revised")
    cosigners = motion.cosigners
    if text.digest != motion.digest:
        cosigners = tuple(
            replace(c, state="invited", digest=None, at=act.at) if c.state == "confirmed" else c
            for c in cosigners
        )
    change = {
        "sealed": text.sealed,
        "digest": text.digest,
        "parts": tuple(sorted(text.parts)),
        "kind": kind or motion.kind,
        "secret": motion.secret if secret is None else secret,
        "cosigners": cosigners,
    }
    voided = [str(c.deputy) for c, old in zip(cosigners, motion.cosigners, strict=True) if c is not old]
    return (Step("revised", act.actor, act.at, detail={"voided": voided}, change=change),)


def invite(
    motion: Motion, act: Act, invited: Sequence[UUID], known: Mapping[UUID, Deputy]
) -> tuple[Step, ...]:
    """The author asks deputies of the same congress to co-sign 邀请联名; one step for each."""
    author_only(motion, act)
    possible(motion, "invited")
    steps: list[Step] = []
    cosigners = motion.cosigners
    for deputy in dict.fromkeys(invited):
        there = next((c for c in cosigners if c.deputy == deputy), None)
        if deputy == motion.author_id or (there is not None and there.state in ("invited", "confirmed")):
            raise errors.already_signed()
        if not _of_congress(motion, known.get(deputy)):
            raise errors.deputy_unknown()
        if len(cosigners) >= COSIGNERS_MAX:
            raise errors.too_many_invited(COSIGNERS_MAX)
        others = tuple(c for c in cosigners if c.deputy != deputy)
        cosigners = (*others, Cosigner(deputy, "invited", act.at))
        steps.append(
            Step("invited", act.actor, act.at, deputy=deputy, change={"cosigners": cosigners}),
        )
    return tuple(steps)


def _of_congress(motion: Motion, deputy: Deputy | None) -> bool:
    if deputy is None or not deputy.active or deputy.level != motion.level:
        return False
    if motion.level == "city":
        return True
    return deputy.county == motion.county and (motion.level == "county" or deputy.town == motion.town)


def _cosigner(motion: Motion, act: Act, *states: CosignState) -> UUID:
    for cosigner in motion.cosigners:
        if cosigner.deputy == act.deputy and cosigner.state in states:
            return cosigner.deputy
    raise errors.not_invited()


def _cosigner_step(
    motion: Motion, act: Act, kind: StepKind, deputy: UUID, state: CosignState, digest: str | None = None
) -> tuple[Step, ...]:
    possible(motion, kind)
    cosigners = tuple(
        Cosigner(deputy, state, act.at, digest) if c.deputy == deputy else c for c in motion.cosigners
    )
    return (Step(kind, act.actor, act.at, deputy=deputy, change={"cosigners": cosigners}),)


def cosign(motion: Motion, act: Act, digest: str) -> tuple[Step, ...]:
    """Somebody invited confirms having read the present text and signs 联名确认."""
    deputy = _cosigner(motion, act, "invited")
    if digest != motion.digest:
        raise errors.text_changed()
    return _cosigner_step(motion, act, "cosigned", deputy, "confirmed", digest)


def decline(motion: Motion, act: Act) -> tuple[Step, ...]:
    """Somebody invited does not sign 谢绝联名."""
    return _cosigner_step(motion, act, "declined", _cosigner(motion, act, "invited"), "declined")


def uncosign(motion: Motion, act: Act) -> tuple[Step, ...]:
    """A co-signer takes the signature back before the motion is submitted 退出联名."""
    return _cosigner_step(motion, act, "uncosigned", _cosigner(motion, act, "confirmed"), "withdrawn")


def submit(
    motion: Motion, act: Act, rules: Rules, known: Mapping[UUID, Deputy], *, informed: bool
) -> tuple[Step, ...]:
    """The author submits it 提交, with as many signers as the rule pack asks for.

    Where the pack lets the lead answer for the co-signers' having read the text (`informed`), those invited
    who did not decline sign with it; elsewhere only those who confirmed the present text. Who is no deputy of
    the congress any more signs nothing.
    """
    author_only(motion, act)
    possible(motion, "submitted")
    if not _of_congress(motion, known.get(motion.author_id)):
        raise errors.deputy_unknown()
    if motion.kind == "bill" and not set(motion.parts) >= BILL_PARTS:
        raise errors.parts_missing()
    cosigners = motion.cosigners
    if rules.motions.cosigning.value == "lead-informs" and cosigners:
        if not informed:
            raise errors.not_informed()
        cosigners = tuple(
            replace(c, state="confirmed", at=act.at) if c.state == "invited" else c for c in cosigners
        )
    left = {c.deputy for c in cosigners if c.state == "confirmed"}
    left = {deputy for deputy in left if not _of_congress(motion, known.get(deputy))}
    cosigners = tuple(replace(c, state="withdrawn", at=act.at) if c.deputy in left else c for c in cosigners)
    there = replace(motion, cosigners=cosigners)
    needed = rules.motions.signers.value[motion.kind][motion.level]
    if len(there.signers) < needed:
        raise errors.too_few_signers(needed, len(there.signers))
    change = {"cosigners": cosigners, "submitted_at": act.at}
    detail = {"left": sorted(map(str, left))} if left else {}
    return (Step("submitted", act.actor, act.at, detail=detail, change=change),)
