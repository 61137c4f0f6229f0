"""Asks the gateway for the scores that it shows, only to compare them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import aiohttp

from audit.arithmetic import Score

_PAGE = 500


class GatewayUnusable(Exception):  # noqa: N818 - says what it is
    """The gateway does not answer, refuses, or its pages do not fit together."""


async def fetch_scores(gateway: str, token: str, year: int) -> dict[str, Score]:
    """The score of every deputy that the gateway ranks in a year, page by page; raises GatewayUnusable."""
    shown: dict[str, Score] = {}
    rows = 0
    timeout = aiohttp.ClientTimeout(total=60)
    headers = {"Authorization": f"Bearer {token}"}
    try:
        async with aiohttp.ClientSession(timeout=timeout, headers=headers) as session:
            page = 1
            while True:
                answer = await _page(session, f"{gateway.rstrip('/')}/api/ranking", year, page)
                for item in answer["items"]:
                    categories = {str(key): int(points) for key, points in item["categories"].items()}
                    shown[str(UUID(item["deputy_id"]))] = Score(int(item["total"]), categories)
                rows += len(answer["items"])
                if not answer["items"] or rows >= answer["total"]:
                    break
                page += 1
    except (aiohttp.ClientError, TimeoutError) as error:
        raise GatewayUnusable(f"the gateway does not answer: {type(error).__name__}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise GatewayUnusable(f"the gateway's ranking cannot be read: {type(error).__name__}") from error
    if rows != answer["total"] or rows != len(shown):
        raise GatewayUnusable(
            f"the ranking of {year} says {answer['total']} deputies and gives {rows}, {len(shown)} of them different"
        )
    return shown


async def _page(session: aiohttp.ClientSession, address: str, year: int, page: int) -> dict[str, Any]:
    query = {"year": str(year), "page": str(page), "size": str(_PAGE)}
    async with session.get(address, params=query) as response:
        if response.status != 200:
            raise GatewayUnusable(f"the gateway answers {response.status} to the ranking of {year}")
        answer: dict[str, Any] = await response.json()
        return answer
