"""Readers of model folders and of checkpoints. Loads torch."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import torch
from trying import Reader

from tiny_world import tiny_model
from xstilts import tasks
from xstilts.graph.disk import digest_file
from xstilts.memory.check import model_in
from xstilts.model_choice import ModelChoice
from xstilts.model_source import drawn_weights, find_model
from xstilts.models.description import read_description
from xstilts.models.export import export
from xstilts.models.heads import MaskedLMHead, new_head
from xstilts.models.loading import load_encoder, load_tokenizer, read_config
from xstilts.models.masked_lm_head import masked_lm_shape, take_masked_lm_head
from xstilts.models.model import Model
from xstilts.models.weight_files import WeightFiles
from xstilts.own_text.models import find_folder, load_predictor
from xstilts.training.checkpoint import Checkpoints
from xstilts.training.state import TrainingState


@cache
def _model() -> dict[str, bytes]:
    """An exported model with a head, in a folder of a node."""
    shape = tasks.load("xnli").type
    assert shape.head is not None
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "model"
        export(Model.start(tiny_model(), shape.head, 3), folder, "xnli", shape.name, shape.head.labels)
        files = {f"model/{p.name}": p.read_bytes() for p in sorted(folder.iterdir())}
    return files | {"node.json": b'{"spec": {"encoding": {"max_length": 48, "stride": 8}}, "kind": "train"}'}


def _find(folder: Path) -> None:
    found = find_model("m", ModelChoice(path=str(folder / "model")), digest_file)
    drawn_weights(found.folder)


def _weights(folder: Path) -> None:
    with WeightFiles(folder / "model") as files:
        for name, stored in files.stored.items():
            files.read(name, torch.empty(stored.shape, dtype=stored.dtype))


def _masked_lm(folder: Path) -> None:
    config = read_config(folder / "model")
    head = new_head(masked_lm_shape(folder / "model"), config, 1)
    assert isinstance(head, MaskedLMHead)
    take_masked_lm_head(folder / "model", head, config)


def _toy() -> tuple[torch.nn.Module, TrainingState]:
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, TrainingState(optimizer)


@cache
def _checkpoint() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        (folder / "log").write_text("{}\n")
        model, state = _toy()
        state.step, state.loss = 3, 0.5
        (folder / "kept").mkdir()
        Checkpoints(folder / "kept", "any").save(model, state, folder / "log", {"threads": 1})
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def _resume(folder: Path) -> None:
    model, state = _toy()
    before = {name: of.clone() for name, of in model.state_dict().items()}
    found = Checkpoints(folder / "kept", "any").resume(model, state, folder / "log", {"threads": 1})
    assert found is not None
    if found.damaged:  # then it begins anew, from the weights it had
        assert all(torch.equal(of, before[name]) for name, of in model.state_dict().items())


def models() -> Iterator[Reader]:
    """A model folder, read by each that reads one."""
    files = _model()
    config, weights, words = "model/config.json", "model/model.safetensors", "model/tokenizer.json"
    settings, said = "model/tokenizer_config.json", "model/xstilts.json"
    yield Reader("model: found", files, _find, change=(config, settings), weight=0.5)
    yield Reader("model: memory", files, lambda f: model_in(f / "model"), change=(config, weights))
    yield Reader("model: description", files, lambda f: read_description(f / "model"), change=(said,), weight=0.5)
    yield Reader("model: streamed weights", files, _weights, change=(weights,))
    yield Reader("model: masked LM head", files, _masked_lm, change=(config, weights, said))
    yield Reader("model: encoder", files, lambda f: load_encoder(f / "model"), change=(config, weights), weight=2)
    yield Reader("model: tokenizer", files, lambda f: load_tokenizer(f / "model"), change=(words, settings), weight=2)
    every = (config, weights, words, settings, said, "node.json")
    yield Reader("model: predictor", files, lambda f: load_predictor(find_folder(str(f), f)), change=every, weight=2)
    yield Reader(
        "checkpoint of a training",
        _checkpoint(),
        _resume,
        change=tuple(name for name in _checkpoint() if name.startswith("kept")),
        fresh=True,
    )


def readers() -> list[Reader]:
    """All of them."""
    return list(models())
