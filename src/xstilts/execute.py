"""Runs a node in a worker process: the only place where the graph meets training and inference.

Started as ``python -m xstilts.execute`` by the driver. The pure kinds (parse, calibrate, score) never load torch.
"""

from __future__ import annotations

import gc
import json
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from xstilts import parsing, scoring, tasks
from xstilts.graph.claim import Claim
from xstilts.graph.node import Node, Resources
from xstilts.graph.worker import Progress, serve
from xstilts.hyperparameters import Encoding
from xstilts.inputs import input_file, load_task_files
from xstilts.memory.check import check_room
from xstilts.memory.nodes import is_sharded
from xstilts.rows import choose_rows, open_rows, without_gold
from xstilts.task_types import Bitext, Retrieval

if TYPE_CHECKING:
    from xstilts.inference.sweep import Sweep
    from xstilts.models.model import Model
    from xstilts.models.precision import Precision
    from xstilts.models.streamed_model import StreamedModel
    from xstilts.models.text_model import TextModel

Counts = dict[str, Any]
_loaded: dict[str, Model | StreamedModel | TextModel] = {}
"""The last model that was used for predictions: nodes that share it run one after another in the same worker."""


def execute(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Run one node and leave its output in ``out``; the returned counts are kept with the node.

    Args:
        node: what to run.
        parents: role -> folder of a finished node.
        out: an empty folder.
        resources: device, threads, and where input files and models lie.
        progress: told how far it is.
    """
    load_task_files(node.spec, resources)
    check_room(node, parents, resources)
    kinds: dict[str, Callable[[], Counts]] = {
        "random": lambda: _random(node, out, resources, progress),
        "pretrain": lambda: _learn(node, parents, out, resources, progress),
        "train": lambda: _learn(node, parents, out, resources, progress),
        "mix": lambda: _learn(node, parents, out, resources, progress),
        "generate": lambda: _generate(node, parents, out, resources, progress),
        "parse": lambda: parsing.parse(node, parents, out, resources),
        "predict": lambda: _predict(node, parents, out, resources, progress),
        "prune": lambda: _prune(node, parents, out, resources),
        "retrieve": lambda: _retrieve(node, parents, out, resources, progress),
        "calibrate": lambda: scoring.calibrate(node, parents, out, resources),
        "score": lambda: scoring.score(node, parents, out, resources),
        "measure": lambda: _measure(node, parents, out, resources, progress),
    }
    return kinds[node.kind]()


def _learn(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """A training holds no other model meanwhile; several processes run some of them together."""
    from xstilts.learning import mix_node, pretrain_node, train_node
    from xstilts.text_learning import text_mix_node, text_pretrain_node, text_train_node
    from xstilts.training.ranks import joined

    _loaded.clear()
    if not is_sharded(node) and resources.rank > 0:
        return {}  # the first process learns it alone
    if node.kind == "pretrain" and "objective" in node.spec["settings"]:
        return text_pretrain_node(node, out, resources, progress)
    if any("cast" in part for part in (node.spec, *node.spec.get("parts", {}).values())):
        return (text_train_node if node.kind == "train" else text_mix_node)(node, parents, out, resources, progress)
    if node.kind == "pretrain":
        return pretrain_node(node, out, resources, progress)
    with joined(resources if is_sharded(node) else replace(resources, processes=1)):
        return (train_node if node.kind == "train" else mix_node)(node, parents, out, resources, progress)


def _random(node: Node, out: Path, resources: Resources, progress: Progress) -> Counts:
    """A model that has learned nothing, of a named shape."""
    from xstilts.models.random_weights import write_random_model

    spec = node.spec
    with TemporaryDirectory(dir=out.parent) as words:
        for entry in spec["tokenizer"]:
            shutil.copyfile(input_file(entry["sha256"], resources), Path(words) / entry["name"])
        return dict(
            write_random_model(
                out / "model",
                spec["config"],
                spec["seed"],
                dtype=spec["dtype"],
                tokenizer=Path(words),
                progress=lambda done, total: progress(done / 2**30, total / 2**30, "GiB"),
            )
        )


def _prune(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources) -> Counts:
    from xstilts.models.prune import keep_layers
    from xstilts.starting import start_folder

    return keep_layers(start_folder(node.spec, parents, resources), node.spec["layers"], out / "model")


def _measure(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Inference, measured in processes of its own: this one must hold no model and no threads meanwhile."""
    from xstilts.bench.measure import measure

    _loaded.clear()
    gc.collect()
    if "torch" in sys.modules:  # what this process reserved on a card would be missing to the measured one
        sys.modules["torch"].cuda.empty_cache()
    return measure(node, parents, out, resources, progress)


def _predict(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Scored outputs of every language: the predictions files."""
    from xstilts.inference.predict import matched_type, predict, predict_together
    from xstilts.inference.stream import Room
    from xstilts.models.streamed_model import StreamedModel

    spec = node.spec
    task, encoding = tasks.load(spec["task"]), Encoding.model_validate(spec["encoding"])
    model = _load(parents["model"] / "model", spec["precision"], resources, head=True)
    assert model.head_shape is not None
    task_type = matched_type(task, model.head_shape.labels)
    counts: dict[str, Any] = {}

    def rows(language: str) -> Sequence[Any]:
        found = open_rows(task, spec["languages"][language], language, resources)
        return without_gold(choose_rows(found, spec["rows"]))

    def write(language: str, outputs: list[dict[str, Any]]) -> None:
        scoring.write_rows(out / "outputs" / f"{language}.jsonl", outputs)

    tokens = resources.micro_batch_tokens
    if isinstance(model, StreamedModel):
        claim = Claim.of(out)
        examples = {language: rows(language) for language in spec["languages"]}
        room = Room(claim.checkpoints / "streamed", resources.checkpoint_seconds, claim.held)
        together = predict_together(
            model, task_type, examples, encoding, micro_batch_tokens=tokens, room=room, progress=progress
        )
        for language, (outputs, counts[language]) in together.items():
            write(language, outputs)
    else:
        for done, language in enumerate(spec["languages"]):
            progress(done, len(spec["languages"]), "languages", at=language)
            outputs, counts[language] = predict(
                model, task_type, rows(language), encoding, micro_batch_tokens=tokens, progress=None
            )
            write(language, outputs)
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return _summed(counts) | _how(model)


def _generate(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """What a text-to-text model writes in every language."""
    from xstilts.models.text_model import TextModel
    from xstilts.text_learning import generate_node

    folder, precision = parents["model"] / "model", node.spec["precision"]
    key = f"{folder} {precision} {resources.device} text"
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = TextModel.load(folder, precision=precision, device=resources.device)
    model = _loaded[key]
    assert isinstance(model, TextModel)
    return _summed(generate_node(node, out, resources, progress, model))


def _retrieve(node: Node, parents: Mapping[str, Path], out: Path, resources: Resources, progress: Progress) -> Counts:
    """Neighbours (Tatoeba) or mined pairs (BUCC) at every asked layer and pooling; embeddings are scratch."""
    from xstilts.inference.sweep import stream_sweeps
    from xstilts.models.streamed_model import StreamedModel
    from xstilts.starting import start_folder

    spec = node.spec
    task, encoding = tasks.load(spec["task"]), Encoding.model_validate(spec["encoding"])
    assert isinstance(task.type, Retrieval)
    layers, poolings = spec["layers"], spec["poolings"]
    if layers == "calibrated":
        chosen = json.loads((parents["calibration"] / "calibration.json").read_text(encoding="utf-8"))
        layers, poolings = [chosen["layer"]], [chosen["pooling"]]
    model = _load(start_folder(spec, parents, resources), spec["precision"], resources, head=False)

    def bitext(language: str) -> Bitext:
        (found,) = open_rows(task, spec["languages"][language], language, resources)
        assert isinstance(found, Bitext)
        return found

    asked = {
        "encoding": encoding,
        "layers": layers,
        "poolings": poolings,
        "scratch": out,
        "micro_batch_tokens": resources.micro_batch_tokens,
    }
    if isinstance(model, StreamedModel):
        bitexts = {language: bitext(language) for language in spec["languages"]}
        sweeps = stream_sweeps(model, bitexts, task.type.mode, **asked, progress=progress)
    else:
        sweeps = _sweeps(model, [*spec["languages"]], bitext, task.type.mode, asked, progress)
    counts: dict[str, Any] = {}
    for language, sweep in sweeps:
        counts[language] = sweep.counts
        scoring.write_rows(out / "outputs" / f"{language}.jsonl", scoring.folded(sweep.rows))
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    return _summed(counts) | _how(model)


def _sweeps(
    model: Model,
    languages: Sequence[str],
    bitext: Callable[[str], Bitext],
    mode: str,
    asked: Mapping[str, Any],
    progress: Progress,
) -> Iterator[tuple[str, Sweep]]:
    """The sweep of one language after the other."""
    from xstilts.inference.sweep import sweep_mined, sweep_nearest

    search = sweep_nearest if mode == "nearest" else sweep_mined
    for done, language in enumerate(languages):

        def shown(sentences: int, of: int, done: int = done, language: str = language) -> None:
            progress(done + sentences / of, len(languages), "languages", at=language)

        yield language, search(model, bitext(language), **asked, progress=shown)


def _load(folder: Path, precision: Precision, resources: Resources, *, head: bool) -> Model | StreamedModel:
    from xstilts.models.streamed_model import load_model
    from xstilts.models.text_model import TextModel

    key = f"{folder} {precision} {resources.device} {head}"
    if key not in _loaded:
        _loaded.clear()
        _loaded[key] = load_model(folder, resources.stream, precision, resources.device, head=head)
    model = _loaded[key]
    assert not isinstance(model, TextModel)
    return model


def _how(model: Model | StreamedModel) -> Counts:
    """Kept with the node: that its weights were streamed."""
    from xstilts.models.streamed_model import StreamedModel

    return {"streamed": True} if isinstance(model, StreamedModel) else {}


def _summed(counts: Mapping[str, Mapping[str, int]]) -> Counts:
    names = sorted({name for c in counts.values() for name in c})
    return {"languages": len(counts), **{n: sum(c.get(n, 0) for c in counts.values()) for n in names}}


if __name__ == "__main__":
    serve(execute)
