"""Plays the script of the year through the gateway.

Invariants: each filing, rating, answer, sign-up and completion is one HTTP request in the person's own
name, at the script's business time; departments are not played here: they are processes of their own
that hear of cases on their topics; the clock is ticked before the year and at its end, after everything before it has its
outcome and every service says that nothing is left to take in (DECISIONS, part two, 5).
"""

from __future__ import annotations

import asyncio
import csv
import gc
import io
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import uuid6

from shared.contracts.envelope import CONTENT_TYPE, Envelope
from shared.contracts.simulation import ClockTicked
from shared.messaging.kafka import make_producer
from shared.settings import KafkaSettings
from simulation.city import TERM_FROM, TERM_UNTIL, City, Deputy
from simulation.gateway_client import INTAKE, OPERATOR, GatewayClient, GatewayError, Write
from simulation.handling import EXPLAINED_WORDS, CasesPlay
from simulation.lesson_texts import LESSON_TEXTS
from simulation.phases import Phases
from simulation.residents import ResidentsPlay
from simulation.script import BEIJING, END
from simulation.session import SessionPlay
from simulation.year import Activity, Consultation, Duty, Year

PREPARED = datetime(2021, 7, 5, 9, 0, tzinfo=BEIJING)
"""When the congress set the platform up, before the launch."""

MISTAKES = 40
"""Requests of each kind, in the full year, that the services must refuse."""
REPETITIONS = 200
"""Requests of the full year that are sent a second time under the same id."""

SETTLED_SECONDS = 180.0
"""How long services may take to work off what has been sent."""
CALM_LOOKS = 4
LOOK_SECONDS = 0.25
"""Looks in a row that must find nothing left, since what leaves one service is a moment on its way to the next."""
DEPARTMENTS_PATIENCE_SECONDS = 60.0
"""How long no case may be answered before the play says that no department is at work."""

# A roster file stays far below the gateway's largest body (256 kB); a row has about 120 bytes.
_ROSTER_ROWS = 1_200
_ROSTER_COLUMNS = (
    "number",
    "name",
    "level",
    "occupation",
    "county",
    "town",
    "constituency",
    "term_from",
    "term_until",
    "station",
)
_LIST_SIZE = 500


@dataclass
class Cast:
    """Ids that the services know people by: deputies in the order of `City.deputies`, staff by organisation."""

    deputies: list[str] = field(default_factory=list, repr=False)
    staff: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Played:
    """What only the driver can know of the play: people, residents' cases, and requests that had to be refused.

    `ids` are the services' ids of cases by the script's, where they are not the same.
    """

    cast: Cast
    ids: Mapping[UUID, str] = field(repr=False)
    mistakes: frozenset[str] = field(repr=False)


