"""Makes topics, accounts and access rights from `topics.yaml`, and per department as departments register.

    python -m deploy.kafka.provision apply     make everything as declared, once
    python -m deploy.kafka.provision follow    the same, then a department's topics as soon as it is announced

Both may be repeated and may run side by side. Environment: `KAFKA_BOOTSTRAP_SERVERS`; `KAFKA_USERNAME` and
`KAFKA_PASSWORD` (an administrator; without them topics are made, but no accounts or rights);
`KAFKA_SECURITY_PROTOCOL` (`SASL_PLAINTEXT`, or `SASL_SSL`); `KAFKA_KIND` (`kafka`, `tansu`, `external`); `DAIBIAOTONG_RUN`, the folder with the secrets.
Exit codes: 0 done or asked to stop, 1 the broker refused or was lost, 2 the declaration or environment is wrong.

Rights, where the broker knows accounts (user name = principal, SCRAM-SHA-512):

- a topic's writers may write it, its readers read it; `*` stands for every principal. Nobody else may either;
  rights of these principals that are not declared are taken away.
- a principal may use the consumer groups whose names begin with its own.
- `auditor` may read every declared topic but commands, what falls due, and replays.
- a department reads `department.<code>.routed` and writes `department.<code>.replies`, `cases` the other way
  round. One that has left loses its account and rights; its topics stay.

What exists is never made smaller or re-keyed: a topic with another number of partitions is reported, not changed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

# The package re-exports these without saying so to type checkers.
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialAlteration,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from deploy.local.runfolder import run_folder
from deploy.local.secrets import DEPARTMENT_PRINCIPAL, Secrets

TOPICS_FILE = Path(__file__).with_name("topics.yaml")
SASL_PLAINTEXT = "SASL_PLAINTEXT"
DEPARTMENT_TOPIC = "department.changed"
ROUTED_RETENTION_DAYS = 30
_DEPARTMENT_CODE = re.compile(r"[a-z0-9-]{2,40}")
_RESERVED_CODE = "changed"
_OF_A_DEPARTMENT = re.compile(r"department\.[a-z0-9-]{2,40}\.(routed|replies)")
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,200}")
_AUDITOR = "auditor"
_NOT_FOR_THE_AUDITOR = (".commands", ".due", ".replay")
_DAY_MS = 86_400_000
_SCRAM_ITERATIONS = 4096
_ANSWER_SECONDS = 30.0
_APPLIED_SECONDS = 120.0
"""How long a broker on a busy machine may take to go by what its controller has taken."""
_APPLIED_POLL_SECONDS = 0.02
_RETRY_SECONDS = 2.0
_BROKER_WAIT_SECONDS = 60.0

_log = logging.getLogger("provision")


class DeclarationError(ValueError):
    """`topics.yaml`, a department's code or the environment says something that cannot be."""


@dataclass(frozen=True)
class Topic:
    """One declared topic. `retention_days` None keeps for ever; `compact` keeps the latest per key."""

    name: str
    partitions: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    retention_days: int | None = None
    compact: bool = False
    timestamp: Literal["append", "create"] = "append"
    max_message_bytes: int | None = None

    def config(self) -> dict[str, str]:
        """Return the broker's settings for this topic."""
        keep = self.retention_days is None or self.compact
        config = {
            "cleanup.policy": "compact" if self.compact else "delete",
            "retention.ms": "-1" if keep else str((self.retention_days or 0) * _DAY_MS),
            "message.timestamp.type": "LogAppendTime" if self.timestamp == "append" else "CreateTime",
        }
        if self.max_message_bytes is not None:
            config["max.message.bytes"] = str(self.max_message_bytes)
        return config


_MANAGED_CONFIG = ("cleanup.policy", "retention.ms", "message.timestamp.type", "max.message.bytes")


@dataclass(frozen=True)
class Catalogue:
    """All declared topics and the principals that have accounts."""

    principals: tuple[str, ...]
    topics: tuple[Topic, ...]

    @classmethod
    def load(cls, path: Path = TOPICS_FILE) -> Self:
        """Read and check the declaration.

        Raises:
            DeclarationError: it is incomplete, or contradicts itself.
        """
        try:
            document = yaml.safe_load(path.read_text("utf-8"))
            principals = tuple(str(name) for name in document["principals"])
            topics = tuple(_topic(entry, principals) for entry in document["topics"])
        except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
            raise DeclarationError(f"{path}: {error!r}") from error
        _check(principals, topics)
        return cls(principals, topics)


