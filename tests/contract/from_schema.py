"""Values that a JSON Schema of this repository permits, as a hypothesis strategy.

It knows the keywords that the committed schemas use, and refuses any other, so that a new keyword is not
silently passed over.
"""

from __future__ import annotations

import string
from datetime import UTC, timedelta, timezone
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

_SAID = {
    "title",
    "description",
    "default",
    "examples",
    "$defs",
    "$schema",
}  # says something, restricts nothing
_KNOWN = _SAID | {
    "$ref", "additionalProperties", "anyOf", "const", "enum", "format", "items",
    "maxItems", "maxLength", "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum",
    "pattern", "patternProperties", "properties", "required", "type",
}  # fmt: skip
_TEXT = st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",))
_PRINTABLE = st.sampled_from(string.ascii_letters + string.digits + " -_.:/")
_ZONES = [UTC, timezone(timedelta(hours=8)), timezone(-timedelta(hours=3, minutes=30))]
_FORMATS = {
    "uuid": st.uuids().map(str),
    "date": st.dates().map(str),
    "date-time": st.datetimes(timezones=st.sampled_from(_ZONES)).map(lambda moment: moment.isoformat()),
}
_ANY = st.none() | st.booleans() | st.integers(-10, 10) | st.text(_TEXT, max_size=5)


def permitted(schema: Json, definitions: Json) -> st.SearchStrategy[Any]:
    """Values of `schema`; `definitions` are the document's `$defs`."""
    if unknown := set(schema) - _KNOWN:
        raise NotImplementedError(f"keywords {sorted(unknown)} of a schema are not known here")
    if "$ref" in schema:
        return permitted(definitions[schema["$ref"].rsplit("/", 1)[1]], definitions)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([permitted(choice, definitions) for choice in schema["anyOf"]])
    kind = schema.get("type")
    if kind == "object":
        return _objects(schema, definitions)
    if kind == "array":
        return st.lists(
            permitted(schema["items"], definitions),
            min_size=schema.get("minItems", 0),
            max_size=min(schema.get("maxItems", 3), max(3, schema.get("minItems", 0))),
        )
    if kind == "string":
        return _strings(schema)
    if kind == "integer":
        return st.integers(schema.get("minimum", -(2**31)), schema.get("maximum", 2**31 - 1))
    if kind == "number":
        return st.floats(schema.get("minimum", -1e9), schema.get("maximum", 1e9))
    simple = {"boolean": st.booleans(), "null": st.none(), None: _ANY}
    return simple[kind]


def _strings(schema: Json) -> st.SearchStrategy[str]:
    if "format" in schema:
        return _FORMATS[schema["format"]]
    if "pattern" in schema:
        found = st.from_regex(schema["pattern"], fullmatch=True, alphabet=_PRINTABLE)
        return found.map(lambda text: text[: schema.get("maxLength")])
    shortest = schema.get("minLength", 0)
    return st.text(_TEXT, min_size=shortest, max_size=min(schema.get("maxLength", 20), shortest + 20))


def _objects(schema: Json, definitions: Json) -> st.SearchStrategy[Json]:
    required = set(schema.get("required", ()))
    fields = {name: permitted(part, definitions) for name, part in schema.get("properties", {}).items()}
    known = st.fixed_dictionaries(
        {name: strategy for name, strategy in fields.items() if name in required},
        optional={name: strategy for name, strategy in fields.items() if name not in required},
    )
    patterned = schema.get("patternProperties") or {}
    free = schema.get("additionalProperties")
    if patterned:
        ((pattern, part),) = patterned.items()
        keys: st.SearchStrategy[str] = _strings({"pattern": pattern})
    elif free:
        keys, part = _strings({}), free if isinstance(free, dict) else {}
    else:
        return known
    extra = st.dictionaries(
        keys, permitted(part, definitions), min_size=schema.get("minProperties", 0), max_size=3
    )
    return st.tuples(extra, known).map(lambda both: {**both[0], **both[1]})
