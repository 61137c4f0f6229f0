"""What the command line tells an operator is all there is, not a first page of it."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

from cli.operator import Operator, letters_of


class Paging:
    """A gateway with `total` dead letters; after each page that it gives, one more is buried on top."""

    def __init__(self, total: int, *, growing: bool) -> None:
        self.letters = [f"letter-{number}" for number in range(total)]
        self.growing = growing

    async def get(self, url: str) -> Any:
        split = urlsplit(url)
        assert split.path == "/api/operations/cases/dead-letters"
        asked = parse_qs(split.query)
        page, size = int(asked["page"][0]), int(asked["size"][0])
        items = [{"id": one} for one in self.letters[(page - 1) * size : page * size]]
        found = {"items": items, "total": len(self.letters), "page": page, "size": size}
        if self.growing:
            self.letters.insert(0, f"new-{page}")
        return found


@pytest.mark.parametrize("growing", [False, True])
@pytest.mark.parametrize("total", [0, 1, 499, 500, 501, 1234])
async def test_every_dead_letter_is_listed_once_however_many_there_are(total: int, growing: bool) -> None:
    found = await letters_of(cast("Operator", Paging(total, growing=growing)), "cases")
    assert [one["id"] for one in found] == [f"letter-{number}" for number in range(total)]
