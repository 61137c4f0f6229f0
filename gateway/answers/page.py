"""One answer, and one page of a list of them: what all answers are made from."""

from __future__ import annotations

from pydantic import BaseModel


class Answer(BaseModel):
    """One answer, or a part of one."""


class Page(Answer):
    """One page of a list; `total` counts all."""

    total: int
    page: int
    size: int
