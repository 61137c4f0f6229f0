"""A business refusal: the answer "no", with a stable code. It is an outcome, never a failure.

Invariant: `detail` is written for the person who asked and repeats nothing that the sender wrote.
"""

from __future__ import annotations

from typing import Literal

Kind = Literal["invalid", "forbidden", "not-found", "conflict"]


class Refusal(Exception):  # noqa: N818 - a refusal is not an error
    """Raised by a decision that says no.

    Attributes:
        code: stable, kebab-case, part of the public contract.
        detail: one sentence: what is wrong and what to do.
        kind: what sort of no it is; the gateway makes an HTTP status of it.
    """

    def __init__(self, code: str, detail: str, kind: Kind = "conflict") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.kind = kind
