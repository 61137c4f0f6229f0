"""Real backends for the tests: PostgreSQL and Apache Kafka (BROKER=tansu for the fallback), new for each file."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any
from uuid import uuid4

import pytest
import pytest_asyncio
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from deploy.kafka.provision import Catalogue, Topic
from deploy.local.runfolder import PORT_RANGE
from deploy.local.stack import LocalStack
from deploy.local.supervisor import ProcessSpec, http_ready
from shared.messaging.kafka import make_producer
from shared.security.sealing import Opener, Sealer, new_private_key
from shared.security.tokens import signing_key_of
from shared.settings import KafkaSettings
from shared.testing.issuer import Issuer

CHECKOUT = Path(__file__).resolve().parents[1]
BROKER = os.environ.get("BROKER", "kafka")

# A broker lives for some seconds here: what the second compiler gains it has paid for by then.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

if "PYTEST_XDIST_WORKER" in os.environ:  # each of several processes of one run takes ports of its own
    _width = len(PORT_RANGE) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    _first = PORT_RANGE.start + _width * int(os.environ["PYTEST_XDIST_WORKER"].removeprefix("gw"))
    os.environ["DAIBIAOTONG_PORTS"] = f"{_first}-{_first + _width - 1}"

# How long an example takes says how busy the machine is, nothing about the claim; pytest's timeout holds.
settings.register_profile("claims", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("claims")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="also the long runs")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--full"):
        long = [item for item in items if item.get_closest_marker("full")]
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if item not in long]


def pytest_collection_finish() -> None:
    gc.freeze()  # what was imported and collected stays to the end: the collector need not walk it again and again


class _ByTown(LoadFileScheduling):
    """Each file goes to one process, and the browser's files all to the same: they share a town."""

    def _split_scope(self, nodeid: str) -> str:
        return "tests/browser" if nodeid.startswith("tests/browser/") else super()._split_scope(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _ByTown(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def rested_stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a stack at rest that has every topic and account: what each new stack is a copy of."""
    folder = tmp_path_factory.mktemp("rested-stack")
    # Java keeps what it made of the broker's classes, and every later broker starts with it in half the time.
    archive, options = tmp_path_factory.mktemp("java") / "kafka.jsa", os.environ["JAVA_TOOL_OPTIONS"]
    os.environ["JAVA_TOOL_OPTIONS"] = f"{options} -XX:ArchiveClassesAtExit={archive}"
    try:
        with LocalStack(folder, BROKER) as found:
            found.provisioner().apply(Catalogue.load())
    finally:
        os.environ["JAVA_TOOL_OPTIONS"] = f"{options} -XX:SharedArchiveFile={archive}"
    (folder / "ports.json").unlink()  # several copies may be up at the same time
    return folder


@contextmanager
def new_stack(rested: Path, folder: Path) -> Iterator[LocalStack]:
    """Both backends with every topic and account, and nothing else."""
    subprocess.run(["cp", "-a", f"{rested}/.", folder], check=True)
    with LocalStack(folder, BROKER) as found:
        if not found.broker.keeps_data:
            found.provisioner().apply(Catalogue.load())
        yield found


@pytest.fixture(scope="session")
def shared_stack(rested_stack: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalStack]:
    """One stack for all files that say SHARES_STACK."""
    with new_stack(rested_stack, tmp_path_factory.mktemp("stack")) as found:
        yield found


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, rested_stack: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalStack]:
    """Both backends, new for each file (a service reads a topic from its beginning) unless it says SHARES_STACK.

    SHARES_STACK is for tests to which records and rows of other tests do not matter.
    """
    if getattr(request.module, "SHARES_STACK", False):
        yield request.getfixturevalue("shared_stack")
    else:
        with new_stack(rested_stack, tmp_path_factory.mktemp("stack")) as found:
            yield found


@pytest.fixture(scope="module")
def free_topic(stack: LocalStack) -> str:
    """A topic of three partitions that only cases may write and no service reads."""
    known = Catalogue.load()
    free = Topic("tests.free", 3, ("cases",), ("operator",))
    stack.provisioner().apply(Catalogue(known.principals, (*known.topics, free)))
    return free.name


@pytest_asyncio.fixture(scope="session")
async def issuer() -> AsyncIterator[Issuer]:
    """Who signs the tests' tokens."""
    found = Issuer()
    yield found
    await found.close()


@pytest_asyncio.fixture(scope="session")
async def jwks_url(issuer: Issuer) -> str:
    return await issuer.serve()


def kafka_settings(stack: LocalStack, principal: str) -> KafkaSettings:
    """Settings of one principal's clients."""
    known = {field: field.upper() for field in KafkaSettings.model_fields}
    env = stack.env_for(principal)
    return KafkaSettings(**{field: env[name] for field, name in known.items() if name in env})


@pytest_asyncio.fixture(scope="module")
async def as_gateway(stack: LocalStack) -> AsyncIterator[AIOKafkaProducer]:
    """A producer with the gateway's rights."""
    producer = await started_producer(stack, "gateway")
    yield producer
    await producer.stop()


async def started_producer(stack: LocalStack, principal: str, *, seconds: float = 30) -> AIOKafkaProducer:
    """A producer of an account that may be too new for the broker's nodes to know it yet, or of a broker that comes back."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        producer = make_producer(kafka_settings(stack, principal))
        try:
            await producer.start()
        except KafkaError:
            await producer.stop()
            if asyncio.get_running_loop().time() > deadline:
                raise
            await asyncio.sleep(0.05)
        else:
            return producer


ARCHIVE_KEY = json.dumps(signing_key_of(token_urlsafe(32)))
"""Signs archives in this run."""


@dataclass
class Processes:
    """Service processes of a test run, each with a migrated database of its own."""

    stack: LocalStack
    jwks_url: str
    sealing_key: str = field(repr=False)
    ports: dict[str, int] = field(default_factory=dict)

    @property
    def sealer(self) -> Sealer:
        """Seals to the services' common key, as the gateway does with the key that a service publishes."""
        return Sealer(Opener(json.loads(self.sealing_key)).public_jwk)

    def port(self, name: str) -> int:
        if name not in self.ports:
            self.ports[name] = self.stack.ports.take(name)
        return self.ports[name]

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.port(name)}"

    def env(self, service: str, name: str, **more: str) -> dict[str, str]:
        return {
            **self.stack.env_for(service),
            "ENVIRONMENT": "test",
            "BUSINESS_TIME": "message",
            "ALLOW_SIMULATED_TIME": "true",
            "INSTANCE": name,
            "HTTP_PORT": str(self.port(name)),
            "JWKS_URL": self.jwks_url,
            "SEALING_KEY": self.sealing_key,
            "ARCHIVE_KEY": ARCHIVE_KEY,
            "QUARANTINE_URL": (self.stack.run_dir / "quarantine").as_uri(),
            "PHOTOS_URL": (self.stack.run_dir / "photos").as_uri(),
            "RETRY_FIRST_SECONDS": "0.05",
            "RETRY_LONGEST_SECONDS": "0.5",
            "RELAY_POLL_SECONDS": "0.3",
            "SESSION_TIMEOUT_MS": "6000",
            **more,
        }

    def spec(self, service: str, name: str, **more: str) -> ProcessSpec:
        return ProcessSpec(
            name=name,
            argv=(sys.executable, "-m", "gateway" if service == "gateway" else f"services.{service}"),
            env=self.env(service, name, **more),
            cwd=CHECKOUT,
            ready=http_ready(f"{self.url(name)}/readyz"),
        )

    def migrate(self, service: str) -> None:
        self.stack.supervisor.run_once(
            [
                ProcessSpec(
                    name=f"{service}-migrate-{uuid4().hex[:6]}",
                    argv=(sys.executable, "-m", f"services.{service}", "migrate"),
                    env=self.env(service, f"{service}-migrate"),
                    cwd=CHECKOUT,
                )
            ]
        )

    def start(self, service: str, name: str | None = None, **more: str) -> str:
        """Start a process and return its address."""
        found = name or f"{service}-1"
        self.stack.supervisor.start(self.spec(service, found, **more))
        return self.url(found)

    def stop(self, name: str) -> None:
        self.stack.supervisor.stop_one(name)


@pytest.fixture(scope="module")
def processes(stack: LocalStack, jwks_url: str) -> Processes:
    """Starts services as processes."""
    return Processes(stack, jwks_url, json.dumps(new_private_key()))
