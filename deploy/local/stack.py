"""PostgreSQL and a broker together, with a database and an account for every service.

`LocalStack` is what tests and benchmarks use by itself, and what `suite` puts the services on. It holds the
run folder's lock while it is up. Where the broker keeps nothing (Tansu), the databases are made anew at each
start: a database that remembers what its broker forgot would skip new events as old ones.
"""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from confluent_kafka.admin import AdminClient

from deploy.kafka.provision import Provisioner, admin_answers
from deploy.local.broker import Broker, choose_broker
from deploy.local.lock import RunLock
from deploy.local.postgres import Postgres
from deploy.local.runfolder import Ports, make_private_folder, write_private
from deploy.local.secrets import Secrets
from deploy.local.supervisor import Say, Supervisor, say_on_stderr

SERVICES = ("identity", "cases", "participation", "learning", "evaluation", "notify")


class LocalStack:
    """Both backends of one run folder, up from `start` (or `with`) to `stop`.

    `broker` forces a rung of the ladder (`kafka`, `tansu`); `fsync=False` trades durability for speed;
    `shared_buffers` is PostgreSQL's own cache, for a store of more than a few ten thousand cases.
    Attributes of a stack that is up: `postgres`, `broker`, `supervisor`, `ports`, `secrets`.
    """

    postgres: Postgres
    broker: Broker
    supervisor: Supervisor
    ports: Ports

    def __init__(
        self,
        run_dir: Path,
        broker: str | None = None,
        *,
        fsync: bool = True,
        say: Say = say_on_stderr,
        databases: tuple[str, ...] = SERVICES,
        shared_buffers: str = "128MB",
    ) -> None:
        self.run_dir = make_private_folder(run_dir.absolute())
        self.secrets = Secrets(self.run_dir)
        self._forced = broker
        self._fsync = fsync
        self._shared_buffers = shared_buffers
        self._say = say
        self._databases = databases
        self._lock = RunLock(self.run_dir)

    def start(self) -> None:
        """Bring both up and make the databases; on a failure everything started is stopped again.

        Raises:
            AlreadyRunningError: another process uses the run folder.
            PostgresError, BrokerError: a backend cannot be had here.
            StartFailedError: a backend did not come up.
        """
        left_by = self._lock.acquire()
        if left_by is not None:
            self._say(f"taking over {self.run_dir} from pid {left_by}, which ended without clearing up")
        try:
            self.supervisor = Supervisor(self.run_dir, say=self._say)
            with contextlib.ExitStack() as undo:
                undo.callback(self.supervisor.stop_all)
                self._start_backends()
                undo.pop_all()
        except BaseException:
            self._lock.release()
            raise

    def stop(self) -> None:
        """Stop everything that the supervisor runs, services first, and give the run folder up."""
        try:
            self.supervisor.stop_all()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def env_for(self, principal: str) -> dict[str, str]:
        """Return the environment through which one principal's process reaches broker and database.

        `principal` is one of `topics.yaml`, `admin`, or `dept-<code>`; only services have a database.
        """
        tansu = self.broker.kind == "tansu"
        env = {
            "KAFKA_BOOTSTRAP_SERVERS": self.broker.bootstrap,
            "KAFKA_KIND": self.broker.kind,
            "KAFKA_IDEMPOTENCE": "false" if tansu else "true",
            "KAFKA_FETCH_MAX_WAIT_MS": "10" if tansu else "200",
        }
        if self.broker.isolates:
            is_admin = principal == "admin"
            env["KAFKA_SECURITY_PROTOCOL"] = self.broker.security_protocol
            env["KAFKA_USERNAME"] = str(self.broker.username) if is_admin else principal
            env["KAFKA_PASSWORD"] = (
                str(self.broker.password) if is_admin else self.secrets.kafka_password(principal)
            )
        if principal in self._databases:
            env["DATABASE_URL"] = self.postgres.url(principal, self.secrets.database_password(principal))
        return env

    def provisioner(self) -> Provisioner:
        """Return what makes topics, accounts and rights on this broker."""
        return Provisioner(
            AdminClient(self.broker.admin_config()),
            self.secrets.kafka_password,
            isolates=self.broker.isolates,
            configurable=self.broker.keeps_data,
        )

    def _start_backends(self) -> None:
        began = time.monotonic()
        self.ports = Ports(self.run_dir)
        self.postgres = Postgres(
            self.run_dir,
            self.secrets,
            self.ports,
            fsync=self._fsync,
            shared_buffers=self._shared_buffers,
        )
        self.supervisor.start(self.postgres.prepare(), wait=False)
        self.broker = choose_broker(
            self.run_dir, self.secrets, self.ports, say=self._say, forced=self._forced
        )
        if self.broker.process:
            self.supervisor.start(self.broker.process, wait=False)
        self.supervisor.wait_ready("postgres")
        self._make_databases()
        if self.broker.process:
            self.supervisor.wait_ready(self.broker.process.name)
        else:
            self._await_external()
        self._say(
            f"PostgreSQL on 127.0.0.1:{self.postgres.port}, broker: {self.broker.kind} on {self.broker.bootstrap} "
            f"({self.broker.reason}), up in {time.monotonic() - began:.1f} s"
        )
        if not self.broker.keeps_data:
            self._say(
                "Tansu keeps records in memory alone and isolates nobody: for a look, not for real data"
            )

    def _make_databases(self) -> None:
        """Make each service's database, anew if the broker's memory does not reach back to the last run."""
        note = self.run_dir / "broker.json"
        last = json.loads(note.read_text("utf-8"))["kind"] if note.exists() else None
        anew = "tansu" in {last, self.broker.kind}
        for name in self._databases:
            self.postgres.ensure_database(name, self.secrets.database_password(name), anew=anew)
        write_private(note, json.dumps({"kind": self.broker.kind}))

    def _await_external(self) -> None:
        """Insist that a broker of somebody else's answers now."""
        missing = admin_answers(self.broker.admin_config())
        if missing is not None:
            raise ConnectionError(f"KAFKA_BOOTSTRAP_SERVERS is set, but {missing}")