class Driver:
    """Plays one year of one city."""

    def __init__(self, gateway: GatewayClient, city: City, year: Year, phases: Phases) -> None:
        self._gateway = gateway
        self._city = city
        self._year = year
        self._phases = phases
        self._cast = Cast()
        self._mistakes: set[str] = set()
        self._codes: list[str] = []  # of the deputies
        self._station_codes: dict[str, str] = {}  # by town

    async def play(self) -> Played:
        """The whole year, except the tick of the clock.

        Raises GatewayError when the gateway stays away or refuses what the play cannot do without,
        TimeoutError when the departments or the services do not get on.
        """
        gc.collect()
        gc.freeze()  # the script is big and lasts: the collector need not walk it again and again
        await self.people_the_city()
        await self._phases.obtain_tokens("people get their tokens", self._people_of_the_script())
        await self._announce()
        residents = self._residents()
        ids = await residents.submitted()
        cases = self._cases(residents, ids)
        await cases.filed(SETTLED_SECONDS)
        await self._training()
        await self._activities()
        await self._consultations()
        await self._duties()
        session = self._session()
        await session.submitted_and_assigned()
        await cases.answered(DEPARTMENTS_PATIENCE_SECONDS)
        await cases.closed(SETTLED_SECONDS)
        await residents.rated()
        await session.answered_and_rated(DEPARTMENTS_PATIENCE_SECONDS)
        await self._mistakes_refused(cases, residents)
        await self._repeated(cases)
        await self.settled()
        return Played(self._cast, ids, frozenset(self._mistakes))

    async def people_the_city(self) -> None:
        """Staff, departments, stations and deputies, taken in by every service."""
        await self._set_up()
        await self._import_roster()
        await self.settled()

    async def settled(self) -> None:
        """Wait until every service has nothing left to take in or send; TimeoutError after SETTLED_SECONDS."""
        deadline = time.monotonic() + SETTLED_SECONDS
        calm = 0
        while calm < CALM_LOOKS:
            left = unfinished(await self._gateway.get("/api/operations/status", who=OPERATOR))
            calm = 0 if left else calm + 1
            if left and time.monotonic() > deadline:
                raise TimeoutError(
                    f"after {SETTLED_SECONDS:.0f} s there is still work left: {', '.join(left)}"
                )
            await asyncio.sleep(LOOK_SECONDS)

    # -- setting up --------------------------------------------------------------------------------

    def _write(
        self,
        kind: str,
        subject: str,
        who: str,
        path: str,
        body: Mapping[str, Any],
        at: datetime,
        *,
        method: str = "POST",
        part: str = "",
    ) -> Write:
        """A command with an id that is the same in every play; `part` tells apart what one does to a thing again."""
        command_id = str(self._year.command_id("/".join(filter(None, (kind, subject, who, part)))))
        return Write(kind, subject, command_id, who, method, path, body, at)

    async def _set_up(self) -> None:
        writes = [
            self._write(
                "staff.register",
                str(member.id),
                OPERATOR,
                f"/api/staff/{member.id}",
                {"name": member.name, "organisation": member.organisation},
                PREPARED,
                method="PUT",
            )
            for member in self._city.staff
        ] + [
            self._write(
                "department.register",
                department.code,
                OPERATOR,
                f"/api/departments/{department.code}",
                {
                    "name": department.name,
                    "categories": list(department.categories),
                    "counties": list(department.counties),
                },
                PREPARED,
                method="PUT",
            )
            for department in self._city.departments
        ]
        writes += [
            self._write(
                "station.register",
                str(station.id),
                OPERATOR,
                f"/api/stations/{station.id}",
                {"name": station.name, "town": station.town},
                PREPARED,
                method="PUT",
            )
            for station in self._city.stations
        ]
        result = await self._phases.send_all("staff, departments, stations", writes, len(writes))
        if result.refused:
            raise GatewayError(
                f"{result.refused} of the staff, departments and stations were refused, so nothing can be played"
            )
        self._cast.staff = {member.organisation: str(member.id) for member in self._city.staff}

    async def _import_roster(self) -> None:
        """Each county hands in its roster, as files of at most _ROSTER_ROWS rows."""
        clerk = self._cast.staff[self._city.code]
        codes = self._station_codes = {
            item["town"]: item["code"]
            async for item in self._gateway.pages("/api/stations", who=clerk, size=_LIST_SIZE)
        }
        accepted = 0
        with self._phases.counting("roster of deputies", len(self._city.deputies)) as show:
            for name, deputies in roster_files(self._city):
                import_id = str(self._year.command_id(f"roster/{name}"))
                await self._gateway.send_file(
                    "/api/roster-imports",
                    f"{name}.csv",
                    roster_csv(deputies, codes),
                    who=clerk,
                    command_id=import_id,
                    at=PREPARED,
                )
                await self._rows_accepted(clerk, import_id, name, len(deputies))
                accepted += len(deputies)
                show(accepted)
        by_number = {
            item["number"]: (str(item["id"]), str(item["code"]))
            async for item in self._gateway.pages("/api/deputies", who=clerk, size=_LIST_SIZE)
        }
        missing = [deputy.number for deputy in self._city.deputies if deputy.number not in by_number]
        if missing:
            raise GatewayError(
                f"{len(missing)} deputies of the roster are not listed, the first is {missing[0]}"
            )
        known = [by_number[deputy.number] for deputy in self._city.deputies]
        self._cast.deputies = [deputy_id for deputy_id, _ in known]
        self._codes = [code for _, code in known]

    async def _rows_accepted(self, clerk: str, import_id: str, name: str, rows: int) -> None:
        """Wait until all rows of a file are in; GatewayError at the first row that is refused."""
        deadline = time.monotonic() + SETTLED_SECONDS
        while True:
            report = await self._gateway.get(f"/api/roster-imports/{import_id}", who=clerk)
            if report["errors"]:
                first = report["errors"][0]
                raise GatewayError(f"{name}: line {first['line']}, column {first['column']}: {first['code']}")
            if report["accepted"] >= rows:
                return
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{name}: {report['accepted']} of {rows} rows after {SETTLED_SECONDS:.0f} s"
                )
            await asyncio.sleep(0.1)

    def _people_of_the_script(self) -> list[str]:
        """Everybody who acts, in the order of the roster."""
        year = self._year
        acting = {case.deputy for case in year.cases} | {duty.deputy for duty in year.duties}
        acting |= {attendee.deputy for attendee in year.training.attendees}
        acting |= {answer.deputy for consultation in year.consultations for answer in consultation.answers}
        acting |= {who for motion in year.motions for who in (motion.author, *motion.cosigners)}
        acting |= {one.deputy for activity in year.activities for one in activity.attendances}
        return [INTAKE, *self._cast.staff.values(), *(self._cast.deputies[i] for i in sorted(acting))]

    # -- what staff announce -------------------------------------------------------------------------

    def _staff_for(self, county: str | None) -> str:
        return self._cast.staff[county or self._city.code]

    async def _announce(self) -> None:
        training = self._year.training
        writes = [
            self._write(
                "course.publish",
                str(training.id),
                self._staff_for(None),
                "/api/courses",
                {
                    "id": str(training.id),
                    "title": training.title,
                    "lessons": [{"key": k, "title": title, "minutes": m} for k, title, m in training.lessons],
                    "quiz": [
                        {"key": key, "text": text, "options": list(options), "answer": right}
                        for key, text, options, right in training.quiz
                    ],
                    "pass_mark": training.pass_mark,
                    "levels": ["county", "town"],
                },
                training.published_at,
            ),
            *(self._opening(consultation) for consultation in self._year.consultations),
            *(self._announcement(activity) for activity in self._year.activities),
        ]
        await self._phases.send_all("course, consultations, activities", writes, len(writes))
        texts = [
            self._write(
                "lesson.write",
                str(training.id),
                self._staff_for(None),
                f"/api/courses/{training.id}/lessons",
                {"lesson": key, "title": title, "text": LESSON_TEXTS[key]},
                training.published_at,
                part=key,
            )
            for key, title, _ in training.lessons
        ]
        await self._phases.send_all("lessons written 课文", texts, len(texts))

    def _opening(self, consultation: Consultation) -> Write:
        return self._write(
            "consultation.open",
            str(consultation.id),
            self._staff_for(None),
            "/api/consultations",
            {
                "id": str(consultation.id),
                "title": consultation.title,
                "kind": consultation.kind,
                "questions": list(consultation.questions),
                "closes_at": consultation.closes_at.isoformat(),
            },
            consultation.opened_at,
        )

    def _announcement(self, activity: Activity) -> Write:
        return self._write(
            "activity.announce",
            str(activity.id),
            self._staff_for(activity.county),
            "/api/activities",
            {
                "id": str(activity.id),
                "title": activity.title,
                "kind": "theme",
                "county": activity.county,
                "starts_at": activity.starts_at.isoformat(),
                "ends_at": activity.ends_at.isoformat(),
            },
            activity.announced_at,
        )

    # -- parts that play by themselves --------------------------------------------------------------------

    def _residents(self) -> ResidentsPlay:
        return ResidentsPlay(
            self._gateway,
            self._phases,
            self._city,
            self._year.cases,
            self._codes,
            self._station_codes,
            self._staff_for(None),
            self._write,
        )

    def _cases(self, residents: ResidentsPlay, ids: Mapping[UUID, str]) -> CasesPlay:
        return CasesPlay(
            self._gateway,
            self._phases,
            self._city,
            self._year.cases,
            self._cast.deputies,
            self._staff_for(None),
            self._write,
            residents,
            ids,
        )

    def _session(self) -> SessionPlay:
        return SessionPlay(
            self._gateway,
            self._phases,
            self._year.motions,
            self._cast.deputies,
            self._staff_for(None),
            self._write,
        )

    # -- training, activities, consultations, duties ---------------------------------------------------

    async def _training(self) -> None:
        training = self._year.training
        lessons = [key for key, _, _ in training.lessons]
        progress = (
            self._write(
                "course.progress",
                str(training.id),
                self._cast.deputies[attendee.deputy],
                f"/api/courses/{training.id}/progress",
                {"lessons": lessons, "answers": attendee.answers},
                attendee.progressed_at,
            )
            for attendee in training.attendees
        )
        completions = (
            self._write(
                "course.complete",
                str(training.id),
                self._cast.deputies[attendee.deputy],
                f"/api/courses/{training.id}/complete",
                {},
                attendee.completed_at,
            )
            for attendee in training.attendees
        )
        await self._phases.send_all("lessons studied 网上学堂", progress, len(training.attendees))
        await self._phases.send_all("training completed, one evening", completions, len(training.attendees))

    async def _activities(self) -> None:
        sign_ups: list[Write] = []
        check_ins: list[Write] = []
        for activity in self._year.activities:
            path = f"/api/activities/{activity.id}"
            code = await self._code_of(activity)
            for one in activity.attendances:
                who = self._cast.deputies[one.deputy]
                sign_ups.append(
                    self._write(
                        "activity.sign_up", str(activity.id), who, f"{path}/sign-up", {}, one.signed_up_at
                    )
                )
                if one.checked_in_at is not None:
                    check_ins.append(
                        self._write(
                            "activity.check_in",
                            str(activity.id),
                            who,
                            f"{path}/check-in",
                            {"code": code},
                            one.checked_in_at,
                        )
                    )
        await self._phases.send_all("signed up for activities 报名", sign_ups, len(sign_ups))
        await self._phases.send_all("checked in 签到", check_ins, len(check_ins))

    async def _code_of(self, activity: Activity) -> str:
        """The code shown at the activity 活动码, which staff read out."""
        shown = await self._gateway.get(
            f"/api/activities/{activity.id}", who=self._staff_for(activity.county)
        )
        return str(shown["code"])

    async def _consultations(self) -> None:
        answers = [
            self._write(
                "consultation.answer",
                str(consultation.id),
                self._cast.deputies[answer.deputy],
                f"/api/consultations/{consultation.id}/answers",
                {"answers": answer.answers},
                answer.at,
            )
            for consultation in self._year.consultations
            for answer in consultation.answers
        ]
        await self._phases.send_all("consultations answered", answers, len(answers))
        closings = [
            self._write(
                "consultation.close",
                str(consultation.id),
                self._staff_for(None),
                f"/api/consultations/{consultation.id}/close",
                {},
                consultation.closes_at,
            )
            for consultation in self._year.consultations
        ]
        await self._phases.send_all("consultations closed", closings, len(closings))

    async def _duties(self) -> None:
        duties = self._year.duties
        declared = (
            self._write(
                "duty.declare",
                str(duty.id),
                self._cast.deputies[duty.deputy],
                "/api/duties",
                {
                    "id": str(duty.id),
                    "kind": duty.kind,
                    "happened_on": duty.happened_on.isoformat(),
                    "note": duty.note,
                },
                duty.declared_at,
            )
            for duty in duties
        )
        decided = [self._decision(duty) for duty in duties if duty.decided_at is not None]
        await self._phases.send_all("duties declared 履职登记", declared, len(duties))
        await self._phases.send_all("duties confirmed, rejected, ...", decided, len(decided))

    def _decision(self, duty: Duty) -> Write:
        deputy = self._city.deputies[duty.deputy]
        verb = {"confirmed": "confirm", "rejected": "reject", "withdrawn": "withdraw"}[duty.fate]
        who = (
            self._cast.deputies[duty.deputy]
            if verb == "withdraw"
            else self._staff_for(None if deputy.level == "city" else deputy.county)
        )
        body = {"reason": "与已有登记重复，请补充材料后再报"} if verb == "reject" else {}
        return self._write(
            f"duty.{verb}", str(duty.id), who, f"/api/duties/{duty.id}/{verb}", body, duty.decided_at or END
        )

    # -- what must not work, and what must change nothing ------------------------------------------------

    async def _mistakes_refused(self, cases: CasesPlay, residents: ResidentsPlay) -> None:
        """Requests that break a rule: each must be refused and change nothing."""
        year, deputies = self._year, self._cast.deputies
        number = year.scale.of(MISTAKES)
        training, questionnaire = year.training, year.consultations[-1]
        trained = {attendee.deputy for attendee in training.attendees}
        untrained = [i for i, d in enumerate(self._city.deputies) if d.level != "city" and i not in trained]
        writes: list[Write] = []
        for case in [case for case in year.cases if case.closed_at is None][:number]:
            stranger = deputies[(case.deputy + 1) % len(deputies)]
            path = f"/api/cases/{cases.id_of(case)}/close"
            writes.append(self._write("case.close", str(case.id), stranger, path, {}, END))
        writes += [
            cases.by_deputy(case, "concern.explain", {"text": EXPLAINED_WORDS}, END)
            for case in [case for case in year.cases if case.taken_up][:number]
        ]
        for deputy in untrained[:number]:
            path = f"/api/courses/{training.id}/complete"
            writes.append(
                self._write(
                    "course.complete",
                    str(training.id),
                    deputies[deputy],
                    path,
                    {},
                    training.attendees[-1].completed_at,
                )
            )
        for answer in questionnaire.answers[:number]:
            path = f"/api/consultations/{questionnaire.id}/answers"
            body = {"answers": {**answer.answers, "opinion": "补充一条意见"}}
            write = self._write(
                "consultation.answer.again", str(questionnaire.id), deputies[answer.deputy], path, body, END
            )
            writes.append(write)
        absent = [(a, one) for a in year.activities for one in a.attendances if one.checked_in_at is None]
        for activity, one in absent[:number]:
            path = f"/api/activities/{activity.id}/check-in"
            wrong = {"code": "not-the-code"}
            writes.append(
                self._write(
                    "activity.check_in",
                    str(activity.id),
                    deputies[one.deputy],
                    path,
                    wrong,
                    activity.starts_at,
                )
            )
        writes += residents.mistakes(number)
        writes += self._session().mistakes(number)
        self._mistakes = {write.command_id for write in writes}
        await self._phases.send_all("mistakes, all to be refused", writes, len(writes))

    async def _repeated(self, cases: CasesPlay) -> None:
        """Filings sent a second time under the same id: the first outcome again, and no second case."""
        number = min(self._year.scale.of(REPETITIONS), len(self._year.cases))
        repeated = [write for write, _ in zip(cases.filings(), range(number), strict=False)]
        await self._phases.send_all("filings repeated, same id", repeated, len(repeated))


