"""Asks the program in this container whether it is ready: exit 0 if it is, else 1 with one line.

    python -IS deploy/docker/probe.py [PATH]

PATH is `/readyz` if not given. The port is `HTTP_PORT`. Images need no curl for their health checks this way.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Sequence

_SECONDS = 3.0


def main(arguments: Sequence[str]) -> str | None:
    """Return None if the answer was 200, else what came instead."""
    path = arguments[0] if arguments else "/readyz"
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ["HTTP_PORT"]), timeout=_SECONDS)
    try:
        connection.request("GET", path)
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"{path}: {error!r}"
    return None if status == http.HTTPStatus.OK else f"{path}: {status}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
