"""Composition root of identity: the only place that builds its parts.

python -m services.identity               serve
python -m services.identity migrate       bring the database to the newest version
python -m services.identity rotate-keys   add a signing key and put away old ones, then return
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

from services.identity import consumers, errors, tables
from services.identity.api import router
from services.identity.handlers import PasswordDesk
from services.identity.passwords import Passwords
from services.identity.settings import IdentitySettings
from services.identity.signing_keys import Keyring, OwnVerifier
from shared.host import Service, run
from shared.security.sealing import Opener
from shared.telemetry import logging

HERE = Path(__file__).parent


def main() -> None:
    """Serve, or do what the argument says."""
    settings = IdentitySettings()
    keyring = Keyring(settings.identity_keys_dir)
    arguments = sys.argv[1:]
    try:
        if arguments == ["rotate-keys"]:
            _rotate(keyring, settings)
            return
        if arguments != ["migrate"]:
            keyring.ensure()
    except OSError as error:
        sys.exit(f"cannot use the folder of signing keys {settings.identity_keys_dir}: {error.strerror}")
    opener = Opener(json.loads(settings.sealing_key.get_secret_value()))
    passwords = Passwords()
    verifier = OwnVerifier(keyring)
    clients = settings.identity_clients
    service = Service(
        name="identity",
        metadata=tables.metadata,
        migrations=HERE / "migrations",
        handlers=consumers.handlers(PasswordDesk(opener, passwords)),
        router=partial(
            router,
            opener,
            keyring,
            verifier,
            passwords,
            clients,
            settings.allow_simulated_time,
            settings.session_terms,
        ),
        refusals_by_constraint={"credentials_login_key": errors.login_taken()},
        verifier=verifier,
    )
    run(service, settings, arguments)


def _rotate(keyring: Keyring, settings: IdentitySettings) -> None:
    logging.configure(service="identity", instance=settings.instance, level=settings.log_level)
    new, closed, dropped = keyring.rotate()
    logging.logger(__name__).info("signing-keys-rotated", new=new, closed=closed, dropped=dropped)


if __name__ == "__main__":
    main()
