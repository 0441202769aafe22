"""A model named by folder or by key, ready for somebody's own text. Torch is loaded by what is called here, not before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import ValidationError

from xstilts import tasks
from xstilts.errors import MissingNameError, ModelError
from xstilts.graph.status import resolve
from xstilts.graph.store import Store
from xstilts.hyperparameters import Encoding
from xstilts.model_source import hub_folder
from xstilts.outside import parse_json, read_bytes, read_json, read_object
from xstilts.task_types import Classification, Head, Tagging, TaskType
from xstilts.tasks.task import Task

if TYPE_CHECKING:
    from xstilts.models.model import Model
    from xstilts.models.streamed_model import StreamedModel

T = TypeVar("T")
EMBEDDING_LENGTH = 512
"""Sub-words of a text that is embedded, as for XTREME's two retrieval tasks; less where the encoder ends before."""
DESCRIPTION = "xstilts.json"
NODE = "node.json"


@dataclass(frozen=True)
class Predictor:
    """A model with its head.

    Args:
        model: in evaluation mode.
        task_type: the shape, labels in the order of the head.
        encoding: as the model was trained.
        pairs: its task classifies pairs of texts.
    """

    model: Model | StreamedModel
    task_type: TaskType
    encoding: Encoding
    pairs: bool


def find_folder(name: str, store: Path) -> Path:
    """The model folder called ``name``: a folder, a node's folder with ``model/`` in it, a key (prefix) of ``store``, or a
    model of the hub (``OWNER/NAME``, and ``@REVISION`` where it is not the newest).

    The key may be that of a number in the results: the model behind it is meant.

    Raises:
        ModelError: there is no such folder, the node has no model, or the hub does not give it.
        MissingNameError, StoreError: no node or several nodes of the store begin so.
    """
    folder = Path(name)
    if not folder.is_dir() and (named := re.fullmatch(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?", name)):
        return hub_folder(named[1], named[2], hint="it is no folder here; check the id, the network, or name a folder")
    if not folder.is_dir() or not name:
        if not store.is_dir() or not re.fullmatch("[0-9a-f]+", name):
            raise ModelError(
                f"no such model folder: {name!r}",
                hint="name a folder, a model of the hub (OWNER/NAME), or a node by its key and --store DIR",
            )
        found = Store(store)
        folder = _with_model(found, resolve(name, set(found.keys())))
    inside = folder / "model"
    if not (folder / "config.json").is_file() and inside.is_dir():
        folder = inside
    if not (folder / "config.json").is_file():
        kind = _trained_as(folder / "model").get("kind")
        what = f"it is a {kind!r} node, not a training" if kind else "it holds no config.json"
        raise ModelError(f"no model in this folder: {what}", where=str(folder))
    return folder


def _with_model(store: Store, key: str) -> Path:
    """The node ``key``, or the training that its predictions come from."""
    while not (store.path(key) / "model").is_dir():
        parents = store.record(key)["parents"]
        before = parents.get("predictions") or parents.get("model")
        if before is None or not store.has(before):
            break
        key = before
    return store.path(key)


def task_of(folder: Path) -> str | None:
    """The task that the folder's head was trained on; ``None`` for an encoder alone.

    Raises:
        ModelError: xstilts.json is damaged.
    """
    said = _kept(folder / DESCRIPTION, read_object) or {}
    return str(said.get("task")) if said.get("head") else None


def history_of(folder: Path) -> list[dict[str, Any]]:
    """What the folder's training wrote in it or, in a store, beside it: one mapping a line.

    Raises:
        ModelError: training.jsonl is damaged.
    """
    places = (folder / "training.jsonl", folder.parent / "training.jsonl")
    return next((lines for place in places if (lines := _kept(place, _json_lines)) is not None), [])


def _json_lines(file: Path) -> list[dict[str, Any]]:
    return [parse_json(line) for line in read_bytes(file).splitlines()]


def _kept(file: Path, read: Callable[[Path], T]) -> T | None:
    try:
        return read(file)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file.name} is damaged: {error}", where=str(file)) from None


def load_predictor(
    folder: Path,
    *,
    task_files: Iterable[Path] = (),
    max_length: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    device: str = "cpu",
    stream: Literal["auto", "always", "never"] = "auto",
) -> Predictor:
    """The model that a training exported to ``folder``.

    Its texts are encoded as in that training when the folder lies in a store's node, else by its task's defaults.

    Args:
        folder: holds xstilts.json.
        task_files: tasks from outside the package it may have been trained on.
        max_length: sub-words of a sequence; stride and question keep their share of it.
        precision: ``auto`` is bf16 where the device has it.
        device: ``cpu`` or ``cuda:N``.
        stream: whether the weights stay in their files (``auto``: where they do not fit into memory).

    Raises:
        ModelError: no exported model, one without a head, one with a head or a node that does not fit its task, or a
            device that is not there.
        MissingNameError: its task is unknown.
    """
    if not (folder / DESCRIPTION).is_file():
        raise ModelError(
            f"no {DESCRIPTION} here: this is an encoder without a trained head, so it predicts nothing",
            where=str(folder),
            hint="`xstilts embed` takes any encoder; `xstilts run` trains heads",
        )
    from xstilts.models.description import read_description

    said = read_description(folder)
    if said.head is None or said.type in ("retrieval", "masked_lm"):
        raise ModelError(
            f"this model was trained for {said.task!r} ({said.type.replace('_', ' ')}): it has no head that predicts",
            where=str(folder),
            hint="`xstilts embed` gives its embeddings",
        )
    for file in task_files:
        tasks.load_file(file)
    task = _task(said.task, folder)
    task_type = task.type
    if isinstance(task_type, Classification | Tagging) and said.head.labels:
        task_type = replace(task_type, labels=said.head.labels)
    if (said.type, said.head) != (task_type.name, task_type.head):
        raise ModelError(
            f"{said.task} does not fit a head for {said.type!r}: {_described(said.head)}; needed: one for "
            f"{task_type.name!r}: {_described(task_type.head)}",
            where=str(folder / DESCRIPTION),
        )
    model = _loaded(folder, precision, device, stream, head=True)
    encoding = trained_encoding(folder) or task.encoding
    # Every classification task of the package has pairs; one from outside may have single texts.
    pairs = tasks.outside_digest(task.name) is None
    return Predictor(model, task_type, fitted(encoding, model.encoder.max_length, max_length), pairs)


def load_embedder(
    folder: Path,
    *,
    max_length: int | None = None,
    precision: Literal["auto", "fp32", "bf16"] = "auto",
    device: str = "cpu",
    stream: Literal["auto", "always", "never"] = "auto",
) -> tuple[Model | StreamedModel, Encoding]:
    """The encoder of any Hugging Face folder, without head, and how it encodes a text.

    Raises:
        ModelError: no such folder, no plain encoder, or a device that is not there.
    """
    model = _loaded(folder, precision, device, stream, head=False)
    return model, fitted(Encoding(max_length=EMBEDDING_LENGTH), model.encoder.max_length, max_length)


def _loaded(
    folder: Path,
    precision: Literal["auto", "fp32", "bf16"],
    device: str,
    stream: Literal["auto", "always", "never"],
    *,
    head: bool,
) -> Model | StreamedModel:
    from xstilts.models.precision import resolve_precision
    from xstilts.models.streamed_model import load_model

    with placed(device):
        return load_model(folder, stream, resolve_precision(precision, device), device, head=head)


def check_layer(model: Model | StreamedModel, layer: int | None) -> int:
    """``layer``, the last one by default.

    Raises:
        ModelError: there is no such layer.
    """
    if layer is not None and layer > model.num_layers:
        raise ModelError(
            f"layer {layer} was asked of an encoder with {model.num_layers} layers",
            where="--layer",
            hint=f"0 is the embedding output, {model.num_layers} the last layer",
        )
    return model.num_layers if layer is None else layer


def fitted(encoding: Encoding, limit: int | None, wanted: int | None) -> Encoding:
    """``encoding`` at the length ``wanted``, or shortened to what the encoder can number.

    Raises:
        ModelError: ``wanted`` is more than that.
    """
    if wanted is not None and limit is not None and wanted > limit:
        raise ModelError(f"--max-length {wanted} was asked of an encoder that numbers {limit} positions")
    length = min(encoding.max_length, limit or encoding.max_length) if wanted is None else wanted
    if length == encoding.max_length:
        return encoding
    share = length / encoding.max_length
    changes = {
        "max_length": length,
        "stride": int(encoding.stride * min(share, 1)),
        "max_question_length": max(4, int(encoding.max_question_length * min(share, 1))),
    }
    return _valid_encoding(
        encoding.model_dump() | changes, "--max-length" if wanted is not None else "positions of the encoder"
    )


@contextmanager
def placed(device: str) -> Iterator[None]:
    """Torch's errors about a device it does not have, or that has no room, as ours."""
    try:
        yield
    except (RuntimeError, AssertionError) as error:
        raise ModelError(f"device {device!r} cannot be used: {str(error).splitlines()[0]}", where="--device") from None


def _task(name: str, folder: Path) -> Task:
    try:
        return tasks.load(name)
    except MissingNameError as error:
        raise ModelError(
            f"this model was trained on {name!r}, which is no task of this package",
            where=str(folder / DESCRIPTION),
            hint=f"{error.hint}; a task of your own is named by --task-file FILE",
        ) from None


def _described(head: Head | None) -> str:
    return "none" if head is None else f"{head.kind}, {head.num_outputs} outputs, {len(head.labels)} labels"


def trained_encoding(folder: Path) -> Encoding | None:
    """How texts were encoded in the training that ``folder`` is the model of; ``None`` where nothing says so.

    Raises:
        ModelError: what says so is damaged.
    """
    record = _trained_as(folder)
    if not record:
        said = (_kept(folder / DESCRIPTION, read_object) or {}).get("encoding")
        return None if said is None else _valid_encoding(said, str(folder / DESCRIPTION))
    path = str(folder.parent / NODE)
    spec = record.get("spec")
    if not isinstance(spec, dict) or "encoding" not in spec:
        raise ModelError("the node's record is damaged: spec has no encoding", where=path)
    return _valid_encoding(spec["encoding"], path)


def _valid_encoding(raw: Any, where: str) -> Encoding:
    try:
        return Encoding.model_validate(raw)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, e['loc'])) or raw!r}: {e['msg']}" for e in error.errors())
        raise ModelError(f"this encoding cannot be: {found}", where=where) from None


def _trained_as(folder: Path) -> dict[str, Any]:
    """``node.json`` of the store's node that ``folder`` is the model of; empty for a folder that lies elsewhere."""
    path = folder.parent / NODE
    if folder.name != "model" or not path.is_file():
        return {}
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise ModelError(f"the node's record is damaged: {error}", where=str(path)) from None
    if not isinstance(found, dict) or not found:
        raise ModelError("the node's record is damaged: it is no JSON object that says something", where=str(path))
    return found