@dataclass(frozen=True, order=True)
class Right:
    """One thing that a principal may do. Reading and writing include seeing that the topic exists."""

    principal: str
    operation: Literal["read", "write", "idempotent-write"]
    resource: Literal["topic", "group", "cluster"]
    name: str
    prefixed: bool = False


def department_code(code: str) -> str:
    """Return the code if it can name a department.

    Raises:
        DeclarationError: it is not 2 to 40 of a-z, 0-9 and `-`, or is the reserved word `changed`.
    """
    if not _DEPARTMENT_CODE.fullmatch(code) or code == _RESERVED_CODE:
        raise DeclarationError(f"not a department code: {code!r}")
    return code


def department_principal(code: str) -> str:
    """Return the account name of a department."""
    return f"{DEPARTMENT_PRINCIPAL}{department_code(code)}"


def department_topics(code: str) -> tuple[Topic, Topic]:
    """Return a department's two topics: what is routed to it, and what it replies."""
    principal = department_principal(code)
    return (
        Topic(f"department.{code}.routed", 1, ("cases",), (principal,), retention_days=ROUTED_RETENTION_DAYS),
        Topic(f"department.{code}.replies", 1, (principal,), ("cases",)),
    )


def declared_rights(catalogue: Catalogue) -> set[Right]:
    """Return every right that follows from the declaration."""
    rights = {right for topic in catalogue.topics for right in _topic_rights(topic)}
    rights |= {Right(name, "read", "group", name, prefixed=True) for name in catalogue.principals}
    if _AUDITOR in catalogue.principals:
        rights |= {
            Right(_AUDITOR, "read", "topic", topic.name)
            for topic in catalogue.topics
            if not topic.name.endswith(_NOT_FOR_THE_AUDITOR)
        }
    return rights


def department_rights(code: str) -> set[Right]:
    """Return every right that a department's registration gives, to itself and to `cases`.

    Its groups are `department.<code>` and `department.<code>.…`: with a bare prefix the department `a-b`
    could be disturbed by the department `a`.
    """
    principal = department_principal(code)
    rights = {right for topic in department_topics(code) for right in _topic_rights(topic)}
    return rights | {
        Right(principal, "read", "group", f"department.{code}"),
        Right(principal, "read", "group", f"department.{code}.", prefixed=True),
    }


def client_config(
    bootstrap: str, username: str | None, password: str | None, protocol: str = SASL_PLAINTEXT
) -> dict[str, Any]:
    """Return librdkafka's settings for reaching a broker, quiet about connections it will retry.

    With a user name it signs in by SCRAM-SHA-512, over the security protocol given; without, plain text.
    """
    config: dict[str, Any] = {
        "bootstrap.servers": bootstrap,
        "log_level": 0,
        "reconnect.backoff.max.ms": 1000,
    }
    if username:
        config |= {
            "security.protocol": protocol,
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": username,
            "sasl.password": password or "",
        }
    return config


def admin_answers(config: Mapping[str, Any], *, leaders: bool = False) -> str | None:
    """Return None if the broker of this `client_config` answers a question now, else what is in the way.

    With `leaders` every partition must have a leader too, as after the start of a broker of one's own.
    """
    bootstrap = config["bootstrap.servers"]
    host, _, port = bootstrap.split(",", maxsplit=1)[0].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=2).close()
        cluster = AdminClient(dict(config)).list_topics(timeout=3)
    except (OSError, ValueError, KafkaException) as error:
        return f"broker {bootstrap}: {error}"
    if not cluster.brokers:
        return f"broker {bootstrap} knows of no broker yet"
    leading = [part.leader for topic in cluster.topics.values() for part in topic.partitions.values()]
    return f"broker {bootstrap}: a partition has no leader" if leaders and -1 in leading else None


