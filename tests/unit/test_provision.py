"""What follows from the declaration of topics: settings, rights, and what is refused. No broker is asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.kafka.provision import (
    Catalogue,
    DeclarationError,
    Right,
    Topic,
    declared_rights,
    department_code,
    department_rights,
    department_topics,
    read_department,
)

HEAD = "principals: [identity, cases, gateway, auditor]\ntopics:\n"


def catalogue(folder: Path, text: str) -> Catalogue:
    file = folder / "topics.yaml"
    file.write_text(text, encoding="utf-8")
    return Catalogue.load(file)


def topic(**fields: object) -> str:
    entry = {"key": "id", "partitions": 3, "retention_days": "null", "timestamp": "append", **fields}
    return "  - {" + ", ".join(f"{key}: {value}" for key, value in entry.items()) + "}\n"


def test_the_shipped_declaration_is_sound() -> None:
    shipped = Catalogue.load()
    assert len(shipped.topics) > 20
    for service in ("identity", "cases", "participation", "learning", "evaluation", "notify"):
        commands = next(topic for topic in shipped.topics if topic.name == f"{service}.commands")
        assert service not in commands.writers


def test_settings_follow_from_retention_compaction_and_timestamp() -> None:
    kept = Topic("a", 1, (), ())
    assert kept.config() == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "message.timestamp.type": "LogAppendTime",
    }
    assert Topic("a", 1, (), (), retention_days=7).config()["retention.ms"] == "604800000"
    assert Topic("a", 1, (), (), compact=True, retention_days=7).config()["retention.ms"] == "-1"
    assert Topic("a", 1, (), (), compact=True).config()["cleanup.policy"] == "compact"
    assert Topic("a", 1, (), (), timestamp="create").config()["message.timestamp.type"] == "CreateTime"
    assert Topic("a", 1, (), (), max_message_bytes=5).config()["max.message.bytes"] == "5"


def test_only_writers_write_and_only_readers_read(tmp_path: Path) -> None:
    rights = declared_rights(
        catalogue(
            tmp_path,
            HEAD
            + topic(name="cases.commands", writers="[gateway]", readers="[cases]")
            + topic(name="case.filed", writers="[cases]", readers='["*"]'),
        )
    )
    of_topics = {
        (right.principal, right.operation, right.name) for right in rights if right.resource == "topic"
    }
    assert of_topics == {
        ("gateway", "write", "cases.commands"),
        ("cases", "read", "cases.commands"),
        ("cases", "write", "case.filed"),
        *((name, "read", "case.filed") for name in ("identity", "cases", "gateway", "auditor")),
    }
    assert {right.principal for right in rights if right.operation == "idempotent-write"} == {
        "gateway",
        "cases",
    }


def test_the_auditor_reads_everything_but_commands_and_replays(tmp_path: Path) -> None:
    rights = declared_rights(
        catalogue(
            tmp_path,
            HEAD
            + topic(name="cases.commands", writers="[gateway]", readers="[cases]")
            + topic(name="cases.replay", writers="[cases]", readers="[cases]")
            + topic(name="score.changed", writers="[cases]", readers="[cases]"),
        )
    )
    assert {right.name for right in rights if right.principal == "auditor" and right.resource == "topic"} == {
        "score.changed"
    }


def test_a_principal_uses_the_groups_that_begin_with_its_name(tmp_path: Path) -> None:
    rights = declared_rights(catalogue(tmp_path, HEAD + topic(name="a", writers="[]", readers="[]")))
    assert {right for right in rights if right.resource == "group"} == {
        Right(name, "read", "group", name, prefixed=True)
        for name in ("identity", "cases", "gateway", "auditor")
    }


def test_a_department_gets_its_own_two_topics_and_nothing_else() -> None:
    routed, replies = department_topics("water-1")
    assert (routed.name, routed.partitions, routed.retention_days) == ("department.water-1.routed", 1, 30)
    assert (replies.name, replies.partitions, replies.timestamp) == (
        "department.water-1.replies",
        1,
        "append",
    )
    rights = department_rights("water-1")
    assert {right for right in rights if right.principal == "cases"} == {
        Right("cases", "write", "topic", "department.water-1.routed"),
        Right("cases", "idempotent-write", "cluster", "kafka-cluster"),
        Right("cases", "read", "topic", "department.water-1.replies"),
    }
    assert {right for right in rights if right.principal != "cases"} == {
        Right("dept-water-1", "read", "topic", "department.water-1.routed"),
        Right("dept-water-1", "write", "topic", "department.water-1.replies"),
        Right("dept-water-1", "idempotent-write", "cluster", "kafka-cluster"),
        Right("dept-water-1", "read", "group", "department.water-1"),
        Right("dept-water-1", "read", "group", "department.water-1.", prefixed=True),
    }


def test_no_department_can_use_the_groups_of_another_whose_code_begins_alike() -> None:
    prefixes = {right.name for right in department_rights("water") if right.prefixed}
    theirs = {right.name for right in department_rights("water-1") if right.resource == "group"}
    assert not any(name.startswith(prefix) for name in theirs for prefix in prefixes)


@pytest.mark.parametrize("code", ["changed", "a", "Aa", "a.b", "a_b", "ä-ä", "x" * 41, "", "a b", "ab\n"])
def test_what_cannot_name_a_department_is_refused(code: str) -> None:
    with pytest.raises(DeclarationError):
        department_code(code)


@pytest.mark.parametrize("code", ["ab", "x" * 40, "town-162", "007"])
def test_what_can_name_a_department_is_taken(code: str) -> None:
    assert department_code(code) == code


@pytest.mark.parametrize(
    "entries",
    [
        topic(name="a.b", writers="[nobody]", readers="[]"),
        topic(name="a.b", writers="[]", readers="[]") * 2,
        topic(name="a.b", writers="[]", readers="[]", partitions=0),
        topic(name="a.b", writers="[]", readers="[]", retention_days=0),
        topic(name="a.b", writers="[]", readers="[]", timestamp="never"),
        topic(name="department.water.routed", writers="[]", readers="[]"),
        topic(name="a.b", writers="[]", readers="[]", retention="7"),
        "  - {name: a.b}\n",
    ],
)
def test_a_declaration_that_cannot_be_is_refused(tmp_path: Path, entries: str) -> None:
    with pytest.raises(DeclarationError):
        catalogue(tmp_path, HEAD + entries)


@pytest.mark.parametrize("principals", ["[case, cases]", "[dept-water]", "[department]", "[a, a]"])
def test_principals_that_could_reach_into_one_another_are_refused(tmp_path: Path, principals: str) -> None:
    with pytest.raises(DeclarationError):
        catalogue(
            tmp_path, f"principals: {principals}\ntopics:\n{topic(name='a.b', writers='[]', readers='[]')}"
        )


def test_department_messages() -> None:
    assert read_department(b'{"data": {"code": "water", "state": "active", "name": "\xe6\xb0\xb4"}}') == (
        "water",
        True,
    )
    assert read_department('{"data": {"code": "water", "state": "left"}}') == ("water", False)


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b"3",
        b'{"data": {"code": "water"}}',
        b'{"data": {"code": "water", "state": "asleep"}}',
        b'{"data": {"code": "water", "state": ["active"]}}',
        b'{"data": {"code": ["water"], "state": "active"}}',
        b'{"data": {"code": "changed", "state": "active"}}',
    ],
)
def test_unreadable_department_messages_are_refused(value: bytes | None) -> None:
    with pytest.raises(DeclarationError):
        read_department(value)
