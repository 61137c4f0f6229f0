"""Messages and models as files: JSON lines in, a folder with a manifest and plain arrays out.

A model's folder holds `manifest.json` and `arrays.npz`. Reading it runs no code (no pickle) and checks
sizes and the digest first, so a damaged or foreign file is refused, never half used.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from services.cases.routing import examples, text
from services.cases.routing.examples import Examples
from services.cases.routing.features import BLOCKS, Block, Vocabulary
from services.cases.routing.model import Manifest, Model
from shared.refusals import Refusal

FORMAT = 2
WITHOUT_EXAMPLES = 1
"""The earlier format, which is still read."""
MANIFEST = "manifest.json"
ARRAYS = "arrays.npz"
_SEPARATOR = "\n"  # no word holds one


class RoutingFileInvalid(Refusal):
    """A file of messages or a model that cannot be used; the detail says where and why."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__("routing-file-invalid", f"{where}: {why}", "invalid")

    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True)
class Message:
    """A message as words, with its category where the file says it."""

    words: tuple[str, ...]
    label: str | None


class _Line(BaseModel):
    """A line of a file: `subject` and `body`, or `tokens`; whatever else it has is left alone."""

    model_config = ConfigDict(strict=True)

    subject: str = ""
    body: str | None = None
    tokens: list[str] | None = None
    label: Annotated[str, Field(min_length=1, max_length=40)] | None = None


def read_messages(file: Path, *, labelled: bool) -> list[Message]:
    """The messages of a JSON-lines file.

    Raises:
        RoutingFileInvalid: names file and line, and never repeats a message's words.
    """
    return [
        read_message(line, f"{file.name}, line {number}", labelled=labelled) for number, line in _lines(file)
    ]


def _lines(file: Path) -> Iterator[tuple[int, str]]:
    try:
        raw = file.read_text("utf-8")
    except OSError as fault:
        raise RoutingFileInvalid(str(file), f"cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError:
        raise RoutingFileInvalid(str(file), "is not UTF-8") from None
    found = [(number, line) for number, line in enumerate(raw.split("\n"), 1) if line.strip()]
    if not found:
        raise RoutingFileInvalid(str(file), "holds no message")
    yield from found


def read_message(line: str, where: str, *, labelled: bool) -> Message:
    """One line of such a file. Raises RoutingFileInvalid."""
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError):
        raise RoutingFileInvalid(where, "is not JSON") from None
    if not isinstance(raw, dict):
        raise RoutingFileInvalid(where, "is not a JSON object")
    try:
        found = _Line.model_validate(raw)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RoutingFileInvalid(where, f"{place}: {first['msg']}") from None
    if (found.tokens is None) == (found.body is None):
        raise RoutingFileInvalid(where, "needs either subject and body, or tokens")
    if labelled and found.label is None:
        raise RoutingFileInvalid(where, "needs a label")
    if found.tokens is not None:
        words = text.from_words(found.tokens)
    else:
        words = text.from_text(f"{found.subject}\n{found.body}")
    return Message(tuple(words), found.label)


# -- models --------------------------------------------------------------------------------------------


class _Written(BaseModel):
    """The manifest as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)

    format: int
    version: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    labels: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=40)]], Field(min_length=2, max_length=500)
    ]
    temperature: Annotated[float, Field(gt=0)]
    threshold: Annotated[float, Field(ge=0)]
    messages: Annotated[int, Field(ge=1)]
    precision: Annotated[float, Field(ge=0, le=1)]
    coverage: Annotated[float, Field(ge=0, le=1)]


def pack(model: Model) -> tuple[bytes, bytes]:
    """A model as the bytes of its manifest and of its arrays; the version is made from both."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "words": np.frombuffer(_SEPARATOR.join(model.vocabulary.words).encode(), np.uint8),
        "matrix": model.matrix.astype(np.float16),
        "intercept": model.intercept.astype(np.float32),
        "examples.columns": model.examples.columns,
        "examples.directions": model.examples.directions.astype(np.float16),
        "examples.places": model.examples.places.astype(np.float16),
        "examples.weights": model.examples.weights.astype(np.float32),
    }
    for name in BLOCKS:
        arrays[f"{name}.keys"] = model.vocabulary.blocks[name].keys
        arrays[f"{name}.weights"] = model.vocabulary.blocks[name].weights.astype(np.float16)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    data = buffer.getvalue()
    stated = asdict(model.manifest) | {"format": FORMAT, "digest": hashlib.sha256(data).hexdigest()}
    stated["version"] = _version(stated)
    return json.dumps(stated, ensure_ascii=False, indent=1).encode() + b"\n", data


