"""A lesson's text as HTML: a small Markdown, and nothing else.

Invariants: HTML in a text is shown as it is written; an element has no attribute but a list's `start` and
a link's `href`, which is http or https, with what keeps the other side from knowing us; a text's headings
stand below the page's own; deep nesting ends.
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

_MARKS = ("heading", "list", "blockquote", "hr", "emphasis", "link", "autolink", "newline", "escape")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
_HEADINGS = {"h1": "h3"}
_SMALLEST_HEADING = "h4"
_TEXTS_KEPT = 64


def _link(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, _: MutableMapping[str, Any]
) -> str:
    token = tokens[at]
    token.attrs = {"href": token.attrs["href"], "target": "_blank", "rel": "noopener noreferrer"}
    return self.renderToken(tokens, at, options, {})


def _heading(
    self: RendererHTML, tokens: Sequence[Token], at: int, options: OptionsDict, _: MutableMapping[str, Any]
) -> str:
    tokens[at].tag = _HEADINGS.get(tokens[at].tag, _SMALLEST_HEADING)
    return self.renderToken(tokens, at, options, {})


def _reader() -> MarkdownIt:
    reader = MarkdownIt("zero", {"html": False, "breaks": True, "xhtmlOut": False}).enable(list(_MARKS))
    reader.validateLink = lambda url: _ADDRESS.match(url) is not None  # type: ignore[method-assign]
    reader.add_render_rule("link_open", _link)
    reader.add_render_rule("heading_open", _heading)
    reader.add_render_rule("heading_close", _heading)
    return reader


_READER = _reader()


@lru_cache(_TEXTS_KEPT)
def html(text: str) -> str:
    """The text as HTML."""
    return str(_READER.render(text))
