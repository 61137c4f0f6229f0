"""How the parts may know each other, checked over the whole source."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.runfolder import CHECKOUT
from deploy.local.stack import SERVICES

PACKAGES = (
    "shared",
    "services",
    "gateway",
    "simulation",
    "audit",
    "warehouse",
    "cli",
    "deploy",
    "examples",
    "benchmarks",
)
NO_NAMES = {"common", "helper", "helpers", "manager", "managers", "misc", "util", "utils"}
KNOW_FASTSTREAM = {"shared/messaging/subscriber.py", "shared/host.py"}
SERVICE_FILES = {
    "__init__.py", "__main__.py", "api.py", "consumers.py", "domain.py", "errors.py", "handlers.py",
    "queries.py", "settings.py", "store.py", "tables.py",
}  # fmt: skip


def sources() -> list[Path]:
    """Every Python file of the project but the tests, relative to the checkout."""
    return [path.relative_to(CHECKOUT) for package in PACKAGES for path in (CHECKOUT / package).rglob("*.py")]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse((CHECKOUT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: an import is written from the root"
            assert node.module is not None
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def top(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def test_the_import_rules_are_kept() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_has_a_name_that_says_nothing() -> None:
    named = {part: path for path in sources() for part in Path(path).with_suffix("").parts}
    assert {str(named[part]) for part in NO_NAMES & set(named)} == set()


def test_only_the_subscriber_and_the_host_know_faststream() -> None:
    knowing = {path.as_posix() for path in sources() if "faststream" in set(map(top, imports(path)))}
    assert knowing == KNOW_FASTSTREAM


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_files_of_the_model_and_says_what_it_owns(service: str) -> None:
    folder = CHECKOUT / "services" / service
    assert {path.name for path in folder.glob("*.py")} >= SERVICE_FILES
    assert list((folder / "migrations").glob("0001_*.py"))
    said = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
    assert [word for word in ("Owns", "Consumes", "Emits", "Invariant") if word not in said] == []


PURE = {service: {"domain", "errors"} for service in SERVICES}
PURE["cases"] |= {"dates", "deadlines.reckoning", "deadlines.rules", "metrics", "overview", "steps"}
PURE["cases"] |= {"search.grams", "search.clusters"}
PURE["cases"] |= {"motions.domain", "motions.errors", "motions.figures"}
PURE["cases"] |= {"motions.writing", "motions.handling", "motions.promises", "motions.bills", "motions.dates"}
PURE["evaluation"] |= {"rubric", "judging"}
PURE["cases"] |= {
    "routing.choosing",
    "routing.catalogue",
    "routing.judgement",
    "routing.reasons",
    "routing.replay",
}


@pytest.mark.parametrize(
    ("service", "module"), [(service, module) for service in SERVICES for module in sorted(PURE[service])]
)
def test_decisions_and_refusals_know_the_standard_library_and_their_own_service_only(
    service: str, module: str
) -> None:
    allowed = {"shared.refusals", *(f"services.{service}.{name}" for name in PURE[service])}
    packages = {name.rpartition(".")[0] for name in allowed} - {"shared"}
    for imported in imports(Path("services", service, *module.split(".")).with_suffix(".py")):
        own = any(imported == name or imported.startswith(f"{name}.") for name in allowed)
        assert own or imported in packages or top(imported) in sys.stdlib_module_names, imported


def test_every_module_says_what_it_is_for() -> None:
    silent = [
        str(path)
        for path in sources()
        if not ast.get_docstring(ast.parse((CHECKOUT / path).read_text("utf-8")))
    ]
    assert silent == []


# Imports each module in turn in a process of its own, where no file may be written, nothing be started or
# called, and no environment is set. Alembic's entry is a script that Alembic runs, not a module.
_IMPORT_ALL = """
import importlib, os, sys, threading

def forbid(event, arguments):
    if event in ("socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.mkdir", "os.remove", "os.rename"):
        raise PermissionError(f"{event} while importing")
    if event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"):
        raise PermissionError(f"{arguments[0]} is opened for writing while importing")

failed = []
sys.addaudithook(forbid)
before = set(os.environ.items())
for name in sys.stdin.read().split():
    try:
        importlib.import_module(name)
    except BaseException as error:
        failed.append(f"{name}: {error!r}")
    if threading.active_count() > 1:
        failed.append(f"{name}: a thread runs")
    if set(os.environ.items()) != before:
        failed.append(f"{name}: the environment was changed")
sys.exit("\\n".join(failed) or 0)
"""


def module_names() -> list[str]:
    """Every importable module; a migration's name is a number, which importlib takes as well."""
    paths = [path for path in sources() if path.parts[:3] != ("shared", "database", "alembic")]
    return sorted({".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in paths})


def import_all(names: list[str], folder: Path, root: Path) -> subprocess.CompletedProcess[str]:
    """Import modules below `root`, from within `folder`."""
    return subprocess.run(
        [sys.executable, "-B", "-c", _IMPORT_ALL],
        input="\n".join(names),
        cwd=folder,
        env={"PYTHONPATH": str(root), "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_start_loads_what_only_files_simulations_and_migrations_need() -> None:
    asked_for_later = {"openpyxl", "docx", "fpdf", "PIL", "pikepdf", "duckdb", "alembic", "scipy", "sklearn"}
    starts = [f"services.{service}.__main__" for service in SERVICES] + ["gateway.__main__"]
    program = f"import sys, {', '.join(starts)}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert asked_for_later & {top(module) for module in done.stdout.split()} == set()


def test_importing_any_module_needs_no_environment_and_does_nothing(tmp_path: Path) -> None:
    names = module_names()
    assert {"services.cases.__main__", "gateway.__main__", "shared.host"} <= set(names)
    done = import_all(names, tmp_path, CHECKOUT)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "busy",
    [
        "open('left-behind', 'w')",
        "import os; os.environ['NEEDED']",
        "import socket; socket.socket().bind(('127.0.0.1', 0))",
        "import threading; threading.Thread(target=threading.Event().wait, daemon=True).start()",
    ],
)
def test_an_import_that_does_something_is_noticed(tmp_path: Path, busy: str) -> None:
    (tmp_path / "busy.py").write_text(busy)
    done = import_all(["busy"], tmp_path, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("busy: ")