def _version(stated: dict[str, Any]) -> str:
    """The version of what a manifest states, which includes the digest of the arrays."""
    rest = {key: value for key, value in stated.items() if key != "version"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:16]


def unpack(manifest: bytes, data: bytes, where: str = "the model") -> Model:
    """The model of these bytes.

    Raises:
        RoutingFileInvalid: they are no model, belong to another format, or were changed.
    """
    try:
        written = _Written.model_validate_json(manifest)
    except ValidationError as invalid:
        first = invalid.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise RoutingFileInvalid(f"{where}: {MANIFEST}", f"{place}: {first['msg']}") from None
    if written.format not in (WITHOUT_EXAMPLES, FORMAT):
        raise RoutingFileInvalid(
            f"{where}: {MANIFEST}", f"format {written.format} is none that is read here ({FORMAT} and before)"
        )
    if hashlib.sha256(data).hexdigest() != written.digest:
        raise RoutingFileInvalid(f"{where}: {ARRAYS}", "is not the file that the manifest names")
    stated = written.model_dump()
    if _version(stated) != written.version:
        raise RoutingFileInvalid(f"{where}: {MANIFEST}", "was changed: its version is that of other contents")
    del stated["format"], stated["digest"]
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            words = arrays["words"].tobytes().decode().split(_SEPARATOR)
            blocks = {
                name: Block(
                    arrays[f"{name}.keys"].astype(np.uint64, casting="equiv"),
                    arrays[f"{name}.weights"].astype(np.float32),
                )
                for name in BLOCKS
            }
            vocabulary = Vocabulary({word: number for number, word in enumerate(words, 1)}, blocks)
            model = Model(
                Manifest(**{**stated, "labels": tuple(written.labels)}),
                vocabulary,
                arrays["matrix"].astype(np.float32),
                arrays["intercept"].astype(np.float32),
                examples.none(len(written.labels))
                if written.format == WITHOUT_EXAMPLES
                else _examples(arrays),
            )
    except (KeyError, ValueError, TypeError, OSError, EOFError, MemoryError):
        raise RoutingFileInvalid(f"{where}: {ARRAYS}", "does not hold the arrays of a model") from None
    labels = len(written.labels)
    fits = model.matrix.shape == (vocabulary.size, labels) and model.intercept.shape == (labels,)
    fits = fits and _fit_each_other(model.examples, vocabulary.size, labels)
    if not fits or any(block.keys.shape != block.weights.shape for block in blocks.values()):
        raise RoutingFileInvalid(f"{where}: {ARRAYS}", "holds arrays that do not fit each other")
    return model


def _examples(arrays: Mapping[str, npt.NDArray[Any]]) -> Examples:
    return Examples(
        arrays["examples.columns"].astype(np.int32, casting="equiv"),
        arrays["examples.directions"].astype(np.float32),
        arrays["examples.places"].astype(np.float32),
        arrays["examples.weights"].astype(np.float32),
    )


def _fit_each_other(found: Examples, features: int, labels: int) -> bool:
    columns, numbers = found.columns, (found.directions, found.places, found.weights)
    return (
        columns.ndim == 1
        and bool(np.all(np.diff(columns, prepend=-1, append=features) > 0))
        and found.directions.shape == (columns.size, examples.TOPICS)
        and found.places.shape == (*found.weights.shape[:1], examples.TOPICS)
        and found.weights.shape[1:] == (labels,)
        and all(bool(np.isfinite(one).all()) for one in numbers)
    )


def save(model: Model, folder: Path) -> Model:
    """Write a model into a folder, made where missing; returns it with its version."""
    manifest, data = pack(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ARRAYS).write_bytes(data)
        (folder / MANIFEST).write_bytes(manifest)
    except OSError as fault:
        raise RoutingFileInvalid(str(folder), f"cannot be written: {fault.strerror}") from None
    version = str(json.loads(manifest)["version"])
    return replace(model, manifest=replace(model.manifest, version=version))


def load(folder: Path) -> Model:
    """The model of a folder. Raises RoutingFileInvalid."""
    try:
        manifest, data = (folder / MANIFEST).read_bytes(), (folder / ARRAYS).read_bytes()
    except OSError as fault:
        raise RoutingFileInvalid(str(folder), f"holds no model that can be read: {fault.strerror}") from None
    return unpack(manifest, data, str(folder))
