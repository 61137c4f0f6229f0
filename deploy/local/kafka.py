"""Apache Kafka as one KRaft node on the loopback address, out of jars that Maven fetches once.

The jars (44 MB, version and parts as in `deploy/kafka/pom.xml`) stand in
`${XDG_CACHE_HOME:-~/.cache}/daibiaotong/kafka-<version>`, which appears whole or not at all. With the jars
there, Java 17 alone is enough.

Nothing about the broker is open: clients sign in with SCRAM-SHA-512, the controller's listener wants a
password of its own, and without an access rule nobody but `admin` may do anything. Topics are never made by
use. Data and cluster id stay in the run folder; SIGTERM stops the node cleanly, a SIGKILL is recovered from.

Measured (2 cores, Java 17, 350 partitions): ready 2 s after its start on a quiet machine, 5 s beside a load of
4; formatting 0.7 s; stop 0.5 s; back 5 s after a SIGKILL, of which 3 s are the old session. Resident 275 MB,
under 150,000 records/s 300 MB. G1 starts as fast and carries the same load with 420 MB, hence the serial
collector.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree as ET

from deploy.local.runfolder import CHECKOUT, Ports, make_private_folder, write_private
from deploy.local.secrets import Secrets
from deploy.local.supervisor import ProcessSpec, Readiness, Say

ADMIN = "admin"
OLDEST_JAVA = 17
_CONTROLLER = "controller"
_POM = CHECKOUT / "deploy" / "kafka" / "pom.xml"
_LOGGING = Path(__file__).with_name("log4j2.properties")
_HEAP = (
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)


class KafkaUnavailableError(RuntimeError):
    """Apache Kafka cannot be provided here; the message is one line that says why."""


class Kafka:
    """The node of one run folder.

    Raises:
        KafkaUnavailableError: Java or the jars are missing and cannot be had.
    """

    def __init__(self, run_dir: Path, secrets: Secrets, ports: Ports, *, say: Say) -> None:
        self._java = find_java()
        self._jars = fetch_jars(say)
        self._home = make_private_folder(run_dir / "kafka")
        self._data = self._home / "data"
        self._secrets = secrets
        self._port = ports.take("kafka")
        self._controller_port = ports.take("kafka-controller")
        self.bootstrap = f"127.0.0.1:{self._port}"

    def prepare(self, ready: Readiness) -> ProcessSpec:
        """Write the configuration, format the data folder if there is none, and return the process.

        Raises:
            KafkaUnavailableError: formatting failed.
        """
        properties = self._home / "server.properties"
        write_private(properties, _render(self._properties(self._data)))
        if not self._data.exists():
            self._format()
        return ProcessSpec(
            name="kafka",
            argv=(*self._java_command(), "kafka.Kafka", str(properties)),
            cwd=self._home,
            ready=ready,
            ready_seconds=120,
            stop_seconds=30,
            death_signal=signal.SIGTERM,
        )

    def _java_command(self) -> tuple[str, ...]:
        return (str(self._java), *_HEAP, f"-Dlog4j2.configurationFile={_LOGGING}", "-cp", f"{self._jars}/*")

    def _format(self) -> None:
        """Make the data folder with the admin's password in it; it comes to its place whole or not at all."""
        new = self._home / "data.new"
        if new.exists():
            shutil.rmtree(new)
        properties = self._home / "format.properties"
        arguments = self._home / "format.arguments"
        password = self._secrets.kafka_password(ADMIN)
        cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        if cluster_id.startswith("-"):
            cluster_id = f"A{cluster_id[1:]}"
        write_private(properties, _render(self._properties(new)))
        # From a file, because arguments of a process can be read by every user of the machine.
        lines = ["format", "--cluster-id", cluster_id, "--config", str(properties)]
        lines += ["--add-scram", f"SCRAM-SHA-512=[name={ADMIN},password={password}]"]
        write_private(arguments, "\n".join(lines) + "\n")
        try:
            done = subprocess.run(
                [*self._java_command(), "kafka.tools.StorageTool", f"@{arguments}"],
                cwd=self._home,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            arguments.unlink()
            properties.unlink()
        if done.returncode != 0:
            raise KafkaUnavailableError(f"Kafka could not format its data folder: {_last_line(done)}")
        new.rename(self._data)

    def _properties(self, data: Path) -> Mapping[str, str]:
        login = "org.apache.kafka.common.security"
        admin, controller = self._secrets.kafka_password(ADMIN), self._secrets.kafka_password(_CONTROLLER)
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{self._controller_port}",
            "listeners": f"CLIENT://{self.bootstrap},CONTROLLER://127.0.0.1:{self._controller_port}",
            "advertised.listeners": f"CLIENT://{self.bootstrap}",
            "listener.security.protocol.map": "CLIENT:SASL_PLAINTEXT,CONTROLLER:SASL_PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512",
            "sasl.mechanism.inter.broker.protocol": "SCRAM-SHA-512",
            "sasl.mechanism.controller.protocol": "PLAIN",
            "listener.name.controller.sasl.enabled.mechanisms": "PLAIN",
            "listener.name.controller.plain.sasl.jaas.config": (
                f"{login}.plain.PlainLoginModule required "
                f'username="{_CONTROLLER}" password="{controller}" user_{_CONTROLLER}="{controller}";'
            ),
            "listener.name.client.scram-sha-512.sasl.jaas.config": (
                f'{login}.scram.ScramLoginModule required username="{ADMIN}" password="{admin}";'
            ),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": f"User:{ADMIN};User:{_CONTROLLER}",
            "log.dirs": str(data),
            "auto.create.topics.enable": "false",
            "default.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "offsets.topic.replication.factor": "1",
            "transaction.state.log.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "share.coordinator.state.topic.num.partitions": "1",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            "group.initial.rebalance.delay.ms": "200",
            # The default of 128 MB is a quarter of this heap; 16 MB still compacts 600,000 keys in one pass.
            "log.cleaner.dedupe.buffer.size": "16777216",
            # After a SIGKILL the node may sign on again only when its old session has run out (default: 9 s).
            "broker.session.timeout.ms": "3000",
            "broker.heartbeat.interval.ms": "500",
            "num.network.threads": "2",
            "num.io.threads": "4",
        }


