"""Which broker a run uses: one named in the environment, Apache Kafka, or Tansu, and why.

The ladder: `KAFKA_BOOTSTRAP_SERVERS`, where it is set; else Apache Kafka (durable, with accounts and access
rights); else Tansu. `BROKER=kafka` or `BROKER=tansu` forces a rung, and then its absence is an error.
A broker of one's own is used with the accounts that `KAFKA_USERNAME` and `KAFKA_PASSWORD` (an administrator)
allow to make (over `KAFKA_SECURITY_PROTOCOL`); without these two it is taken as open.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from deploy.kafka.provision import SASL_PLAINTEXT, admin_answers, client_config
from deploy.local.kafka import ADMIN, Kafka, KafkaUnavailableError
from deploy.local.runfolder import Ports
from deploy.local.secrets import Secrets
from deploy.local.supervisor import ProcessSpec, Say
from deploy.local.tansu import Tansu, TansuUnavailableError

Kind = Literal["kafka", "tansu", "external"]


class BrokerError(RuntimeError):
    """No broker can be provided as asked; the message is one line that says why."""


@dataclass(frozen=True)
class Broker:
    """A broker that was chosen: where it is, its administrator's account, and its process, if it is ours."""

    kind: Kind
    bootstrap: str
    reason: str
    username: str | None
    password: str | None
    process: ProcessSpec | None = None
    security_protocol: str = SASL_PLAINTEXT

    def admin_config(self) -> dict[str, Any]:
        """Return librdkafka's settings for reaching it as its administrator."""
        return client_config(self.bootstrap, self.username, self.password, self.security_protocol)

    @property
    def isolates(self) -> bool:
        """Whether each principal has an account and rights of its own here."""
        return self.username is not None

    @property
    def keeps_data(self) -> bool:
        """Whether records outlive a restart of the broker."""
        return self.kind != "tansu"


def choose_broker(
    run_dir: Path, secrets: Secrets, ports: Ports, *, say: Say, forced: str | None = None
) -> Broker:
    """Go down the ladder and prepare the first broker that can be had; `forced` comes before `BROKER`.

    Raises:
        BrokerError: the forced rung is unknown or not to be had, or no rung is.
    """
    forced = forced or os.environ.get("BROKER") or None
    if forced not in {None, "kafka", "tansu"}:
        raise BrokerError(f"BROKER={forced} is unknown: kafka or tansu")
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if forced is None and bootstrap:
        return _external(bootstrap)
    why_not = ""
    if forced != "tansu":
        try:
            return _apache(run_dir, secrets, ports, say, forced is not None)
        except KafkaUnavailableError as error:
            if forced:
                raise BrokerError(f"BROKER=kafka: {error}") from None
            why_not = str(error)
    try:
        return _tansu(run_dir, ports, "BROKER=tansu" if forced else f"no Apache Kafka, because {why_not}")
    except TansuUnavailableError as error:
        raise BrokerError(f"no broker: {f'{why_not}; ' if why_not else ''}{error}") from None


def _external(bootstrap: str) -> Broker:
    return Broker(
        kind="external",
        bootstrap=bootstrap,
        reason="KAFKA_BOOTSTRAP_SERVERS is set",
        username=os.environ.get("KAFKA_USERNAME") or None,
        password=os.environ.get("KAFKA_PASSWORD") or None,
        security_protocol=os.environ.get("KAFKA_SECURITY_PROTOCOL") or SASL_PLAINTEXT,
    )


def _apache(run_dir: Path, secrets: Secrets, ports: Ports, say: Say, forced: bool) -> Broker:
    kafka = Kafka(run_dir, secrets, ports, say=say)
    password = secrets.kafka_password(ADMIN)
    config = client_config(kafka.bootstrap, ADMIN, password)
    return Broker(
        kind="kafka",
        bootstrap=kafka.bootstrap,
        reason="BROKER=kafka" if forced else "Java and its jars are here",
        username=ADMIN,
        password=password,
        process=kafka.prepare(lambda: admin_answers(config, leaders=True)),
    )


def _tansu(run_dir: Path, ports: Ports, reason: str) -> Broker:
    tansu = Tansu(run_dir, ports)
    config = client_config(tansu.bootstrap, None, None)
    return Broker(
        kind="tansu",
        bootstrap=tansu.bootstrap,
        reason=reason,
        username=None,
        password=None,
        process=tansu.prepare(lambda: admin_answers(config)),
    )
