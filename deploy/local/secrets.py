"""The secrets of one run: made at random when first asked for, kept in the run folder, never shipped.

`secrets.json` (mode 0600) maps a name to its secret. A name is made once and then stays, also when several
processes ask for it at the same time. Names in use:

- `database.<service>`, `postgres.superuser`: database passwords
- `kafka.<principal>`: broker passwords, with `kafka.admin` and `kafka.controller`
- `departments`: the key from which each department's broker password is derived
- `sealing.<service>`: the seed of the key to which fields for a service are sealed
- `digest`: the gateway's key for digests of plain command bodies
- `follow`: the gateways' key for residents' receipt numbers and follow links
- `operator`, `simulation`, `intake`: client secrets at the identity service
"""

from __future__ import annotations

import fcntl
import hashlib
import hmac
import json
import secrets as random_source
from pathlib import Path

from deploy.local.runfolder import make_private_folder, write_private

DEPARTMENT_PRINCIPAL = "dept-"


class Secrets:
    """Named secrets in one run folder, created on first demand."""

    def __init__(self, run_dir: Path) -> None:
        self._path = make_private_folder(run_dir) / "secrets.json"
        self._lock_path = run_dir / "secrets.json.lock"
        self._known: dict[str, str] = {}

    def get(self, name: str) -> str:
        """Return the secret of this name, making it (32 random bytes, URL-safe) if it does not exist."""
        if name not in self._known:
            with self._lock_path.open("a") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._known = json.loads(self._path.read_text("utf-8")) if self._path.exists() else {}
                if name not in self._known:
                    self._known[name] = random_source.token_urlsafe(32)
                    write_private(self._path, json.dumps(self._known, indent=1, sort_keys=True))
        return self._known[name]

    def database_password(self, service: str) -> str:
        """Return the password of a service's database role."""
        return self.get(f"database.{service}")

    def department_password(self, code: str) -> str:
        """Return a department's broker password: hex HMAC-SHA256 of its code under the `departments` key."""
        return hmac.new(self.get("departments").encode(), code.encode(), hashlib.sha256).hexdigest()

    def kafka_password(self, principal: str) -> str:
        """Return a broker principal's password; a department's principal is `dept-<code>`."""
        if principal.startswith(DEPARTMENT_PRINCIPAL):
            return self.department_password(principal.removeprefix(DEPARTMENT_PRINCIPAL))
        return self.get(f"kafka.{principal}")
