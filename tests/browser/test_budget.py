"""What was built is small, and names no host but its own."""

from __future__ import annotations

import gzip
import re

import pytest

from deploy.local.webbuild import BUILT, build

pytestmark = pytest.mark.timeout(600)  # whoever comes first builds

SCRIPT_BYTES_MAX = 200_000
"""Gzipped script of the first load on the phone: home and filing."""


def first_load() -> list[str]:
    """The scripts that the phone's page loads before anything is opened, by what it says and they import."""
    build()
    page = (BUILT / "m" / "index.html").read_text("utf-8")
    waiting = re.findall(r'(?:src|href)="/(assets/[^"]+\.js)"', page)
    found: list[str] = []
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.append(name)
            text = (BUILT / name).read_text("utf-8")
            waiting += [
                f"assets/{other}" for other in re.findall(r'(?:from|import)\s*"\./([^"]+\.js)"', text)
            ]
    return found


def test_the_first_load_on_the_phone_is_light() -> None:
    scripts = first_load()
    assert scripts
    sizes = {name: len(gzip.compress((BUILT / name).read_bytes(), 9)) for name in scripts}
    assert sum(sizes.values()) < SCRIPT_BYTES_MAX, sizes


def test_nothing_that_was_built_loads_from_another_host() -> None:
    build()
    loads = re.compile(r"""url\(["']?(?:https?:)?//|(?:src|href)=["'](?:https?:)?//|import\(["']https?://""")
    files = [path for path in BUILT.rglob("*") if path.suffix in {".html", ".css", ".js", ".webmanifest"}]
    assert [path.name for path in files if loads.search(path.read_text("utf-8"))] == []


def test_no_script_or_style_stands_in_a_page() -> None:
    build()
    for page in BUILT.rglob("*.html"):
        text = page.read_text("utf-8")
        assert re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", text) is None, page.name
