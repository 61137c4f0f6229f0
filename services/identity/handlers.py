"""Use cases of identity: registering departments, staff and stations, importing a roster, setting passwords."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field, ValidationError

from services.identity import domain, errors, store
from services.identity.domain import Department, Deputy, Staff, Station
from services.identity.passwords import Passwords
from services.identity.roster import judge_rows, within_reach
from services.identity.store import (
    Credentials,
    DepartmentStore,
    PartTaken,
    RosterImport,
    StaffStore,
    StationStore,
)
from shared.contracts import identity as contract
from shared.contracts.registry import Contract
from shared.messaging.desk import Decision, Desk, Emission, authorise, check_area, subject_id
from shared.messaging.received import Received
from shared.messaging.work import Work
from shared.refusals import Refusal
from shared.security.sealing import Opener, Unsealable

_PARTS_MAX = 1000
_LINE_MAX = 10_000_000


def register_department(
    found: Department | None,
    message: Received[contract.RegisterDepartment],
    _: None,
) -> Decision[Department]:
    """Register or change a department; one for all counties is for the city's staff."""
    data = message.data
    for counties in (data.counties, *([found.counties] if found else [])):
        check_area(message, *(counties or (None,)))
    department = domain.register_department(
        found,
        message.envelope.subject,
        name=data.name,
        categories=data.categories,
        counties=data.counties,
        state=data.state,
        at=message.now,
    )
    if department is found:
        return Decision(department, department.version)
    told = contract.DepartmentChanged(
        code=department.code,
        name=department.name,
        categories=department.categories,
        counties=department.counties,
        state=department.state,
    )
    return Decision(department, department.version, (Emission(told),), time=department.changed_at)


def register_staff(
    found: Staff | None, message: Received[contract.RegisterStaff], _: None
) -> Decision[Staff]:
    """Register or change a member of staff."""
    data = message.data
    check_area(message, data.organisation, *([found.organisation] if found else []))
    member = domain.register_staff(
        found,
        subject_id(message),
        name=data.name,
        organisation=data.organisation,
        state=data.state,
        at=message.now,
    )
    if member is found:
        return Decision(member, member.version)
    told = contract.StaffChanged(
        staff_id=member.id, name=member.name, organisation=member.organisation, state=member.state
    )
    return Decision(member, member.version, (Emission(told, subject=member.id),), time=member.changed_at)


def register_station(
    found: Station | None, message: Received[contract.RegisterStation], _: None
) -> Decision[Station]:
    """Register or change a station."""
    data = message.data
    check_area(message, data.town, *([found.town] if found else []))
    station = domain.register_station(
        found, subject_id(message), name=data.name, town=data.town, state=data.state, at=message.now
    )
    if station is found:
        return Decision(station, station.version)
    told = contract.StationChanged(
        station_id=station.id, name=station.name, town=station.town, code=station.code, state=station.state
    )
    return Decision(station, station.version, (Emission(told, subject=station.id),), time=station.changed_at)


def department_desk() -> Desk[Department]:
    """The desk of departments."""
    return Desk(DepartmentStore(), {contract.RegisterDepartment: register_department})


def staff_desk() -> Desk[Staff]:
    """The desk of staff."""
    return Desk(StaffStore(), {contract.RegisterStaff: register_staff})


def station_desk() -> Desk[Station]:
    """The desk of stations."""
    return Desk(StationStore(), {contract.RegisterStation: register_station})


def _not_refused(
    messages: Sequence[Received[Any]], work: Work, check: Callable[[Received[Any]], object]
) -> list[Received[Any]]:
    passed = []
    for message in messages:
        try:
            authorise(message)
            check(message)
        except Refusal as refusal:
            work.reject(message, refusal)
        else:
            passed.append(message)
    return passed


class RosterDesk:
    """Takes in parts of rosters; a command is accepted whatever its rows are, and the report tells of them."""

    def handlers(self) -> dict[type[Contract], RosterDesk]:
        """This desk under its message class."""
        return {contract.ImportRoster: self}

    async def __call__(self, messages: Sequence[Received[contract.ImportRoster]], work: Work) -> None:
        """Judge the rows of all parts, apply the right ones, keep the errors of the others."""
        asked = _not_refused(messages, work, _check_part)
        if not asked:
            return
        connection = work.connection
        imports = await store.open_imports(connection, asked)
        accepted = _not_refused(asked, work, lambda message: _take_part(imports, message))
        parts = await self._judge(accepted, work)
        ids = {domain.deputy_id(row.entry.number) for part in parts for row in part.judgement.right}
        before = await store.deputies(connection, ids, lock=True)
        after: dict[UUID, Deputy] = {}
        taken: list[PartTaken] = []
        for message, judged in zip(accepted, parts, strict=True):
            within = within_reach(judged.judgement, message.sender(), {**before, **after})
            part = replace(judged, judgement=within)
            done = _apply(message, part, before, after, work)
            taken.append(done)
            found = imports[part.import_id]
            imports[part.import_id] = replace(
                found,
                rows=found.rows + part.judgement.rows,
                accepted=found.accepted + len(part.judgement.right),
                changed=found.changed + len(done.changed),
            )
            work.accept(message, version=len(found.parts_done))
        touched = {part.import_id for part in taken}
        await store.save_roster(
            connection,
            before=before,
            after=after,
            imports=[imports[import_id] for import_id in sorted(touched)],
            parts=taken,
        )

    async def _judge(
        self, messages: Sequence[Received[contract.ImportRoster]], work: Work
    ) -> list[PartTaken]:
        """Judge each part by itself first, then against the numbers of the parts before it."""
        stations = await store.station_codes(work.connection)
        alone = [judge_rows(m.data.first_line, m.data.rows, {}, stations) for m in messages]
        taken = await store.lines_of_numbers(
            work.connection,
            (
                (subject_id(message), row.entry.number)
                for message, judgement in zip(messages, alone, strict=True)
                for row in judgement.right
            ),
        )
        numbers: dict[UUID, dict[str, int]] = {}
        for (import_id, number), line in taken.items():
            numbers.setdefault(import_id, {})[number] = line
        parts: list[PartTaken] = []
        for message, judgement in zip(messages, alone, strict=True):
            import_id, data = subject_id(message), message.data
            known = numbers.setdefault(import_id, {})
            found = judgement
            if not known.keys().isdisjoint(row.entry.number for row in judgement.right):
                found = judge_rows(data.first_line, data.rows, known, stations)
            known.update((row.entry.number, row.line) for row in found.right)
            parts.append(PartTaken(import_id, data.part, found, frozenset()))
        return parts