def roster_files(city: City) -> Iterator[tuple[str, list[Deputy]]]:
    """The roster in files: name and deputies, county by county, none above _ROSTER_ROWS rows."""
    for county in city.counties:
        deputies = [deputy for deputy in city.deputies if deputy.county == county.code]
        for number, start in enumerate(range(0, len(deputies), _ROSTER_ROWS), 1):
            yield f"roster-{county.code}-{number}", deputies[start : start + _ROSTER_ROWS]


def roster_csv(deputies: list[Deputy], codes: Mapping[str, str]) -> bytes:
    """A roster file: UTF-8, one heading line, one line per deputy; `codes` are the stations' by town."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_ROSTER_COLUMNS)
    term = (TERM_FROM.isoformat(), TERM_UNTIL.isoformat())
    for d in deputies:
        place = (d.county, d.town or "", d.constituency)
        station = codes[d.town] if d.town else ""
        writer.writerow((d.number, d.name, d.level, d.occupation, *place, *term, station))
    return text.getvalue().encode()


def unfinished(status: Mapping[str, Any]) -> list[str]:
    """What the operations page says is still under way, one text per service; empty when all is taken in.

    A service that cannot tell its lag or outbox counts as unfinished.
    """
    left = []
    for name, service in status["services"].items():
        lags = (service.get("lag") or {"": None}).values()
        outbox = service.get("outbox")
        if outbox != 0 or any(lag != 0 for lag in lags):
            lag = "unknown" if None in lags else sum(lags)
            left.append(f"{name} (lag {lag}, outbox {outbox})")
    return left


async def tick_the_clock(kafka_env: Mapping[str, str], until: datetime) -> None:
    """Publish `clock.ticked`: everything before `until` is taken in, wall time goes on from there.

    `kafka_env` are the KAFKA_* variables of the principal `simulation`. Raises KafkaError.
    """
    lower = {key.lower(): value for key, value in kafka_env.items()}
    settings = KafkaSettings.model_validate(
        {key: lower[key] for key in KafkaSettings.model_fields if key in lower}
    )
    tick = Envelope(
        id=uuid6.uuid7(),
        source="/simulation",
        type="clock.ticked",
        subject="clock",
        time=until,
        recordedtime=datetime.now(UTC),
        data=ClockTicked(until=until).model_dump(mode="json"),
    )
    producer = make_producer(settings)
    await producer.start()
    try:
        value = tick.model_dump_json(exclude_none=True).encode()
        headers = [("content-type", CONTENT_TYPE.encode())]
        await producer.send_and_wait("clock.ticked", value=value, key=b"clock", headers=headers)
    finally:
        await producer.stop()
