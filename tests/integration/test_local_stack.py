"""The local stack, for real: isolation, durability, one suite per run folder, and no process left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from deploy.kafka.provision import Catalogue, Topic, client_config
from deploy.local.kafka import KafkaUnavailableError, fetch_jars, find_java
from deploy.local.lock import AlreadyRunningError, RunLock
from deploy.local.runfolder import CHECKOUT, Ports
from deploy.local.secrets import Secrets
from deploy.local.stack import SERVICES, LocalStack
from deploy.local.suite import GATEWAY, Suite
from deploy.local.supervisor import (
    NotRunningError,
    ProcessSpec,
    StartFailedError,
    Supervisor,
    http_ready,
    say_on_stderr,
)

SECONDS = 30.0

# Answers /readyz and, on /env, its own environment. `migrate` and the provisioner's commands end at once or wait.
STUB = """
    import json, os, signal, sys, threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps(dict(os.environ)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    print("stub", sys.argv[1:], flush=True)
    if sys.argv[1:] in (["migrate"], ["apply"]):
        sys.exit(0)
    if sys.argv[1:] == ["follow"]:
        threading.Event().wait()
    HTTPServer(("127.0.0.1", int(os.environ["HTTP_PORT"])), Answer).serve_forever()
"""


def until(condition: Callable[[], bool], seconds: float = SECONDS) -> None:
    """Wait for a condition; fail when it does not come in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come in time"
        time.sleep(0.02)


def needs_kafka() -> None:
    try:
        find_java()
        fetch_jars(say_on_stderr)
    except KafkaUnavailableError as error:
        pytest.skip(f"Apache Kafka is needed: {error}")


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack on Apache Kafka with all topics, the departments `water` and `roads` and rights as declared."""
    needs_kafka()
    with LocalStack(tmp_path_factory.mktemp("stack"), "kafka") as up:
        provisioner = up.provisioner()
        provisioner.apply(Catalogue.load())
        provisioner.provision_departments(["water", "roads"])
        yield up


def config_of(stack: LocalStack, principal: str) -> dict[str, Any]:
    env = stack.env_for(principal)
    return client_config(env["KAFKA_BOOTSTRAP_SERVERS"], env["KAFKA_USERNAME"], env["KAFKA_PASSWORD"])


def write(config: dict[str, Any], topic: str, value: str, key: str = "key") -> str | None:
    """Return None if the broker took the record, else the name of its refusal."""
    answers: list[KafkaError | None] = []
    limits = {"message.timeout.ms": 30_000, "message.max.bytes": 3_000_000}
    producer = Producer({**config, **limits, "acks": "all"})
    producer.produce(topic, value, key, on_delivery=lambda error, _: answers.append(error))
    assert producer.flush(2 * SECONDS) == 0
    error = answers[0]
    return error.name() if error else None


def read(config: dict[str, Any], topic: str, group: str) -> str:
    """Return the first record that the group gets of a topic, or the name of the broker's refusal."""
    reading = {"auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = Consumer({**config, **reading, "group.id": group})
    try:
        consumer.subscribe([topic])
        message = consumer.poll(2 * SECONDS)
        assert message is not None, "neither a record nor a refusal"
        error = message.error()
        return error.name() if error else (message.value() or b"").decode()
    finally:
        consumer.close()


def fetch_value(url: str, query: str) -> Any:
    async def ask() -> Any:
        connection = await asyncpg.connect(url.replace("+asyncpg", ""), timeout=SECONDS)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    return asyncio.run(ask())


REFUSED = "TOPIC_AUTHORIZATION_FAILED"


def test_a_service_reaches_its_own_database_and_no_other(stack: LocalStack) -> None:
    for service in SERVICES:
        url = stack.env_for(service)["DATABASE_URL"]
        assert fetch_value(url, "select current_user || '@' || current_database()") == f"{service}@{service}"
    own = stack.env_for("cases")["DATABASE_URL"]
    for other in ("identity", "postgres", "template1"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            fetch_value(own.removesuffix("/cases") + f"/{other}", "select 1")
    with pytest.raises(asyncpg.InvalidPasswordError):
        fetch_value(own.replace("//cases:", "//identity:"), "select 1")


def test_a_department_reads_what_is_routed_to_it_and_writes_its_replies(stack: LocalStack) -> None:
    water, cases = config_of(stack, "dept-water"), config_of(stack, "cases")
    assert write(cases, "department.water.routed", "a case") is None
    assert read(water, "department.water.routed", "department.water") == "a case"
    assert write(water, "department.water.replies", "an answer") is None
    assert read(cases, "department.water.replies", "cases") == "an answer"


def test_a_department_reaches_nothing_of_another(stack: LocalStack) -> None:
    water = config_of(stack, "dept-water")
    assert write(config_of(stack, "cases"), "department.roads.routed", "not for water") is None
    assert read(water, "department.roads.routed", "department.water") == REFUSED
    assert write(water, "department.roads.replies", "forged") == REFUSED
    assert write(water, "department.water.routed", "forged") == REFUSED
    assert read(water, "department.water.routed", "department.roads") == "GROUP_AUTHORIZATION_FAILED"
    wrong = {**water, "sasl.username": "dept-roads"}
    with pytest.raises(KafkaException):
        AdminClient(wrong).list_topics(timeout=3)


def test_commands_are_written_by_gateways_and_read_by_their_service_alone(stack: LocalStack) -> None:
    assert write(config_of(stack, "gateway"), "cases.commands", "a command") is None
    assert read(config_of(stack, "cases"), "cases.commands", "cases.commands") == "a command"
    groups = {"dept-water": "department.water", "identity": "identity", "auditor": "auditor"}
    for principal, group in groups.items():
        assert read(config_of(stack, principal), "cases.commands", group) == REFUSED
        assert write(config_of(stack, principal), "cases.commands", "forged") == REFUSED


def test_nobody_without_an_account_gets_in(stack: LocalStack) -> None:
    with pytest.raises(KafkaException):
        AdminClient(client_config(stack.broker.bootstrap, None, None)).list_topics(timeout=3)


def test_a_department_that_left_loses_its_account(stack: LocalStack) -> None:
    provisioner = stack.provisioner()
    provisioner.provision_department("parks")
    assert write(config_of(stack, "dept-parks"), "department.parks.replies", "an answer") is None
    provisioner.withdraw_departments(["parks"])
    provisioner.withdraw_departments(["parks"])

    def is_out() -> bool:  # a node of the broker may hear of it a moment later
        try:
            AdminClient(config_of(stack, "dept-parks")).list_topics(timeout=3)
        except KafkaException:
            return True
        return False

    until(is_out)


def test_applying_again_changes_nothing_but_takes_undeclared_rights_and_settings_back(
    stack: LocalStack,
) -> None:
    catalogue = Catalogue.load()
    provisioner = stack.provisioner()
    assert provisioner.apply(catalogue) == []
    large = "x" * 1_200_000
    provisioner.apply(Catalogue(catalogue.principals, tuple(map(_opened, catalogue.topics))))
    until(lambda: write(config_of(stack, "notify"), "clock.ticked", large) is None)
    provisioner.apply(catalogue)
    until(lambda: write(config_of(stack, "notify"), "clock.ticked", "a tick") == REFUSED)
    until(lambda: write(config_of(stack, "simulation"), "clock.ticked", large) == "MSG_SIZE_TOO_LARGE")
    assert write(config_of(stack, "simulation"), "clock.ticked", "a tick") is None


def _opened(topic: Topic) -> Topic:
    """Return the clock's topic with another writer and a longer limit, and every other as it is."""
    if topic.name != "clock.ticked":
        return topic
    return replace(topic, writers=("notify",), max_message_bytes=1_500_000)


def test_a_topic_with_other_partitions_is_reported_and_left(stack: LocalStack) -> None:
    admin = AdminClient(stack.broker.admin_config())
    admin.create_topics([NewTopic("department.narrow.replies", 2)])["department.narrow.replies"].result()
    differences = stack.provisioner().provision_department("narrow")
    assert len(differences) == 1
    assert "department.narrow.replies has 2 partitions, 1 are declared" in differences[0]


def test_the_follower_provisions_a_department_that_registers(stack: LocalStack, tmp_path: Path) -> None:
    follow = ProcessSpec(
        name="follow",
        argv=(sys.executable, "-m", "deploy.kafka.provision", "follow"),
        env={**stack.env_for("admin"), "DAIBIAOTONG_RUN": str(stack.run_dir)},
        cwd=CHECKOUT,
    )
    identity = config_of(stack, "identity")
    with Supervisor(tmp_path) as supervisor:
        supervisor.start(follow)
        log = supervisor.log_path("follow")
        until(lambda: "following department.changed" in log.read_text())
        for value in ("{", json.dumps({"data": {"code": "changed", "state": "active"}})):
            assert write(identity, "department.changed", value) is None
        # The last one is there once all that was said before it has been acted on.
        for code, state in (
            ("harbour", "active"),
            ("harbour", "left"),
            ("harbour", "active"),
            ("quay", "active"),
        ):
            value = json.dumps({"data": {"code": code, "state": state}})
            assert write(identity, "department.changed", value) is None
        announced = time.monotonic()
        until(lambda: re.search(r"provisioned: .*\bquay\b", log.read_text()) is not None)
        assert time.monotonic() - announced < 5
        assert log.read_text().count("is passed over") == 2
        assert write(config_of(stack, "dept-harbour"), "department.harbour.replies", "an answer") is None


def test_a_second_start_in_the_same_folder_is_refused(stack: LocalStack) -> None:
    with pytest.raises(AlreadyRunningError) as refusal:
        LocalStack(stack.run_dir).start()
    assert refusal.value.pid == os.getpid()
    done = subprocess.run(
        [sys.executable, CHECKOUT / "deploy/local/lock.py", stack.run_dir],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"pid {os.getpid()}" in done.stderr


def test_a_backend_that_is_killed_comes_back_with_its_data(stack: LocalStack) -> None:
    url = stack.env_for("learning")["DATABASE_URL"]
    stack.postgres.sql(
        "create table kept as select 42 as answer; grant select on kept to learning", "learning"
    )
    assert write(config_of(stack, "learning"), "course.published", "a course") is None
    for name in ("postgres", "kafka"):
        before = stack.supervisor.pid(name)
        stack.supervisor.kill(name, signal.SIGKILL)
        until(lambda name=name, before=before: stack.supervisor.pid(name) not in {None, before})  # type: ignore[misc]
        stack.supervisor.wait_ready(name)
    assert fetch_value(url, "select answer from kept") == 42
    assert read(config_of(stack, "auditor"), "course.published", "auditor") == "a course"


def test_a_killed_parent_takes_everything_along_and_the_next_start_finds_its_data(tmp_path: Path) -> None:
    needs_kafka()
    program = """
        import sys
        from pathlib import Path
        from deploy.local.stack import LocalStack
        stack = LocalStack(Path(sys.argv[1]), "kafka", databases=("cases",))
        stack.start()
        stack.postgres.sql("create table kept as select 42 as answer", "cases")
        stack.provisioner().provision_department("water")
        print(*map(stack.supervisor.pid, stack.supervisor.names()), flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    line = parent.stdout.readline()
    parent.kill()
    parent.wait()
    children = [int(word) for word in line.split()]
    assert len(children) == 2
    until(lambda: not any(_lives(pid) for pid in children))
    ports = json.loads((tmp_path / "ports.json").read_text())
    with LocalStack(tmp_path, "kafka", databases=("cases",)) as again:
        assert again.postgres.sql("select answer from kept", "cases") == "42"
        assert write(config_of(again, "dept-water"), "department.water.replies", "an answer") is None
        assert json.loads((tmp_path / "ports.json").read_text()) == ports


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_an_unfinished_first_start_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "postgres/data.new/base").mkdir(parents=True)
    with LocalStack(tmp_path, "tansu", databases=("cases",)) as stack:
        stack.postgres.sql("create table forgotten ()", "cases")
        assert "KAFKA_USERNAME" not in stack.env_for("cases")
        assert stack.env_for("cases")["KAFKA_IDEMPOTENCE"] == "false"
        differences = stack.provisioner().apply(Catalogue.load())
        assert "no isolation" in differences[0]
    pid_file = tmp_path / "postgres/data/postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{tmp_path}/postgres/data\n")
    with LocalStack(tmp_path, "tansu", databases=("cases",)) as stack:
        assert stack.postgres.sql("select count(*) from pg_class where relname = 'forgotten'", "cases") == "0"


def stub_program(folder: Path) -> tuple[str, ...]:
    file = folder / "stub.py"
    file.write_text(textwrap.dedent(STUB), encoding="utf-8")
    return (sys.executable, "-I", str(file))


def stub_spec(folder: Path, name: str, port: int) -> ProcessSpec:
    return ProcessSpec(
        name=name,
        argv=stub_program(folder),
        env={"HTTP_PORT": str(port)},
        ready=http_ready(f"http://127.0.0.1:{port}/readyz"),
        ready_seconds=SECONDS,
    )


def test_a_killed_process_is_restarted_and_a_stopped_one_is_not(tmp_path: Path) -> None:
    said: list[str] = []
    spec = stub_spec(tmp_path, "stub", Ports(tmp_path).take("stub"))
    with Supervisor(tmp_path, say=said.append, first_pause=0.05) as supervisor:
        supervisor.start(spec)
        first = supervisor.pid("stub")
        supervisor.kill("stub", signal.SIGKILL)
        until(lambda: supervisor.starts("stub") == 2)
        supervisor.wait_ready("stub")
        second = supervisor.pid("stub")
        assert first is not None
        assert second not in {None, first}
        assert "was ended by SIGKILL" in said[0]
        supervisor.stop_one("stub")
        assert supervisor.names() == []
        with pytest.raises(NotRunningError):
            supervisor.kill("stub", signal.SIGTERM)
        supervisor.restart("stub")
        last = supervisor.pid("stub")
    assert last is not None
    assert not _lives(last)
    assert list((tmp_path / "pids").iterdir()) == []


def _has_started(supervisor: Supervisor, name: str, times: int) -> bool:
    return supervisor.starts(name) == times


def test_the_pause_grows_with_the_ends_of_a_child_and_not_with_those_that_were_asked_for(
    tmp_path: Path,
) -> None:
    said: list[str] = []
    spec = stub_spec(tmp_path, "stub", Ports(tmp_path).take("stub"))
    with Supervisor(tmp_path, say=said.append, first_pause=0.1) as supervisor:
        supervisor.start(spec)
        for ends in range(1, 6):
            supervisor.wait_ready("stub")
            if ends <= 3:
                supervisor.kill("stub", signal.SIGKILL)
            else:
                pid = supervisor.pid("stub")
                assert pid is not None
                os.kill(pid, signal.SIGKILL)
            until(partial(_has_started, supervisor, "stub", ends + 1))
    assert [re.findall(r"in ([\d.]+) s", one) for one in said] == [
        ["0.1"],
        ["0.1"],
        ["0.1"],
        ["0.1"],
        ["0.2"],
    ]


def test_a_process_that_hangs_is_killed_with_its_children(tmp_path: Path) -> None:
    program = """
        import signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        print(child.pid, flush=True)
        time.sleep(600)
    """
    spec = ProcessSpec("deaf", (sys.executable, "-c", textwrap.dedent(program)), stop_seconds=0.2)
    with Supervisor(tmp_path, say=lambda _: None) as supervisor:
        supervisor.start(spec)
        log = supervisor.log_path("deaf")
        until(lambda: log.exists() and log.read_text().strip() != "")
    until(lambda: not _lives(int(log.read_text())))


def test_a_failed_start_shows_the_end_of_the_log(tmp_path: Path) -> None:
    broken = ProcessSpec(
        "broken", (sys.executable, "-c", "raise SystemExit('no such setting')"), ready=lambda: "no"
    )
    deaf = stub_spec(tmp_path, "late", Ports(tmp_path).take("late"))
    with Supervisor(tmp_path) as supervisor:
        with pytest.raises(StartFailedError, match=r"ended with exit code 1(.|\n)*no such setting"):
            supervisor.start(broken)
        with pytest.raises(StartFailedError, match="no such setting"):
            supervisor.run_once([broken])
        with pytest.raises(StartFailedError, match=r"could not be started|exit code"):
            supervisor.start(ProcessSpec("absent", ("/nonexistent/program",), ready=lambda: "no"))
        supervisor.start(deaf, wait=False)
        with pytest.raises(StartFailedError, match="never"):
            supervisor.start(
                ProcessSpec(
                    "unready", deaf.argv, {"HTTP_PORT": "0"}, ready=lambda: "never", ready_seconds=0.3
                )
            )


def test_the_children_of_a_killed_supervisor_die(tmp_path: Path) -> None:
    program = """
        import sys
        from pathlib import Path
        from deploy.local.supervisor import ProcessSpec, Supervisor
        supervisor = Supervisor(Path(sys.argv[1]))
        for name in ("one", "two"):
            supervisor.start(ProcessSpec(name, (sys.executable, "-c", "import signal; signal.pause()")))
        print(supervisor.pid("one"), supervisor.pid("two"), flush=True)
        sys.stdin.read()
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), tmp_path],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    children = [int(word) for word in parent.stdout.readline().split()]
    assert len(children) == 2
    assert all(_lives(pid) for pid in children)
    parent.kill()
    parent.wait()
    until(lambda: not any(_lives(pid) for pid in children))


def test_what_an_earlier_supervisor_left_is_ended_and_a_reused_pid_is_spared(tmp_path: Path) -> None:
    left = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    innocent = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    try:
        pids = tmp_path / "pids"
        pids.mkdir()
        (pids / "left").write_text(
            f"{left.pid} {psutil.Process(left.pid).create_time()} {int(signal.SIGTERM)}"
        )
        (pids / "reused").write_text(f"{innocent.pid} 12345.0 {int(signal.SIGTERM)}")
        said: list[str] = []
        Supervisor(tmp_path, say=said.append)
        assert not _lives(left.pid)
        assert innocent.poll() is None
        assert len(said) == 1
    finally:
        for process in (left, innocent):
            process.kill()
            process.wait()


def test_a_stale_lock_is_taken_over_and_secrets_stay(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("4194304")
    lock = RunLock(tmp_path)
    assert lock.acquire() == 4194304
    with pytest.raises(AlreadyRunningError):
        RunLock(tmp_path).acquire()
    lock.release()
    assert RunLock(tmp_path).acquire() is None
    secrets = Secrets(tmp_path)
    assert Secrets(tmp_path).get("operator") == secrets.get("operator") != secrets.get("simulation")
    assert secrets.kafka_password("dept-water") == Secrets(tmp_path).department_password("water")
    assert (tmp_path / "secrets.json").stat().st_mode & 0o777 == 0o600


def test_the_suite_starts_scales_and_stops(tmp_path: Path) -> None:
    programs = dict.fromkeys((*SERVICES, GATEWAY, "provisioner", "warehouse"), stub_program(tmp_path))
    suite = Suite(
        tmp_path,
        broker="tansu",
        replicas={"cases": 2},
        extra_env={"cases": {"COLOUR": "red"}},
        programs=programs,
        fsync=False,
    )
    with suite:
        gateway = _environment(suite.gateway_url)
        assert json.loads(gateway["SERVICE_URLS"]) == suite.service_urls
        assert len(suite.service_urls["cases"]) == 2
        assert "DATABASE_URL" not in gateway
        cases = _environment(suite.service_urls["cases"][1])
        assert (cases["INSTANCE"], cases["COLOUR"], cases["BUSINESS_TIME"]) == ("cases-2", "red", "message")
        assert cases["JWKS_URL"] == suite.service_urls["identity"][0] + "/jwks"
        assert "IDENTITY_CLIENTS" not in cases
        identity = _environment(suite.service_urls["identity"][0])
        assert set(json.loads(identity["IDENTITY_CLIENTS"])) == {"intake", "operator", "simulation"}
        suite.scale("cases", 3)
        assert _environment(suite.service_urls["cases"][2])["INSTANCE"] == "cases-3"
        suite.scale("cases", 1)
        names = suite.supervisor.names()
        assert [name for name in names if name.startswith("cases")] == ["cases-1"]
        pids = [pid for name in names if (pid := suite.supervisor.pid(name))]
        assert len(pids) == len(names) == 2 + 1 + len(SERVICES) + 1
    assert not any(_lives(pid) for pid in pids)


def _environment(url: str) -> dict[str, str]:
    with urllib.request.urlopen(f"{url}/env", timeout=SECONDS) as answer:  # noqa: S310
        environment: dict[str, str] = json.load(answer)
    return environment
