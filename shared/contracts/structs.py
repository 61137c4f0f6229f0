"""Msgspec structs made from the contracts, for a stream that pydantic is too slow for.

Invariants: pydantic stays the definition; what a struct takes, pydantic takes with the same values. The
reverse holds for what our own writers send, not for everything that pydantic is lenient about (an id in
capitals, a number in quotes): a reader hands what a struct refuses to pydantic, whose word is the last.
Ids stay text, in canonical form: they are compared, sorted and sent on, never computed with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AwareDatetime, BaseModel
from pydantic.fields import FieldInfo

from shared.contracts.envelope import Envelope
from shared.contracts.registry import Declaration

_CANONICAL_ID = r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z"
_HARDLY_EVER_NULL = {"deputy_id"}
"""Ids that may be null and are worth leaving unchecked all the same; one that mostly is null costs more than it saves."""
_AS_THEY_ARE = (str, int, bool, date, Any)


def decoder_of(declaration: Declaration) -> msgspec.json.Decoder[Any]:
    """A decoder of whole messages of one type: a struct like `Envelope` whose `data` is like the contract.

    Raises NotImplementedError for a contract with a validator or a kind of field that is not known here.
    """
    replaced = {"type": Literal[declaration.type], "data": struct_of(declaration.model)}
    return msgspec.json.Decoder(_struct(Envelope, replaced))


@dataclass(frozen=True)
class HastyDecoder:
    """A decoder that leaves some texts unchecked, which are checked for many messages at once at a tenth of the price.

    A message that it takes is one that `decoder_of` takes if `canonical` holds for what `ids` tells of it and
    `without_control` for its subject.
    """

    decode: Callable[[bytes], Any]
    ids: Callable[[Any], tuple[str | None, ...]]


def hasty_decoder_of(declaration: Declaration) -> HastyDecoder:
    """As `decoder_of`, without the patterns of the subject and of the ids that every message of the type has, or nearly."""
    own: dict[str, Any] = {}
    for name, field in declaration.model.model_fields.items():
        if field.annotation is UUID:
            own[name] = str
        elif field.annotation == UUID | None and name in _HARDLY_EVER_NULL:
            own[name] = str | None
    data = _struct(declaration.model, own)
    subject = Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    replaced = {"id": str, "subject": subject, "type": Literal[declaration.type], "data": data}
    decoder = msgspec.json.Decoder(_struct(Envelope, replaced))
    ids = attrgetter("id", *(f"data.{name}" for name in own))
    return HastyDecoder(decoder.decode, ids if own else lambda message: (message.id,))


def canonical(ids: Sequence[str | None]) -> bool:
    """Whether all these are ids in canonical form, or null."""
    found = [one for one in ids if one is not None] if None in ids else [*ids]
    together = ",".join([*found, ""])
    count = len(found)
    return (
        len(together) == 37 * count
        and together[8::37] == together[13::37] == together[18::37] == together[23::37] == "-" * count
        and together[36::37] == "," * count
        and len(together.encode(errors="replace").translate(None, b"0123456789abcdef")) == 5 * count
    )


def without_control(texts: Iterable[str]) -> bool:
    """False where any of the texts may hold what a subject must not."""
    return "".join(texts).isprintable()


def struct_of(model: type[BaseModel]) -> type[msgspec.Struct]:
    """A struct with the fields, defaults and bounds of a contract; fields that it does not know are ignored.

    Raises NotImplementedError for a contract with a validator or a kind of field that is not known here.
    """
    return _struct(model, {})


def _struct(model: type[BaseModel], replaced: dict[str, Any]) -> type[msgspec.Struct]:
    validators = model.__pydantic_decorators__
    if validators.field_validators or validators.model_validators or validators.validators:
        raise NotImplementedError(f"{model.__name__} has validators of its own")
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    for name, field in model.model_fields.items():
        if field.alias is not None or field.default_factory is not None:
            raise NotImplementedError(f"{model.__name__}.{name} has an alias or makes its default")
        type_ = replaced[name] if name in replaced else _bounded(_type(field.annotation), field.metadata)
        fields.append((name, type_) if field.is_required() else (name, type_, field.default))
    return msgspec.defstruct(model.__name__, fields, kw_only=True, gc=False)


def _type(annotation: Any) -> Any:
    """The type in msgspec's terms."""
    if annotation is UUID:
        return Annotated[str, msgspec.Meta(pattern=_CANONICAL_ID)]
    if annotation is AwareDatetime:
        return Annotated[datetime, msgspec.Meta(tz=True)]
    if annotation in _AS_THEY_ARE or annotation is NoneType:
        return annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return annotation
    if origin is Annotated:
        bounds = [
            bound
            for part in arguments[1:]
            for bound in (part.metadata if isinstance(part, FieldInfo) else [part])
        ]
        return _bounded(_type(arguments[0]), bounds)
    if origin in (Union, UnionType):
        return Union[tuple(map(_type, arguments))]  # noqa: UP007 - made of a computed list
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return tuple[_type(arguments[0]), ...]  # type: ignore[misc] # a computed type
    if origin is dict:
        return dict[_type(arguments[0]), _type(arguments[1])]  # type: ignore[misc] # a computed type
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return struct_of(annotation)
    raise NotImplementedError(f"no struct for {annotation}")


def _bounded(type_: Any, bounds: list[Any]) -> Any:
    """The type with bounds; those of an optional field hold for what is not null."""
    if not bounds:
        return type_
    parts = get_args(type_) if get_origin(type_) is Union else (type_,)
    meta = msgspec.Meta(**{name: value for bound in bounds for name, value in _meta(bound)})
    return Union[tuple(part if part is NoneType else Annotated[part, meta] for part in parts)]  # noqa: UP007


def _meta(bound: Any) -> list[tuple[str, Any]]:
    if isinstance(bound, Ge):
        return [("ge", bound.ge)]
    if isinstance(bound, Le):
        return [("le", bound.le)]
    if isinstance(bound, MinLen):
        return [("min_length", bound.min_length)]
    if isinstance(bound, MaxLen):
        return [("max_length", bound.max_length)]
    pattern = getattr(bound, "pattern", None)
    if isinstance(pattern, str):
        # In Python's dialect `$` also stands before a line break at the end, in pydantic's it does not.
        return [("pattern", pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern)]
    raise NotImplementedError(f"no bound like {bound}")
