"""Makes the secrets of docker-compose.yml at its first start and gives each container its own.

    python -m deploy.docker.make_secrets              make what is missing, hand out (the one-shot `secrets`)
    python -m deploy.docker.make_secrets show NAME    print one: operator, kafka.<principal>, kafka.dept-<code>

The volume `/vault` keeps all of them (as `deploy.local.secrets` does in a run folder). `/share/<container>` is a
volume that this one container mounts at `/run/secrets`: one file per secret, for our programs named like the
environment variable that `start.sh` makes of it. Invariants: a secret once made stays, so repeating changes
nothing; no container sees another's; nothing is printed but by `show`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.kafka.provision import Catalogue
from deploy.local.runfolder import write_private
from deploy.local.secrets import DEPARTMENT_PRINCIPAL, Secrets
from shared.security.sealing import private_key_of
from shared.security.tokens import signing_key_of

VAULT = Path("/vault")
SHARES = Path("/share")
USER_ID = 10001
"""The user of our images (Dockerfile)."""
SERVICES = ("identity", "cases", "participation", "learning", "evaluation", "notify")
_SEALED_TO = ("cases", "identity")
_KAFKA = "kafka."


def shares(vault: Secrets, principals: Sequence[str]) -> dict[str, dict[str, str]]:
    """Return the files of each container by name, making the secrets that do not exist yet."""
    found = {service: _of_service(vault, service) for service in SERVICES}
    found["gateway"] = {
        **_account(vault, "gateway"),
        "DIGEST_KEY": vault.get("digest"),
        "INTAKE_SECRET": vault.get("follow"),
        "INTAKE_CLIENT_SECRET": vault.get("intake"),
    }
    found["warehouse"] = _account(vault, "warehouse")
    found["postgres"] = {"superuser": vault.get("postgres.superuser")} | {
        f"database.{service}": vault.database_password(service) for service in SERVICES
    }
    found["kafka"] = {name: vault.kafka_password(name) for name in ("admin", "controller")}
    for_accounts = {f"{_KAFKA}{name}": vault.kafka_password(name) for name in principals}
    for_accounts["departments"] = vault.get("departments")
    found["provisioner"] = {**_account(vault, "admin"), "secrets.json": json.dumps(for_accounts)}
    return found


def hand_out(found: Mapping[str, Mapping[str, str]], folder: Path, user_id: int) -> None:
    """Write each container's files; whoever is inside that container can read them.

    The provisioner's folder is its run folder too, so it belongs to the user id that it runs as.

    Raises:
        FileNotFoundError: a container's volume is not mounted.
    """
    for container, files in found.items():
        share = folder / container
        for name, content in files.items():
            file = share / name
            if not file.exists() or file.read_text("utf-8") != content:
                write_private(file, content)
                file.chmod(0o444)
        if container == "provisioner":
            os.chown(share, user_id, user_id)


def show(vault: Secrets, principals: Sequence[str], name: str) -> str:
    """Return one secret that a person may need.

    Raises:
        LookupError: there is none of this name for people.
    """
    if name == "operator":
        return vault.get(name)
    principal = name.removeprefix(_KAFKA)
    if name != principal and (principal in principals or principal.startswith(DEPARTMENT_PRINCIPAL)):
        return vault.kafka_password(principal)
    raise LookupError(f"no such secret: {name!r} (operator, kafka.<principal>, kafka.dept-<code>)")


def main(arguments: Sequence[str]) -> str | None:
    """Run one of the two commands; returns a message if the arguments are wrong."""
    vault, principals = Secrets(VAULT), Catalogue.load().principals
    match arguments:
        case []:
            hand_out(shares(vault, principals), SHARES, USER_ID)
        case ["show", name]:
            try:
                sys.stdout.write(f"{show(vault, principals, name)}\n")
            except LookupError as error:
                return str(error)
        case _:
            return "arguments: nothing, or show NAME"
    return None


def _of_service(vault: Secrets, service: str) -> dict[str, str]:
    password = vault.database_password(service)
    files = {
        **_account(vault, service),
        "DATABASE_URL": f"postgresql+asyncpg://{service}:{password}@postgres:5432/{service}",
    }
    if service in _SEALED_TO:
        files["SEALING_KEY"] = json.dumps(private_key_of(vault.get(f"sealing.{service}")))
    if service == "evaluation":
        files["ARCHIVE_KEY"] = json.dumps(signing_key_of(vault.get("archive")))
    if service == "identity":
        operator = {"secret": vault.get("operator"), "roles": ["operator", "staff"]}
        intake = {"secret": vault.get("intake"), "roles": ["intake"]}
        files["IDENTITY_CLIENTS"] = json.dumps({"operator": operator, "intake": intake})
    return files


def _account(vault: Secrets, principal: str) -> dict[str, str]:
    return {"KAFKA_USERNAME": principal, "KAFKA_PASSWORD": vault.kafka_password(principal)}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
