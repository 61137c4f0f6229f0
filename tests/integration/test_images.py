"""The Dockerfile and docker-compose.yml, as far as they can be proved without images.

What needs Docker itself (the build, the start of all containers) is written down in deploy/docker/README.md.
"""

from __future__ import annotations

import http.server
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import pytest

from deploy.docker import make_secrets
from deploy.kafka.provision import Catalogue
from deploy.local.postgres import find_binaries
from deploy.local.runfolder import CHECKOUT
from deploy.local.secrets import Secrets
from deploy.local.stack import SERVICES, LocalStack

SERVING = (*SERVICES, "gateway")
SCRIPTS = CHECKOUT / "deploy" / "docker"
PRINCIPALS = Catalogue.load().principals
Compose = dict[str, dict[str, Any]]


def compose(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the wheel's Compose in an environment that sets nothing."""
    program = Path(sys.executable).with_name("docker-compose")
    assert program.exists(), "the development extra brings docker-compose"
    return subprocess.run(
        [program, "--project-directory", CHECKOUT, *arguments],
        env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"]},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def containers() -> Compose:
    """The services of docker-compose.yml as Compose understands them."""
    done = compose("--env-file", os.devnull, "config", "--format", "json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout)["services"])


@pytest.fixture(scope="module")
def shares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The containers' secret folders, filled as the one-shot `secrets` does."""
    vault = Secrets(tmp_path_factory.mktemp("vault"))
    folder = tmp_path_factory.mktemp("share")
    found = make_secrets.shares(vault, PRINCIPALS)
    for container in found:
        (folder / container).mkdir()
    make_secrets.hand_out(found, folder, os.getuid())
    return folder


def files(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text("utf-8") for file in sorted(folder.iterdir())}


def mounts(container: dict[str, Any]) -> dict[str, str]:
    return {mount["target"]: mount["source"] for mount in container.get("volumes", [])}


def test_compose_accepts_the_file_without_any_setting() -> None:
    done = compose("--env-file", os.devnull, "config", "--quiet")
    assert (done.returncode, done.stderr) == (0, "")


def test_the_example_settings_are_the_defaults(containers: Compose) -> None:
    done = compose("--env-file", str(CHECKOUT / ".env.example"), "config", "--format", "json")
    assert json.loads(done.stdout)["services"] == containers


@pytest.mark.parametrize("name", SERVING)
def test_a_process_finds_every_setting_it_needs_and_runs_in_real_time(
    containers: Compose, shares: Path, name: str
) -> None:
    module = importlib.import_module("gateway.settings" if name == "gateway" else f"services.{name}.settings")
    told = {key: value for key, value in containers[name]["environment"].items() if value is not None}
    secret = files(shares / name)
    assert not told.keys() & secret.keys()
    with mock.patch.dict(os.environ, told | secret, clear=True):
        settings = getattr(module, f"{name.capitalize()}Settings")()
    assert settings.environment == "production"
    assert settings.business_time == "append"
    assert settings.allow_simulated_time is False
    assert settings.kafka_username == name


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_and_its_migration_are_the_same_image_with_the_same_secrets(
    containers: Compose, name: str
) -> None:
    service, migration = containers[name], containers[f"migrate-{name}"]
    for key in ("image", "build", "environment", "volumes"):
        assert service[key] == migration[key]
    assert service["build"]["args"]["SERVICE"] == f"services.{name}"
    assert migration["command"] == ["migrate"]


def test_what_learns_is_told_what_cases_is_told_and_sees_no_photos(containers: Compose) -> None:
    learner, cases = containers["learn-cases"], containers["cases"]
    assert learner["command"] == ["keep-learning"]
    for key in ("image", "build", "environment", "healthcheck"):
        assert learner[key] == cases[key]
    assert mounts(learner).keys() == {"/run/secrets"}


def test_a_secret_volume_is_mounted_by_one_program_alone(containers: Compose) -> None:
    seen = {
        name: {
            source for source in mounts(found).values() if source.endswith("-secrets") or source == "vault"
        }
        for name, found in containers.items()
        if name != "secrets"
    }
    for name, sources in seen.items():
        owner = "provisioner" if name == "topics" else re.sub("^(migrate|learn)-", "", name)
        assert sources == {f"{owner}-secrets"}


def test_the_secrets_reach_every_container_that_waits_for_them(containers: Compose, shares: Path) -> None:
    handed = {
        target.removeprefix("/share/"): source
        for target, source in mounts(containers["secrets"]).items()
        if target != "/vault"
    }
    assert handed == {share.name: f"{share.name}-secrets" for share in shares.iterdir()}
    for name in handed:
        assert mounts(containers[name])["/run/secrets"] == f"{name}-secrets"


def test_no_secret_stands_in_the_compose_file_or_the_example(containers: Compose, shares: Path) -> None:
    names = {file.name for share in shares.iterdir() for file in share.iterdir()}
    told = {key for found in containers.values() for key in found.get("environment") or {}}
    assert not told & names
    assert {key for key in told if re.search("PASSWORD|SECRET|KEY", key)} <= {
        "POSTGRES_PASSWORD_FILE",
        "IDENTITY_KEYS_DIR",
    }
    example = re.findall(r"^#? ?([A-Z_]+)=", (CHECKOUT / ".env.example").read_text("utf-8"), re.MULTILINE)
    assert example
    assert not [name for name in example if re.search("PASSWORD|SECRET|KEY|TOKEN", name)]


def test_every_service_can_be_scaled_and_is_found_by_its_name(containers: Compose) -> None:
    for name, found in containers.items():
        assert "container_name" not in found
        assert "hostname" not in found
        assert "ports" not in found or name == "gateway"
    told = containers["gateway"]["environment"]
    urls = {
        service: [urlsplit(url) for url in found]
        for service, found in json.loads(told["SERVICE_URLS"]).items()
    }
    assert urls.keys() == set(SERVICES)
    for service, (url,) in urls.items():
        assert (url.hostname, str(url.port)) == (service, containers[service]["environment"]["HTTP_PORT"])
    assert urlsplit(told["JWKS_URL"]).hostname == "identity"


def test_nothing_starts_before_what_it_needs_is_there(containers: Compose) -> None:
    needs = {
        name: {other: wait["condition"] for other, wait in found.get("depends_on", {}).items()}
        for name, found in containers.items()
    }
    done, healthy = "service_completed_successfully", "service_healthy"
    assert needs["postgres"] == needs["kafka"] == {"secrets": done}
    assert needs["topics"] == {"kafka": healthy}
    assert needs["provisioner"] == needs["gateway"] == {"topics": done}
    assert needs["learn-cases"] == {"migrate-cases": done}
    for name in SERVICES:
        assert needs[f"migrate-{name}"] == {"postgres": healthy}
        assert needs[name] == {f"migrate-{name}": done, "topics": done}
    for name, found in containers.items():
        once = name in {"secrets", "topics"} or name.startswith("migrate-")
        assert found["restart"] == ("no" if once else "unless-stopped")
        assert once or name == "provisioner" or found["healthcheck"]["test"][0] == "CMD"


def test_our_containers_have_no_rights_to_spare(containers: Compose) -> None:
    for name, found in containers.items():
        if "build" in found:
            assert (found["read_only"], found["cap_drop"], found["init"]) == (True, ["ALL"], True)
            assert ("user" in found) == (name == "secrets")


def test_making_secrets_again_changes_none(tmp_path: Path) -> None:
    first = make_secrets.shares(Secrets(tmp_path), PRINCIPALS)
    assert make_secrets.shares(Secrets(tmp_path), PRINCIPALS) == first
    other = make_secrets.shares(Secrets(tmp_path / "other"), PRINCIPALS)
    assert all(other[container] != files for container, files in first.items())


def test_the_provisioner_gives_accounts_the_passwords_that_the_programs_have(shares: Path) -> None:
    before = files(shares / "provisioner")
    known = Secrets(shares / "provisioner")
    for name in SERVING:
        assert known.kafka_password(name) == (shares / name / "KAFKA_PASSWORD").read_text("utf-8")
    for principal in (*PRINCIPALS, "dept-water"):
        known.kafka_password(principal)
    assert (shares / "provisioner" / "secrets.json").read_text("utf-8") == before["secrets.json"]
    assert (shares / "kafka" / "admin").read_text("utf-8") == before["KAFKA_PASSWORD"]
    assert "postgres" not in before["secrets.json"]
    assert "sealing" not in before["secrets.json"]


def test_people_can_be_shown_the_secrets_meant_for_people_alone(tmp_path: Path) -> None:
    vault = Secrets(tmp_path)
    found = make_secrets.shares(vault, PRINCIPALS)
    client = json.loads(found["identity"]["IDENTITY_CLIENTS"])["operator"]
    assert make_secrets.show(vault, PRINCIPALS, "operator") == client["secret"]
    assert make_secrets.show(vault, PRINCIPALS, "kafka.dept-water") == vault.department_password("water")
    for name in ("postgres.superuser", "sealing.cases", "digest", "kafka.controller", "kafka.", "auditor"):
        with pytest.raises(LookupError):
            make_secrets.show(vault, PRINCIPALS, name)


def test_each_database_admits_its_own_role_alone(stack: LocalStack, tmp_path: Path) -> None:
    passwords = {"red": "one'password", "blue": "another\\password"}
    for name, password in passwords.items():
        (tmp_path / f"database.{name}").write_text(password)
    env = {
        "PATH": f"{find_binaries()}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(stack.postgres.port),
        "PGPASSWORD": stack.secrets.get("postgres.superuser"),
        "SECRETS_DIR": str(tmp_path),
    }
    for _ in range(2):
        subprocess.run(["bash", SCRIPTS / "postgres" / "databases.sh"], env=env, check=True)

    def owner(role: str, database: str) -> str:
        """Connect as the role and ask; else what the server said."""
        question = "select pg_get_userbyid(datdba) from pg_database where datname = current_database()"
        done = subprocess.run(
            ["psql", "-X", "-A", "-t", "-U", role, "-d", database, "-c", question],
            env=env | {"PGPASSWORD": passwords[role]},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    for name in passwords:
        assert owner(name, name) == name
    for role, database in (("red", "blue"), ("blue", "red"), ("red", "cases"), ("red", "postgres")):
        assert "does not have CONNECT privilege" in owner(role, database)


def test_kafka_is_guarded_as_on_one_machine(stack: LocalStack) -> None:
    if stack.broker.kind != "kafka":
        pytest.skip("only Apache Kafka has accounts")

    def properties(path: Path) -> dict[str, str]:
        lines = [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]
        return dict(line.split("=", 1) for line in lines)

    here = properties(stack.run_dir / "kafka" / "server.properties")
    composed = properties(SCRIPTS / "kafka" / "server.properties")
    secret = re.compile(r'"[^"]{30,}"')
    guards = [
        key for key in here if re.search(r"sasl|security|authorizer|acl|super\.users|auto\.create", key)
    ]
    assert len(guards) >= 10
    for key in guards:
        assert re.sub(r'"\$\{secret:[^}]*\}"', "***", composed[key]) == secret.sub("***", here[key])
    assert "password=" not in re.sub(
        r'password="\$\{secret:/run/secrets:\w+\}"', "", "".join(composed.values())
    )


def test_the_dockerfile_needs_no_buildkit_and_runs_without_rights() -> None:
    text = (CHECKOUT / "Dockerfile").read_text("utf-8")
    steps = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    words = {step.split()[0] for step in steps}
    assert words <= {"ARG", "FROM", "ENV", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT"}
    assert not re.search(r"^#\s*(syntax|check)=", text, re.MULTILINE)
    # Copying from an earlier stage is older than BuildKit; every other option of a step is BuildKit's.
    assert not [step for step in steps if re.search(r"^(RUN|COPY|ADD) --(?!from=)|<<", step)]
    assert [step for step in steps if step.startswith("USER")] == [f"USER {make_secrets.USER_ID}"]
    assert "[project]" not in text
    assert "['project']['dependencies']" in text


def test_an_image_holds_the_programs_and_nothing_else() -> None:
    rules = [
        line
        for line in (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines()
        if line and line[0] != "#"
    ]
    assert rules[0] == "*"
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    programs = {"shared", "services", "gateway", "deploy", "warehouse"}
    assert let_in == {"pyproject.toml", "constraints.txt", "web"} | programs
    last_stage = (CHECKOUT / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]
    copied = re.findall(r"^COPY (.+) \S+$", last_stage, re.MULTILINE)
    assert {*copied} == {"pyproject.toml constraints.txt", "--from=web /app/web/dist"} | programs


def test_a_program_gets_its_secrets_and_the_containers_signals(tmp_path: Path) -> None:
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "A_PASSWORD").write_text("it's $HOME\\n")
    (secrets / "secrets.json").write_text("{}")
    (tmp_path / "program.py").write_text(
        "import json, os, signal, sys, threading\n"
        "stop = threading.Event()\n"
        "signal.signal(signal.SIGTERM, lambda *_: stop.set())\n"
        "print(json.dumps([os.getpid(), sys.argv[1:], dict(os.environ)]), flush=True)\n"
        "stop.wait()\n"
        "sys.exit(7)\n"
    )
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    started = subprocess.Popen(
        ["/bin/sh", SCRIPTS / "start.sh", "migrate"],
        cwd=tmp_path,
        env={"PATH": f"{folder}:{os.environ['PATH']}", "SERVICE": "program", "SECRETS_DIR": str(secrets)},
        stdout=subprocess.PIPE,
    )
    try:
        assert started.stdout
        pid, arguments, environment = json.loads(started.stdout.readline())
        assert (pid, arguments) == (started.pid, ["migrate"])
        assert environment["A_PASSWORD"] == "it's $HOME\\n"
        assert environment["INSTANCE"]
        assert "secrets.json" not in environment
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == 7
    finally:
        started.kill()
        started.wait()


@pytest.fixture
def answering() -> Iterator[tuple[int, list[int]]]:
    """A port that answers with the status in the list."""
    status = [200]

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status[0] if self.path == "/readyz" else 404)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, status
        server.shutdown()
        thread.join()


def test_the_health_check_asks_the_program_itself(
    containers: Compose, answering: tuple[int, list[int]]
) -> None:
    port, status = answering
    command = containers["cases"]["healthcheck"]["test"]
    assert command[:2] == ["CMD", "python"]

    def probe(at: int) -> int:
        return subprocess.run(
            [sys.executable, *command[2:]],
            cwd=CHECKOUT,
            env={"HTTP_PORT": str(at)},
            capture_output=True,
            check=False,
        ).returncode

    assert probe(port) == 0
    status[0] = 503
    assert probe(port) == 1
    assert probe(9) == 1


def test_every_shell_script_can_be_read_by_its_shell() -> None:
    scripts = [*SCRIPTS.rglob("*.sh"), CHECKOUT / ".ci" / "run"]
    assert len(scripts) >= 7
    for script in scripts:
        shell = Path(script.read_text("utf-8").splitlines()[0].removeprefix("#!"))
        assert shutil.which(shell.name)
        subprocess.run([shell.name, "-n", script], check=True)
        assert os.access(script, os.X_OK) or script.name == "postgres-entrypoint.sh"