def _check_part(message: Received[contract.ImportRoster]) -> None:
    subject_id(message)
    data = message.data
    if not data.part <= data.parts <= _PARTS_MAX or data.first_line > _LINE_MAX:
        raise errors.part_out_of_range()


def _take_part(imports: dict[UUID, RosterImport], message: Received[contract.ImportRoster]) -> None:
    """Note that the part has come. Raises Refusal when it does not belong to the import."""
    found, data = imports[subject_id(message)], message.data
    if found.begun_by != message.sender().person:
        raise errors.not_your_import()
    if found.parts != data.parts:
        raise errors.parts_differ()
    if data.part in found.parts_done:
        raise errors.part_repeated()
    imports[found.id] = replace(found, parts_done=tuple(sorted((*found.parts_done, data.part))))


def _apply(
    message: Received[contract.ImportRoster],
    part: PartTaken,
    before: dict[UUID, Deputy],
    after: dict[UUID, Deputy],
    work: Work,
) -> PartTaken:
    changed: set[int] = set()
    for row in part.judgement.right:
        identity = domain.deputy_id(row.entry.number)
        found = after.get(identity) or before.get(identity)
        deputy = domain.enter(found, row.entry, message.now)
        if deputy is found:
            continue
        after[identity] = deputy
        changed.add(row.line)
        told = contract.DeputyChanged(
            deputy_id=deputy.id,
            number=deputy.number,
            name=deputy.name,
            level=deputy.level,
            occupation=deputy.occupation,
            county=deputy.county,
            town=deputy.town,
            constituency=deputy.constituency,
            code=deputy.code,
            term_from=deputy.term_from,
            term_until=deputy.term_until,
            state=deputy.state,
            station=deputy.station,
        )
        work.emit(message, told, subject=deputy.id, sequence=deputy.version, time=deputy.changed_at)
    return replace(part, changed=frozenset(changed))


class SignIn(BaseModel):
    """The sealed content of `password.set`."""

    login: Annotated[str, Field(max_length=200, repr=False)]
    password: Annotated[str, Field(max_length=1000, repr=False)]


class PasswordDesk:
    """Sets passwords. Hashing is slow, so it is done before any of the rows is locked."""

    def __init__(self, opener: Opener, passwords: Passwords) -> None:
        self._opener = opener
        self._passwords = passwords

    def handlers(self) -> dict[type[Contract], PasswordDesk]:
        """This desk under its message class."""
        return {contract.SetPassword: self}

    async def __call__(self, messages: Sequence[Received[contract.SetPassword]], work: Work) -> None:
        """Check, hash, then write."""
        opened: dict[str, SignIn] = {}

        def check(message: Received[contract.SetPassword]) -> None:
            opened[message.key] = self._read(message)

        asked = _not_refused(messages, work, check)
        known = await store.active_persons(work.connection, map(_person, asked))

        def exists(message: Received[contract.SetPassword]) -> None:
            if _person(message) not in known:
                raise errors.person_unknown()

        asked = _not_refused(asked, work, exists)
        if not asked:
            return
        hashes = {m.key: await self._passwords.hash(opened[m.key].password) for m in asked}
        before = await store.lock_credentials(work.connection, {_person(m) for m in asked})
        owners = await store.owners_of_logins(work.connection, {s.login for s in opened.values()})
        changed: dict[str, Credentials] = {}
        for message in asked:
            person, login = _person(message), opened[message.key].login
            if owners.get(login, person) != person:
                work.reject(message, errors.login_taken())
                continue
            found = changed.get(person) or before.get(person)
            if found is not None:
                owners.pop(found.login, None)
            owners[login] = person
            changed[person] = Credentials(
                person=person,
                version=found.version + 1 if found else 1,
                login=login,
                hash=hashes[message.key],
                changed_at=message.not_before(found.changed_at if found else None),
            )
            work.accept(message, version=changed[person].version)
        await store.save_credentials(work.connection, changed.values())

    def _read(self, message: Received[contract.SetPassword]) -> SignIn:
        sender = message.sender()
        if _person(message) != sender.person and "operator" not in sender.roles:
            raise errors.not_your_account()
        try:
            content = SignIn.model_validate(self._opener.open(message.data.sealed))
        except (Unsealable, ValidationError):
            raise errors.password_unreadable() from None
        login = domain.check_login(content.login)
        domain.check_password(content.password, login)
        return SignIn(login=login, password=content.password)


def _person(message: Received[Any]) -> str:
    return domain.read_person(message.envelope.subject)