class Provisioner:
    """Makes what is declared, on one broker. Every method may be repeated.

    With `isolates` off the broker has no accounts, and only topics are made; with `configurable` off (Tansu)
    the settings of topics that exist are left alone.

    Raises (every method):
        KafkaException: the broker refused something or did not answer; what came before it is made.
    """

    def __init__(
        self,
        admin: AdminClient,
        password_of: Callable[[str], str],
        *,
        isolates: bool,
        configurable: bool = True,
    ) -> None:
        self._admin = admin
        self._password_of = password_of
        self._isolates = isolates
        self._configurable = configurable

    def apply(self, catalogue: Catalogue) -> list[str]:
        """Make all declared topics, accounts and rights, and return what differs and was left as it is."""
        differences = self._make_topics(catalogue.topics)
        if not self._isolates:
            return [*differences, "this broker has no accounts here: no isolation between principals"]
        self._make_accounts(catalogue.principals)
        wanted = declared_rights(catalogue)
        present = {
            right
            for right in self._present_rights()
            if right.principal in catalogue.principals and not _OF_A_DEPARTMENT.fullmatch(right.name)
        }
        self._grant(wanted - present)
        self._revoke(present - wanted)
        return differences

    def provision_department(self, code: str) -> list[str]:
        """Make one department's topics, account and rights; return what differs and was left as it is."""
        return self.provision_departments([code])

    def provision_departments(self, codes: Iterable[str]) -> list[str]:
        """Make several departments' topics, accounts and rights in a few requests.

        Raises:
            DeclarationError: a code cannot name a department; nothing is made then.
        """
        codes = [department_code(code) for code in codes]
        differences = self._make_topics([topic for code in codes for topic in department_topics(code)])
        if self._isolates and codes:
            self._make_accounts([department_principal(code) for code in codes])
            self._grant({right for code in codes for right in department_rights(code)})
        return differences

    def withdraw_departments(self, codes: Iterable[str]) -> None:
        """Take away the accounts and rights of departments that have left; their topics stay.

        Raises:
            DeclarationError: a code cannot name a department; nothing is taken then.
        """
        principals = {department_principal(code) for code in codes}
        if not self._isolates or not principals:
            return
        self._revoke({right for right in self._present_rights() if right.principal in principals})
        deletions: list[UserScramCredentialAlteration] = [
            UserScramCredentialDeletion(name, ScramMechanism.SCRAM_SHA_512) for name in principals
        ]
        _settle(
            self._admin.alter_user_scram_credentials(deletions, request_timeout=_ANSWER_SECONDS),
            harmless=(KafkaError.RESOURCE_NOT_FOUND,),
        )

    def _make_topics(self, topics: Sequence[Topic]) -> list[str]:
        """Make the topics that are missing and bring the settings of the others in line."""
        known = self._admin.list_topics(timeout=_ANSWER_SECONDS).topics
        missing = [topic for topic in topics if topic.name not in known]
        if missing:
            new = [
                NewTopic(
                    topic.name, num_partitions=topic.partitions, replication_factor=-1, config=topic.config()
                )
                for topic in missing
            ]
            futures = self._admin.create_topics(
                new, operation_timeout=_ANSWER_SECONDS, request_timeout=_ANSWER_SECONDS
            )
            _settle(futures, harmless=(KafkaError.TOPIC_ALREADY_EXISTS,))
        existing = [topic for topic in topics if topic.name in known]
        if existing and self._configurable:
            self._align(existing)
        return [
            f"{topic.name} has {len(known[topic.name].partitions)} partitions, {topic.partitions} are declared: "
            "left as it is (another number would re-key it)"
            for topic in existing
            if len(known[topic.name].partitions) != topic.partitions
        ]

    def _align(self, topics: Sequence[Topic]) -> None:
        """Change the settings of existing topics where they are not as declared."""
        resources = [ConfigResource(ConfigResource.Type.TOPIC, topic.name) for topic in topics]
        answers = self._admin.describe_configs(resources, request_timeout=_ANSWER_SECONDS)
        present: dict[str, Mapping[str, ConfigEntry]] = {
            resource.name: future.result() for resource, future in answers.items()
        }
        changes = []
        for topic in topics:
            wanted, entries = topic.config(), []
            for key in _MANAGED_CONFIG:
                now = present[topic.name][key]
                own = ConfigSource(now.source) is ConfigSource.DYNAMIC_TOPIC_CONFIG
                if key in wanted and now.value != wanted[key]:
                    entries.append(ConfigEntry(key, wanted[key], incremental_operation=AlterConfigOpType.SET))
                elif key not in wanted and own:
                    entries.append(ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE))
            if entries:
                changes.append(
                    ConfigResource(ConfigResource.Type.TOPIC, topic.name, incremental_configs=entries)
                )
        if changes:
            _settle(self._admin.incremental_alter_configs(changes, request_timeout=_ANSWER_SECONDS))

    def _make_accounts(self, principals: Collection[str]) -> None:
        """Give each principal an account with its password."""
        method = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, _SCRAM_ITERATIONS)
        accounts: list[UserScramCredentialAlteration] = [
            UserScramCredentialUpsertion(name, method, self._password_of(name).encode())
            for name in principals
        ]
        _settle(self._admin.alter_user_scram_credentials(accounts, request_timeout=_ANSWER_SECONDS))

    def _present_rights(self) -> set[Right]:
        """Return the rights that the broker holds, of the kinds that are made here."""
        whatever: Any = None
        everything = AclBindingFilter(
            ResourceType.ANY,
            whatever,
            ResourcePatternType.ANY,
            whatever,
            whatever,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        bindings = self._admin.describe_acls(everything, request_timeout=_ANSWER_SECONDS).result()
        return {right for right in map(_from_binding, bindings) if right is not None}

    def _grant(self, rights: Collection[Right]) -> None:
        if rights:
            bindings = [_binding(right) for right in sorted(rights)]
            _settle(self._admin.create_acls(bindings, request_timeout=_ANSWER_SECONDS))
            self._await_rights("granted", lambda present: present.issuperset(rights))

    def _revoke(self, rights: Collection[Right]) -> None:
        if rights:
            filters = [_filter(right) for right in sorted(rights)]
            _settle(self._admin.delete_acls(filters, request_timeout=_ANSWER_SECONDS))
            self._await_rights("revoked", lambda present: present.isdisjoint(rights))

    def _await_rights(self, change: str, applied: Callable[[set[Right]], bool]) -> None:
        """Wait until the broker goes by a change that its controller has taken.

        The controller answers first and the broker follows its log: a writer that comes in between is refused
        for good. Accounts stand earlier in that log, so they are there when the rights are.
        """
        deadline = time.monotonic() + _APPLIED_SECONDS
        while not applied(self._present_rights()):
            if time.monotonic() >= deadline:
                raise KafkaException(
                    KafkaError(KafkaError._TIMED_OUT, f"the broker does not show the {change} rights")
                )
            time.sleep(_APPLIED_POLL_SECONDS)


class DepartmentFollower:
    """Reads `department.changed` from its beginning and provisions departments as they come and go.

    The topic is the only state: a restart reads it again, and only the last word on each department counts.
    What the broker refuses is tried again.
    """

    def __init__(self, provisioner: Provisioner, consumer: Consumer) -> None:
        self._provisioner = provisioner
        self._consumer = consumer
        self._pending: dict[str, bool] = {}
        self._done: dict[str, bool] = {}

    def begin(self) -> None:
        """Take the topic's partitions, all from their beginning.

        Raises:
            KafkaException: the topic is not there, or the broker is not.
        """
        known = self._consumer.list_topics(DEPARTMENT_TOPIC, timeout=_ANSWER_SECONDS).topics[DEPARTMENT_TOPIC]
        if known.error is not None:
            raise KafkaException(known.error)
        self._consumer.assign(
            [TopicPartition(DEPARTMENT_TOPIC, partition, OFFSET_BEGINNING) for partition in known.partitions]
        )

    def step(self, seconds: float) -> None:
        """Wait this long for news and act on it.

        Raises:
            KafkaException: the topic is gone, or the consumer has failed for good.
        """
        for message in self._consumer.consume(num_messages=500, timeout=seconds):
            error = message.error()
            if error is None:
                self._note(message)
            elif error.fatal() or error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise KafkaException(error)
            else:
                _log.warning("reading %s: %s", DEPARTMENT_TOPIC, error)
        try:
            self._act()
        except KafkaException as error:
            _log.warning("departments %s wait: %s", ", ".join(sorted(self._pending)), error)

    def _note(self, message: Message) -> None:
        where = f"{DEPARTMENT_TOPIC}/{message.partition()}/{message.offset()}"
        try:
            code, active = read_department(message.value())
        except DeclarationError as error:
            _log.warning("%s is passed over: %s", where, error)
            return
        if self._done.get(code) == active:
            self._pending.pop(code, None)
        else:
            self._pending[code] = active

    def _act(self) -> None:
        coming = [code for code, active in self._pending.items() if active]
        leaving = [code for code, active in self._pending.items() if not active]
        if coming:
            for difference in self._provisioner.provision_departments(coming):
                _log.warning("%s", difference)
            self._settled(coming, active=True)
        if leaving:
            self._provisioner.withdraw_departments(leaving)
            self._settled(leaving, active=False)

    def _settled(self, codes: list[str], *, active: bool) -> None:
        for code in codes:
            self._done[code] = active
            del self._pending[code]
        _log.info("%s: %s", "provisioned" if active else "withdrawn", ", ".join(codes))


def read_department(value: bytes | str | None) -> tuple[str, bool]:
    """Return the code out of a `department.changed` message, and whether that department is active.

    Raises:
        DeclarationError: the message is not such a CloudEvent, or the code cannot name a department.
    """
    try:
        data = json.loads(value or b"")["data"]
        code, state = data["code"], data["state"]
    except (ValueError, KeyError, TypeError) as error:
        raise DeclarationError(f"unreadable: {error!r}") from None
    if state not in ("active", "left") or not isinstance(code, str):
        raise DeclarationError(f"unknown state {state!r} or code {code!r}")
    return department_code(code), state == "active"


def main(arguments: Sequence[str]) -> int:
    """Run one of the two commands; see the module's text for environment and exit codes."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.kafka.provision", description=__doc__.split("\n")[0]
    )
    parser.add_argument("command", choices=["apply", "follow"])
    parser.add_argument(
        "--topics", type=Path, default=TOPICS_FILE, help="another declaration than topics.yaml"
    )
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        catalogue = Catalogue.load(chosen.topics)
        bootstrap = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
    except (DeclarationError, KeyError) as error:
        _log.error("%s", f"{error} is not set" if isinstance(error, KeyError) else error)
        return 2
    username, password = os.environ.get("KAFKA_USERNAME"), os.environ.get("KAFKA_PASSWORD")
    protocol = os.environ.get("KAFKA_SECURITY_PROTOCOL", SASL_PLAINTEXT)
    config = client_config(bootstrap, username, password, protocol)
    tansu = os.environ.get("KAFKA_KIND") == "tansu"
    provisioner = Provisioner(
        AdminClient(config),
        Secrets(run_folder()).kafka_password,
        isolates=username is not None and not tansu,
        configurable=not tansu,
    )
    patience = _BROKER_WAIT_SECONDS if chosen.command == "apply" else float("inf")
    if not _apply_patiently(provisioner, catalogue, config, patience, stop):
        return 0 if stop.is_set() else 1
    if chosen.command == "apply":
        return 0
    return _follow(provisioner, config, stop)


def _apply_patiently(
    provisioner: Provisioner,
    catalogue: Catalogue,
    config: Mapping[str, Any],
    patience: float,
    stop: threading.Event,
) -> bool:
    """Apply the declaration, again and again while the broker is down; False if that took too long."""
    deadline = time.monotonic() + patience
    while not stop.is_set():
        missing = admin_answers(config)
        if missing is None:
            try:
                for difference in provisioner.apply(catalogue):
                    _log.warning("%s", difference)
            except KafkaException as error:
                missing = f"the broker refused: {error}"
            else:
                _log.info(
                    "%d topics and %d principals are as declared",
                    *map(len, (catalogue.topics, catalogue.principals)),
                )
                return True
        _log.warning("%s; trying again", missing)
        if time.monotonic() >= deadline:
            return False
        stop.wait(_RETRY_SECONDS)
    return False


def _follow(provisioner: Provisioner, config: Mapping[str, Any], stop: threading.Event) -> int:
    """Follow the departments until asked to stop (0) or the topic is lost (1)."""
    consumer = Consumer(
        {
            **config,
            "group.id": "provisioner",
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
        }
    )
    follower = DepartmentFollower(provisioner, consumer)
    try:
        follower.begin()
        _log.info("following %s", DEPARTMENT_TOPIC)
        while not stop.is_set():
            follower.step(0.5)
    except KafkaException as error:
        _log.error("%s cannot be followed any more: %s", DEPARTMENT_TOPIC, error)
        return 1
    finally:
        consumer.close()
    return 0


def _topic(entry: Mapping[str, Any], principals: tuple[str, ...]) -> Topic:
    """Read one entry of the declaration."""
    known = {
        "name",
        "key",
        "partitions",
        "writers",
        "readers",
        "retention_days",
        "compact",
        "timestamp",
        "max_message_bytes",
    }
    if set(entry) - known:
        raise DeclarationError(f"{entry.get('name')}: unknown {sorted(set(entry) - known)}")
    return Topic(
        name=entry["name"],
        partitions=entry["partitions"],
        writers=tuple(entry["writers"]),
        readers=principals if "*" in entry["readers"] else tuple(entry["readers"]),
        retention_days=entry["retention_days"],
        compact=entry.get("compact", False),
        timestamp=entry["timestamp"],
        max_message_bytes=entry.get("max_message_bytes"),
    )


def _check(principals: Sequence[str], topics: Sequence[Topic]) -> None:
    """Refuse a declaration that would give a right to the wrong one."""
    names = [topic.name for topic in topics]
    for twice in {name for name in (*names, *principals) if (*names, *principals).count(name) > 1}:
        raise DeclarationError(f"{twice} is declared twice")
    for name in principals:
        if not _NAME.fullmatch(name) or name.startswith((DEPARTMENT_PRINCIPAL, "department")):
            raise DeclarationError(f"not a principal's name: {name!r}")
        for other in principals:
            if other != name and other.startswith(name):
                raise DeclarationError(f"{name} could use the consumer groups of {other}: rename one")
    for topic in topics:
        if not _NAME.fullmatch(topic.name) or _OF_A_DEPARTMENT.fullmatch(topic.name):
            raise DeclarationError(f"not a topic's name here: {topic.name!r}")
        if topic.partitions < 1 or topic.timestamp not in {"append", "create"}:
            raise DeclarationError(f"{topic.name}: impossible partitions or timestamp")
        if topic.retention_days is not None and topic.retention_days < 1:
            raise DeclarationError(f"{topic.name}: impossible retention_days")
        for strange in {*topic.writers, *topic.readers} - set(principals):
            raise DeclarationError(f"{topic.name}: {strange} is no declared principal")


def _topic_rights(topic: Topic) -> set[Right]:
    """Return the rights of a topic's writers and readers."""
    rights = {Right(writer, "write", "topic", topic.name) for writer in topic.writers}
    rights |= {Right(writer, "idempotent-write", "cluster", "kafka-cluster") for writer in topic.writers}
    return rights | {Right(reader, "read", "topic", topic.name) for reader in topic.readers}


_OPERATIONS = {
    "read": AclOperation.READ,
    "write": AclOperation.WRITE,
    "idempotent-write": AclOperation.IDEMPOTENT_WRITE,
}
_RESOURCES = {"topic": ResourceType.TOPIC, "group": ResourceType.GROUP, "cluster": ResourceType.BROKER}


def _acl_fields(right: Right) -> tuple[Any, ...]:
    return (
        _RESOURCES[right.resource],
        right.name,
        ResourcePatternType.PREFIXED if right.prefixed else ResourcePatternType.LITERAL,
        f"User:{right.principal}",
        "*",
        _OPERATIONS[right.operation],
        AclPermissionType.ALLOW,
    )


def _binding(right: Right) -> AclBinding:
    return AclBinding(*_acl_fields(right))


def _filter(right: Right) -> AclBindingFilter:
    return AclBindingFilter(*_acl_fields(right))


def _from_binding(binding: AclBinding) -> Right | None:
    """Return the right that a broker's access rule gives, or None for one of another kind."""
    resources: dict[Any, Literal["topic", "group", "cluster"]] = {
        ResourceType.TOPIC: "topic",
        ResourceType.GROUP: "group",
        ResourceType.BROKER: "cluster",
    }
    operations: dict[Any, Literal["read", "write", "idempotent-write"]] = {
        AclOperation.READ: "read",
        AclOperation.WRITE: "write",
        AclOperation.IDEMPOTENT_WRITE: "idempotent-write",
    }
    if (
        binding.restype not in resources
        or binding.operation not in operations
        or binding.permission_type != AclPermissionType.ALLOW
        or binding.host != "*"
        or not binding.principal.startswith("User:")
    ):
        return None
    return Right(
        binding.principal.removeprefix("User:"),
        operations[binding.operation],
        resources[binding.restype],
        binding.name,
        prefixed=binding.resource_pattern_type == ResourcePatternType.PREFIXED,
    )


def _settle(futures: Mapping[Any, Future[Any]], harmless: Collection[int] = ()) -> None:
    """Wait for all answers, then raise the first refusal that is not harmless."""
    refused: list[KafkaException] = []
    for future in futures.values():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() not in harmless:
                refused.append(error)
    if refused:
        raise refused[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
