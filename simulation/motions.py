"""The script of one session's motions 议案、建议、批评和意见. Pure and seeded.

Invariants: motions are put to the city's congress, so that only its deputies write and sign them; no bill has
fewer than BILL_SIGNERS signers, and a city with fewer deputies has no bills; the instants of one motion rise
in the order of its steps; the same seed and scale give the same script.

The report gives no number of motions: all numbers here are the script's own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from uuid import UUID, uuid5

from simulation.city import City, Scale

BEIJING = timezone(timedelta(hours=8), "CST")
SESSION = datetime(2022, 2, 21, 9, 0, tzinfo=BEIJING)
"""The first day of the session; drafts are written in the three weeks before it."""
RATED = datetime(2022, 5, 20, 9, 0, tzinfo=BEIJING)
"""From when deputies rate: departments answer within sixty days of the assignment."""
RATED_AGAIN = datetime(2022, 6, 13, 9, 0, tzinfo=BEIJING)
"""From when deputies rate the second answer, which takes at most fifteen days."""

BILLS, BILLS_TURNED = 24, 20
SUGGESTIONS = 420
DRAFTS_KEPT = 15
"""Suggestions whose authors invite others and never submit them."""
NOT_ACCEPTED, WITHDRAWN, GIVEN_BACK = 12, 5, 10
UNSATISFIED = 18
"""Motions whose authors are not satisfied with the first answer and are with the second."""
BILL_SIGNERS = 10
_COSIGNED_SHARE, _SECRET_SHARE, _CO_HANDLED_SHARE = 0.35, 0.03, 0.3
GROUND = "no-content"

_NAMESPACE = UUID("7a1c2f0e-5f0c-5a64-9d0e-6a2b0f3f8c11")
_SUBJECTS = (
    ("老旧小区加装电梯", "城乡建设", "许多老人下楼难，加装电梯的意见统一慢、补贴手续多。"),
    ("城市排水管网改造", "城乡建设", "每逢大雨低洼处积水，管网老化、分流不足。"),
    ("新业态劳动者权益", "劳动和社会保障", "外卖骑手、网约车司机的工伤保障还有空白。"),
    ("义务教育学位供给", "教育文体", "新建住宅区入住快，学位配套跟不上。"),
    ("社区体育设施", "教育文体", "健身器材老化，老人和孩子活动场地不足。"),
    ("农贸市场提升改造", "商贸旅游", "市场环境脏乱，计量和价格公示不规范。"),
    ("内河水质治理", "环境保护", "部分支流水质反复，截污不彻底。"),
    ("基层医疗服务能力", "卫生计生", "山区卫生院缺医生，慢性病配药要跑县城。"),
    ("公交线网优化", "交通运输", "新城区公交班次少，换乘不便。"),
    ("高层建筑消防安全", "公共安全", "部分高层住宅消防设施失修，通道被占。"),
)


@dataclass(frozen=True, slots=True)
class Motion:
    """One motion; people are places in `City.deputies`, `lead` and `co` are department codes.

    `fate` is accepted, turned (a bill handled as a suggestion), passed (a bill put to the vote), not-accepted, withdrawn, or draft where it was
    never submitted; what does not come to pass is None.
    """

    id: UUID
    author: int
    kind: str
    secret: bool
    title: str = field(repr=False)
    text: str = field(repr=False)
    cosigners: tuple[int, ...]
    declining: tuple[int, ...]
    drafted_at: datetime
    fate: str
    lead: str
    co: tuple[str, ...]
    submitted_at: datetime | None = None
    given_back_at: datetime | None = None
    examined_at: datetime | None = None
    assigned_at: datetime | None = None
    rated_at: datetime | None = None
    rated_again_at: datetime | None = None

    @property
    def handled(self) -> bool:
        """Whether departments have to answer it."""
        return self.fate in ("accepted", "turned")

    @property
    def submissions(self) -> int:
        """How often it is submitted."""
        return 0 if self.submitted_at is None else 1 + (self.given_back_at is not None)


def write_session(city: City, seed: int, scale: Scale) -> tuple[Motion, ...]:
    """The motions of the session, bills first."""
    rng = random.Random(f"{seed}/motions")
    deputies = [i for i, deputy in enumerate(city.deputies) if deputy.level == "city"]
    bills = scale.of(BILLS) if len(deputies) > BILL_SIGNERS + 1 else 0
    suggestions, drafts = scale.of(SUGGESTIONS), scale.of(DRAFTS_KEPT)
    fates = ["turned"] * (bills * BILLS_TURNED // BILLS)
    fates += ["passed"] * (bills - len(fates))
    own = ["not-accepted"] * scale.of(NOT_ACCEPTED) + ["withdrawn"] * scale.of(WITHDRAWN)
    own += ["accepted"] * (suggestions - len(own))
    rng.shuffle(own)
    fates += own + ["draft"] * drafts
    handled = [i for i, fate in enumerate(fates) if fate in ("accepted", "turned")]
    unsatisfied = set(rng.sample(handled, min(scale.of(UNSATISFIED), len(handled))))
    given_back = set(rng.sample(handled, min(scale.of(GIVEN_BACK), len(handled))))
    return tuple(
        _motion(
            rng,
            city,
            deputies,
            uuid5(_NAMESPACE, f"{seed}/{scale.divisor}/{n}"),
            fate,
            is_bill=n < bills,
            unsatisfied=n in unsatisfied,
            given_back=n in given_back,
        )
        for n, fate in enumerate(fates)
    )


def _motion(
    rng: random.Random,
    city: City,
    deputies: list[int],
    motion_id: UUID,
    fate: str,
    *,
    is_bill: bool,
    unsatisfied: bool,
    given_back: bool,
) -> Motion:
    subject, category, grounds = rng.choice(_SUBJECTS)
    author, *others = rng.sample(deputies, min(len(deputies), BILL_SIGNERS + 2))
    if is_bill:
        count = BILL_SIGNERS - 1 + rng.randint(0, len(others) - BILL_SIGNERS)
    else:
        count = rng.randint(1, min(4, len(others) - 1)) if rng.random() < _COSIGNED_SHARE else 0
    declining = others[count : count + 1] if count else []
    whole_city = [department for department in city.departments if not department.counties]
    lead = next(department for department in whole_city if category in department.categories)
    rest = [department.code for department in whole_city if department is not lead]
    drafted = SESSION - timedelta(minutes=rng.randint(2 * 24 * 60, 20 * 24 * 60))
    submitted = SESSION + timedelta(minutes=rng.randint(0, 8 * 60)) if fate != "draft" else None
    back = submitted + timedelta(minutes=rng.randint(120, 600)) if submitted and given_back else None
    examined = submitted + timedelta(minutes=rng.randint(24 * 60, 4 * 24 * 60)) if submitted else None
    assigned = None
    if examined and fate in ("accepted", "turned", "passed"):
        assigned = examined + timedelta(minutes=rng.randint(12 * 60, 4 * 24 * 60))
    rated = RATED + timedelta(minutes=rng.randint(0, 6 * 24 * 60)) if assigned else None
    again = RATED_AGAIN + timedelta(minutes=rng.randint(0, 2 * 24 * 60)) if assigned and unsatisfied else None
    return Motion(
        id=motion_id,
        author=author,
        kind="bill" if is_bill else "suggestion",
        secret=not is_bill and rng.random() < _SECRET_SHARE,
        title=f"关于{subject}的{'议案' if is_bill else '建议'}",
        text=f"{grounds}建议有关部门调研，提出办法，明确时间表。",
        cosigners=tuple(others[:count]),
        declining=tuple(declining),
        drafted_at=drafted,
        fate=fate,
        lead=lead.code,
        co=tuple(rng.sample(rest, 1)) if rng.random() < _CO_HANDLED_SHARE else (),
        submitted_at=submitted,
        given_back_at=back,
        examined_at=examined,
        assigned_at=assigned,
        rated_at=rated,
        rated_again_at=again,
    )
