"""The committed OpenAPI document is what the gateway does, and nothing of the contracts is missing in it."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from gateway import openapi
from gateway.answers.page import Answer
from gateway.reads import READS
from gateway.services import ServiceName
from gateway.writes import WRITES
from shared.contracts import cases, evaluation, identity, motions, notify, webhooks
from shared.contracts.registry import EVERY_SERVICE, commands

WITH_ROUTES_OF_THEIR_OWN: dict[type, tuple[str, str]] = {
    cases.FileCase: ("post", "/api/cases"),
    cases.SplitCase: ("post", "/api/cases/{subject}/split"),
    cases.SubmitConcern: ("post", "/api/codes/{code}/concerns"),
    cases.SupplyConcern: ("post", "/api/concerns/{receipt}/supply"),
    cases.ReopenConcern: ("post", "/api/concerns/{receipt}/reopen"),
    cases.ObjectToConcern: ("post", "/api/concerns/{receipt}/object"),
    cases.RateConcern: ("post", "/api/concerns/{receipt}/rate"),
    cases.WithdrawConcern: ("post", "/api/concerns/{receipt}/withdraw"),
    cases.EraseConcern: ("post", "/api/concerns/{receipt}/erase"),
    cases.CloseFollowLink: ("post", "/api/concerns/{receipt}/close-link"),
    cases.SupplyCase: ("post", "/api/cases/{subject}/supply"),
    webhooks.RegisterWebhook: ("post", "/api/webhooks"),
    motions.DraftMotion: ("post", "/api/motions"),
    motions.ReviseMotion: ("put", "/api/motions/{subject}"),
    identity.ImportRoster: ("post", "/api/roster-imports"),
    identity.SetPassword: ("put", "/api/me/password"),
    notify.MarkNotices: ("post", "/api/notices/mark"),
    notify.MarkAllNotices: ("post", "/api/notices/mark-all"),
    evaluation.AdoptRubric: ("post", "/api/rubrics"),
    evaluation.RewindEvents: ("post", "/api/operations/evaluation/rewind"),
}
METHODS = {"get", "put", "post", "delete", "patch"}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openapi.FILE.read_text("utf-8"))
    return found


def _operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method, path): operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }


def test_the_committed_document_equals_the_code() -> None:
    assert openapi.FILE.read_text("utf-8") == openapi.text(), "run `python -m gateway.openapi write`"


def test_the_document_is_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")


def test_every_command_has_a_route(document: dict[str, Any]) -> None:
    written = {write.command: (write.method.lower(), f"/api{write.path}") for write in WRITES}
    routes = WITH_ROUTES_OF_THEIR_OWN | written
    declared = {d.model for d in commands().values() if d.owner != EVERY_SERVICE and not d.of_system}
    assert set(routes) == declared
    assert set(routes.values()) <= set(_operations(document))


def test_every_read_has_a_route_with_its_parameters(document: dict[str, Any]) -> None:
    operations = _operations(document)
    for read in READS:
        named = (
            {p["name"] for p in operations["get", f"/api{read.path}"]["parameters"]} if read.query else set()
        )
        assert set(read.query) <= named


def test_every_operation_has_a_summary_a_tag_and_an_id_of_its_own(document: dict[str, Any]) -> None:
    operations = _operations(document)
    assert all(operation["summary"] and operation["tags"] for operation in operations.values())
    ids = [operation["operationId"] for operation in operations.values()]
    assert len(set(ids)) == len(ids)


def test_every_parameter_of_a_path_is_declared(document: dict[str, Any]) -> None:
    for (_, path), operation in _operations(document).items():
        inside = {part[1:-1] for part in path.split("/") if part.startswith("{")}
        declared = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
        assert inside == declared, path


def answers(form: type[Answer]) -> list[type[Answer]]:
    """A form of answers and all that are made from it."""
    return [form, *(one for made in form.__subclasses__() for one in answers(made))]


def test_every_body_refuses_unknown_fields_also_in_the_things_it_lists(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    open_ones = {
        name
        for name, schema in schemas.items()
        if schema.get("type") == "object" and schema.get("additionalProperties") is not False
    }
    # The upload is a form of one file; the others are answers, which may grow.
    described = [one.__name__ for one in answers(Answer)]
    known = {"Problem", "Accepted", "Surroundings", "Place", *described}
    assert {name for name in open_ones if not name.startswith("Body_")} <= known
    assert len(described) == len(set(described)), "no two answers have one name"


def test_every_operation_tells_its_problem_and_whether_it_needs_a_token(document: dict[str, Any]) -> None:
    for (_, path), operation in _operations(document).items():
        problem = operation["responses"]["default"]["content"]["application/problem+json"]["schema"]
        assert problem == {"$ref": "#/components/schemas/Problem"}
        assert operation["security"] == ([] if path in openapi.PUBLIC else [{"token": []}]), path


def test_every_command_tells_its_idempotency_key_and_that_it_may_be_answered_later(
    document: dict[str, Any],
) -> None:
    for (method, path), operation in _operations(document).items():
        headers = {one["name"] for one in operation.get("parameters", []) if one["in"] == "header"}
        is_command = method != "get" and path not in openapi.NO_COMMANDS
        assert headers == ({"Idempotency-Key", "Simulated-Time"} if is_command else set()), path
        assert ("202" in operation["responses"]) is is_command


def test_the_services_that_a_path_may_name_are_the_owners_of_commands() -> None:
    assert set(get_args(ServiceName)) == {d.owner for d in commands().values()} - {EVERY_SERVICE}
