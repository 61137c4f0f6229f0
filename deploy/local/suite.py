"""The whole suite on one machine: backends, topics, migrations, then every service as a process of its own.

Order: PostgreSQL and broker; topics; then the provisioner, the services (the first of each brings its database
to the newest version) and the gateways, all at once (most of their start is importing), each ready when its `/readyz` says so. Stopping goes
the other way round. Every process listens on the loopback address, on a port that it gets again next time.

A gateway is told the services' addresses when it starts. Replicas added later take their share of the work
from the broker at once, but serve questions only to gateways started after them.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.local.runfolder import CHECKOUT
from deploy.local.secrets import Secrets
from deploy.local.stack import SERVICES, LocalStack
from deploy.local.supervisor import ProcessSpec, Say, Supervisor, http_ready, say_on_stderr
from shared.security.sealing import private_key_of
from shared.security.tokens import signing_key_of

GATEWAY = "gateway"
PROVISIONER = "provisioner"
WAREHOUSE = "warehouse"
GATEWAY_PORT = 8080
_SEALED_TO = ("cases", "identity")
"""Services that the gateway seals fields to; each has a key of its own."""
_READY_SECONDS = 120.0
_LAST_ROUND_SECONDS = 60.0

DEFAULT_PROGRAMS: Mapping[str, tuple[str, ...]] = {
    **{name: (sys.executable, "-m", f"services.{name}") for name in SERVICES},
    GATEWAY: (sys.executable, "-m", GATEWAY),
    PROVISIONER: (sys.executable, "-m", "deploy.kafka.provision"),
    WAREHOUSE: (sys.executable, "-m", WAREHOUSE),
}
"""How each program is started; the first replica of a service gets the argument `migrate-and-serve`."""


class Suite:
    """The suite of one run folder, up from `start` (or `with`) to `stop`.

    Processes are called `<service>-<number>`, counted from 1; the provisioner is `provisioner`.

    Args:
        run_dir: the run folder.
        broker: a forced rung of the broker ladder, `kafka` or `tansu`.
        replicas: how many processes of a service or of the gateway, where not one.
        environment: `ENVIRONMENT` of every process.
        business_time: `BUSINESS_TIME` of every process.
        simulated_time: whether simulated time and its principal exist (`ALLOW_SIMULATED_TIME`).
        extra_env: more environment per service (or `gateway`), set last.
        programs: other programs than the default ones.
        fsync: whether PostgreSQL waits for the disk.
        say: takes each line for the person in front of the screen.
    """

    def __init__(
        self,
        run_dir: Path,
        *,
        broker: str | None = None,
        replicas: Mapping[str, int] | None = None,
        environment: str = "demo",
        business_time: str = "message",
        simulated_time: bool = True,
        extra_env: Mapping[str, Mapping[str, str]] | None = None,
        programs: Mapping[str, tuple[str, ...]] | None = None,
        fsync: bool = True,
        say: Say = say_on_stderr,
    ) -> None:
        self.stack = LocalStack(run_dir, broker, fsync=fsync, say=say)
        self._replicas = dict.fromkeys((*SERVICES, GATEWAY), 1) | dict(replicas or {})
        if unknown := set(self._replicas) - {*SERVICES, GATEWAY}:
            raise ValueError(f"no such service: {', '.join(sorted(unknown))}")
        if any(count < 1 for count in self._replicas.values()):
            raise ValueError("every service needs at least one replica")
        self._shared_env = {
            "ENVIRONMENT": environment,
            "BUSINESS_TIME": business_time,
            "ALLOW_SIMULATED_TIME": "true" if simulated_time else "false",
            "HTTP_HOST": "127.0.0.1",
            "PYTHONUNBUFFERED": "1",
        }
        self._simulated_time = simulated_time
        self._extra_env = extra_env or {}
        self._programs = {**DEFAULT_PROGRAMS, **(programs or {})}
        self._say = say
        self._ports: dict[str, int] = {}

    @property
    def secrets(self) -> Secrets:
        """The run's secrets."""
        return self.stack.secrets

    @property
    def supervisor(self) -> Supervisor:
        """The supervisor of all processes; only while the suite is up."""
        return self.stack.supervisor

    @property
    def gateway_url(self) -> str:
        """The address of the first gateway."""
        return self._url(f"{GATEWAY}-1")

    @property
    def gateway_urls(self) -> list[str]:
        """The addresses of all gateways."""
        return [self._url(name) for name in self._names(GATEWAY)]

    @property
    def service_urls(self) -> dict[str, list[str]]:
        """The addresses of each service's replicas."""
        return {service: [self._url(name) for name in self._names(service)] for service in SERVICES}

    def start(self) -> None:
        """Bring everything up; on a failure everything started is stopped again.

        Raises:
            AlreadyRunningError: another process uses the run folder.
            PostgresError, BrokerError: a backend cannot be had here.
            StartFailedError: a process did not come up; the message ends with its log's last lines.
        """
        self.stack.start()
        with contextlib.ExitStack() as undo:
            undo.callback(self.stack.stop)
            self._take_ports()
            services = [self._spec(name) for service in SERVICES for name in self._names(service)]
            gateways = [self._spec(name) for name in self._names(GATEWAY)]
            self.supervisor.run_once([self._apply_spec()])
            # By themselves, so that they end after the services: the warehouse then writes what is left.
            self.supervisor.start_all([self._follow_spec(), *self._warehouse_specs()], wait=False)
            self.supervisor.start_all(services, wait=False)
            self.supervisor.start_all(gateways, wait=False)
            for spec in (*services, *gateways):
                self.supervisor.wait_ready(spec.name)
            undo.pop_all()
        self._say(f"the suite is up: {self.gateway_url}")

    def stop(self) -> None:
        """Stop everything, gateways first and the backends last."""
        self.stack.stop()

    def scale(self, service: str, count: int) -> None:
        """Run this many replicas of a service or of the gateway; new ones are ready when it returns.

        The last numbered are stopped first. Gateways keep the addresses they were started with.

        Raises:
            StartFailedError: a new replica did not come up.
        """
        if service not in self._replicas or count < 1:
            raise ValueError(f"cannot run {count} of {service}")
        before = self._names(service)
        self._replicas[service] = count
        after = self._names(service)
        for name in reversed(before[count:]):
            self.supervisor.stop_one(name)
        for name in after[len(before) :]:
            self._ports[name] = self.stack.ports.take(name)
        self.supervisor.start_all([self._spec(name) for name in after[len(before) :]])

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _names(self, service: str) -> list[str]:
        return [f"{service}-{number}" for number in range(1, self._replicas[service] + 1)]

    def _url(self, name: str) -> str:
        return f"http://127.0.0.1:{self._ports[name]}"

    def _take_ports(self) -> None:
        for service in SERVICES:
            for name in self._names(service):
                self._ports[name] = self.stack.ports.take(name)
        for name in self._names(GATEWAY):
            preferred = GATEWAY_PORT if name == f"{GATEWAY}-1" else None
            self._ports[name] = self.stack.ports.take(name, preferred)
        if self._ports[f"{GATEWAY}-1"] != GATEWAY_PORT:
            self._say(
                f"port {GATEWAY_PORT} is taken by another program: the gateway is at {self.gateway_url}"
            )

    def _spec(self, name: str) -> ProcessSpec:
        """Return the process of one replica."""
        service, _, number = name.rpartition("-")
        migrates = service != GATEWAY and number == "1"
        return ProcessSpec(
            name=name,
            argv=(*self._programs[service], "migrate-and-serve") if migrates else self._programs[service],
            env={**self._env(service, name), **self._extra_env.get(service, {})},
            cwd=CHECKOUT,
            ready=http_ready(f"{self._url(name)}/readyz"),
            ready_seconds=_READY_SECONDS,
        )

    def _env(self, service: str, name: str) -> dict[str, str]:
        """Return what one process of a service (or the gateway) is told."""
        env = {
            **self._shared_env,
            **self.stack.env_for(service),
            "INSTANCE": name,
            "HTTP_PORT": str(self._ports[name]),
            "JWKS_URL": f"{self._url('identity-1')}/jwks",
        }
        if service in _SEALED_TO:
            env["SEALING_KEY"] = json.dumps(private_key_of(self.secrets.get(f"sealing.{service}")))
        if service == "evaluation":
            env["ARCHIVE_KEY"] = json.dumps(signing_key_of(self.secrets.get("archive")))
        if service == "cases" and self._shared_env["ENVIRONMENT"] != "production":
            env["WEBHOOK_LOOPBACK_ALLOWED"] = "true"  # everything here listens on this machine
        if service == "identity":
            env["IDENTITY_CLIENTS"] = json.dumps(self._identity_clients())
            env["IDENTITY_KEYS_DIR"] = str(self.stack.run_dir / "identity-keys")
        if service == GATEWAY:
            env["SERVICE_URLS"] = json.dumps(self.service_urls)
            env["DIGEST_KEY"] = self.secrets.get("digest")
            env["INTAKE_SECRET"] = self.secrets.get("follow")
            env["INTAKE_CLIENT_SECRET"] = self.secrets.get("intake")
        if service in ("cases", GATEWAY):
            env["QUARANTINE_URL"] = (self.stack.run_dir / "storage" / "quarantine").as_uri()
        if service == "cases":
            env["PHOTOS_URL"] = (self.stack.run_dir / "storage" / "photos").as_uri()
        return env

    def _identity_clients(self) -> dict[str, dict[str, object]]:
        """Return the clients that the identity service knows from its start."""
        clients: dict[str, dict[str, object]] = {
            "operator": {"secret": self.secrets.get("operator"), "roles": ["operator", "staff"]},
            "intake": {"secret": self.secrets.get("intake"), "roles": ["intake"]},
        }
        if self._simulated_time:
            roles = ["simulation", "operator", "staff"]
            clients["simulation"] = {"secret": self.secrets.get("simulation"), "roles": roles}
        return clients

    def _apply_spec(self) -> ProcessSpec:
        return ProcessSpec(
            name="provisioner-apply",
            argv=(*self._programs[PROVISIONER], "apply"),
            env=self._provisioner_env(),
            cwd=CHECKOUT,
        )

    def _follow_spec(self) -> ProcessSpec:
        return ProcessSpec(
            name=PROVISIONER,
            argv=(*self._programs[PROVISIONER], "follow"),
            env=self._provisioner_env(),
            cwd=CHECKOUT,
        )

    def _warehouse_specs(self) -> list[ProcessSpec]:
        """Return the writer of the warehouse; none where the broker forgets what a warehouse should remember."""
        if not self.stack.broker.keeps_data:
            return []
        env = {
            **self.stack.env_for(WAREHOUSE),
            "ENVIRONMENT": self._shared_env["ENVIRONMENT"],
            "HTTP_PORT": str(self.stack.ports.take(WAREHOUSE)),
            "WAREHOUSE_URL": (self.stack.run_dir / "storage" / "warehouse").as_uri(),
            "WAREHOUSE_SECONDS": "60",
            "PYTHONUNBUFFERED": "1",
            **self._extra_env.get(WAREHOUSE, {}),
        }
        argv = self._programs[WAREHOUSE]
        return [
            ProcessSpec(name=WAREHOUSE, argv=argv, env=env, cwd=CHECKOUT, stop_seconds=_LAST_ROUND_SECONDS)
        ]

    def _provisioner_env(self) -> dict[str, str]:
        run = str(self.stack.run_dir)
        return {**self.stack.env_for("admin"), "DAIBIAOTONG_RUN": run, "PYTHONUNBUFFERED": "1"}