def find_java() -> Path:
    """Return a Java program of version 17 or later: that of `JAVA_HOME`, else the one in the path.

    Raises:
        KafkaUnavailableError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    for named in (home and f"{home}/bin/java", shutil.which("java")):
        if named and os.access(named, os.X_OK):
            java = Path(named)
            done = subprocess.run([java, "-version"], capture_output=True, text=True, check=False)
            found = re.search(r'version "(\d+)', done.stderr)
            if found and int(found[1]) >= OLDEST_JAVA:
                return java
    raise KafkaUnavailableError(f"Java {OLDEST_JAVA} or later is not here")


def kafka_version() -> str:
    """Return the version that the build file names."""
    version = ET.parse(_POM).findtext(".//{*}kafka.version")  # noqa: S314  (a file of this repository)
    if not version:
        raise KafkaUnavailableError(f"{_POM} names no kafka.version")
    return version


def fetch_jars(say: Say) -> Path:
    """Return the folder with Kafka's jars, filling it through Maven the first time.

    Raises:
        KafkaUnavailableError: Maven is missing or could not fetch them.
    """
    version = kafka_version()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "daibiaotong"
    folder = cache / f"kafka-{version}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise KafkaUnavailableError("Maven (mvn) is not here to fetch Kafka with")
    say(f"fetching Apache Kafka {version} through Maven (44 MB, only this once) …")
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".kafka-{version}-", dir=cache) as scratch:
        jars = Path(scratch) / "jars"
        done = subprocess.run(
            [
                maven,
                "-q",
                "-B",
                "-Dstyle.color=never",
                "-f",
                _POM,
                "dependency:copy-dependencies",
                f"-DoutputDirectory={jars}",
            ],
            cwd=scratch,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0 or not (jars / f"kafka_2.13-{version}.jar").exists():
            raise KafkaUnavailableError(f"Maven could not fetch Kafka {version}: {_last_line(done)}")
        try:
            jars.rename(folder)
        except OSError:
            # Another process was faster; its folder is whole, or there would be none.
            if not folder.is_dir():
                raise
    return folder


def _render(properties: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in properties.items())


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the first error that a program stated, else its last line, shortened to be read at a glance."""
    lines = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    errors = [line for line in lines if "ERROR" in line or "Exception" in line]
    return (errors[:1] or lines[-1:] or [f"exit code {done.returncode}"])[0][:300]
