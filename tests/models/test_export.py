"""Exported folders: ``AutoModelFor...`` gives our logits, ``Model.load`` gives them back, and heads drop off cleanly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tiny_models import PACKED, make_batch, padded_inputs, tiny, write_folder
from torch import Tensor

from xstilts.batching.batch import Batch
from xstilts.errors import ModelError, StoreError
from xstilts.models.description import read_description
from xstilts.models.export import export
from xstilts.models.loading import load_encoder, load_tokenizer
from xstilts.models.model import Model
from xstilts.task_types import Head

LENGTHS = (5, 9, 2, 14)
LABELS = ("entailment", "neutral", "contradiction")
SHAPES = {
    "classification": Head("pooled", 3, LABELS),
    "multiple_choice": Head("pooled", 1),
    "tagging": Head("token", 3, ("NOUN", "VERB", "X")),
    "span": Head("token", 2),
}
CLASSES = {
    "classification": "AutoModelForSequenceClassification",
    "multiple_choice": "AutoModelForMultipleChoice",
    "tagging": "AutoModelForTokenClassification",
    "span": "AutoModelForQuestionAnswering",
}


def batch_for(type_name: str, family: str = "bert") -> Batch:
    read = "first" if SHAPES[type_name].kind == "pooled" else "some"
    return make_batch(LENGTHS, 3, read=read, types=family == "bert")


def theirs(folder: Path, type_name: str, family: str, batch: Batch) -> Tensor:
    """Logits at the read positions by the transformers class of the shape; its load report must be clean."""
    cls = getattr(transformers, CLASSES[type_name])
    model, report = cls.from_pretrained(folder, output_loading_info=True)
    assert not any(report[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")), report
    assert type(model).__name__ == json.loads((folder / "config.json").read_text())["architectures"][0]
    inputs: dict[str, Any] = padded_inputs(batch, 1, types=family == "bert")
    with torch.no_grad():
        if type_name == "multiple_choice":  # two examples of two choices
            output = model.eval()(**{name: value.reshape(2, 2, -1) for name, value in inputs.items()})
            return output.logits.reshape(4, 1)  # type: ignore[no-any-return]
        output = model.eval()(**inputs)
    if type_name == "classification":
        return output.logits  # type: ignore[no-any-return]
    block = torch.stack([output.start_logits, output.end_logits], -1) if type_name == "span" else output.logits
    return torch.cat([block[i, :n] for i, n in enumerate(batch.lengths)])[batch.read]


@pytest.mark.parametrize("type_name", SHAPES)
@pytest.mark.parametrize("family", PACKED)
def test_auto_model_and_our_own_loading_give_equal_logits(tmp_path: Path, family: str, type_name: str) -> None:
    shape, batch = SHAPES[type_name], batch_for(type_name, family)
    model = Model.start(tiny(family), shape, seed=5)
    with torch.no_grad():
        expected = model.logits(batch)
    assert expected.shape == (len(batch.read), shape.num_outputs) and float(expected.std()) > 1e-3
    export(model, tmp_path / "out", "some_task", type_name, shape.labels)
    torch.testing.assert_close(theirs(tmp_path / "out", type_name, family, batch), expected, atol=1e-5, rtol=0)
    again = Model.load(tmp_path / "out")
    with torch.no_grad():
        assert torch.equal(again.logits(batch), expected)
    assert again.head_shape == shape
    assert again.description is not None and (again.description.task, again.description.type) == (
        "some_task",
        type_name,
    )


@pytest.mark.parametrize("family", ["distilbert", "electra"])
@pytest.mark.parametrize("type_name", ["classification", "span"])
def test_a_family_without_a_map_keeps_its_head_beside_a_base_model(tmp_path: Path, family: str, type_name: str) -> None:
    model, batch = Model.start(tiny(family), SHAPES[type_name], seed=5), batch_for(type_name, family)
    export(model, tmp_path, "some_task", type_name)
    said = json.loads((tmp_path / "xstilts.json").read_text())
    assert said["head_file"] == "xstilts-head.safetensors" in said["note"] and said["execution"]["kind"] == "padded"
    with torch.no_grad():
        assert torch.equal(Model.load(tmp_path).logits(batch), model.logits(batch))
    _, report = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]


@pytest.mark.parametrize("family", ["bert", "xlm-roberta", "electra"])
def test_the_next_stage_drops_the_head_and_keeps_the_encoder(tmp_path: Path, family: str) -> None:
    first = Model.start(tiny(family), SHAPES["classification"], seed=1)
    with torch.no_grad():
        for weight in first.parameters():
            weight.add_(0.01)
    export(first, tmp_path, "mnli", "classification")
    second, batch = Model.start(tmp_path, SHAPES["tagging"], seed=2), batch_for("tagging")
    with torch.no_grad():
        assert torch.equal(second.hidden(batch), first.hidden(batch))
    assert second.logits(batch).shape == (len(batch.read), 3)
    assert torch.equal(load_encoder(tmp_path)(batch), first.hidden(batch))


def test_config_says_labels_and_no_dropout_override_is_handed_on(tmp_path: Path) -> None:
    model = Model.start(tiny("xlm-roberta"), SHAPES["classification"], seed=1, dropout=0.0, attention_dropout=0.3)
    export(model, tmp_path, "mnli", "classification", LABELS)
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    assert config.id2label == dict(enumerate(LABELS)) and config.label2id == {name: i for i, name in enumerate(LABELS)}
    assert (config.num_labels, config.hidden_dropout_prob, config.attention_probs_dropout_prob) == (3, 0.1, 0.1)
    source = json.loads((tiny("xlm-roberta") / "config.json").read_text())
    written = json.loads((tmp_path / "config.json").read_text())
    changed = {"architectures", "id2label", "label2id", "num_labels", "dtype"}
    assert {k: v for k, v in written.items() if k not in changed} == {
        k: v for k, v in source.items() if k not in changed
    }


def test_labels_of_the_last_head_are_replaced(tmp_path: Path) -> None:
    export(Model.start(tiny("bert"), SHAPES["classification"], 1), tmp_path / "a", "mnli", "classification", LABELS)
    export(Model.start(tmp_path / "a", SHAPES["span"], 1), tmp_path / "b", "squad_v1", "span")
    config = transformers.AutoConfig.from_pretrained(tmp_path / "b")
    assert config.num_labels == 2 and "neutral" not in config.label2id


def test_a_problem_type_of_an_earlier_head_is_not_handed_on(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "in", "bert", problem_type="regression")
    assert "regression" in (folder / "config.json").read_text()
    export(Model.start(folder, SHAPES["classification"], 1), tmp_path / "out", "mnli", "classification")
    assert "regression" not in (tmp_path / "out" / "config.json").read_text()


def test_tokenizer_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    export(Model.start(tiny("bert"), SHAPES["span"], 1), tmp_path, "squad_v1", "span")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        assert (tmp_path / name).read_bytes() == (tiny("bert") / name).read_bytes()
    texts = ["an apple fell", ("one", "two three")]
    ours, source = load_tokenizer(tmp_path), load_tokenizer(tiny("bert"))
    assert [e.ids for e in ours.encode(texts)] == [e.ids for e in source.encode(texts)]


def test_a_model_without_head_is_exported_as_a_plain_encoder(tmp_path: Path) -> None:
    model = Model.start(tiny("xlm-roberta"), None)
    export(model, tmp_path, "mlm", "masked_lm")
    assert Model.load(tmp_path).head is None
    with pytest.raises(ModelError, match="no head"):
        Model.load(tmp_path).logits(make_batch((3,)))
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["XLMRobertaModel"]


def test_wrong_labels_and_occupied_folders_are_refused(tmp_path: Path) -> None:
    model = Model.start(tiny("bert"), SHAPES["classification"], 1)
    with pytest.raises(ModelError, match="2 labels for a head with 3 outputs"):
        export(model, tmp_path, "mnli", "classification", ("a", "b"))
    export(model, tmp_path, "mnli", "classification", LABELS)
    before = (tmp_path / "model.safetensors").read_bytes()
    with pytest.raises(ModelError, match="nothing is overwritten"):
        export(model, tmp_path, "mnli", "classification", LABELS)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_a_full_disk_is_a_store_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("xstilts.models.export.save_file", full)
    with pytest.raises(StoreError, match="No space left"):
        export(Model.start(tiny("bert"), SHAPES["span"], 1), tmp_path, "squad_v1", "span")


def test_damage_to_an_exported_folder_is_named(tmp_path: Path) -> None:
    export(Model.start(tiny("bert"), SHAPES["span"], 1), tmp_path, "squad_v1", "span")
    described = (tmp_path / "xstilts.json").read_text()
    (tmp_path / "xstilts.json").write_text(described[:-30])
    with pytest.raises(ModelError, match=r"xstilts\.json is damaged"):
        Model.load(tmp_path)
    (tmp_path / "xstilts.json").write_text(described)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["qa_outputs.bias"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"qa_outputs\.bias"):
        Model.load(tmp_path)
    with pytest.raises(ModelError, match=r"no xstilts\.json"):
        Model.load(tiny("bert"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"precision": "fp8"}, "precision: 'fp8'; needed: fp32 or bf16"),
        ({"task": 7}, "task: '7'; needed: a text"),
        ({"type": ["span"]}, "type: "),
        ({"head_file": None}, "head_file: 'None'"),
        ({"head": []}, "damaged"),
        ({"head": {"kind": "token"}}, "it has no 'num_outputs'"),
        ({"head": {"kind": "crf", "num_outputs": 2, "labels": []}}, "head.kind: 'crf'; needed: pooled, token"),
        ({"head": {"kind": ["token"], "num_outputs": 2, "labels": []}}, "head.kind"),
        ({"head": {"kind": "token", "num_outputs": "2", "labels": []}}, "head.num_outputs"),
        ({"head": {"kind": "token", "num_outputs": 0, "labels": []}}, "head.num_outputs"),
        (
            {"head": {"kind": "token", "num_outputs": 2, "labels": ["a"]}},
            "head.labels: '1 labels'; the head has 2 outp",
        ),
        ({"head": {"kind": "token", "num_outputs": 2, "labels": "ab"}}, "head.labels: 'ab'; needed: a list"),
        ({"head": {"kind": "token", "num_outputs": 2, "labels": ["a", "a"]}}, "different texts"),
        ({"head": {"kind": "token", "num_outputs": 2, "labels": [1, 2]}}, "different texts"),
    ],
)
def test_a_description_that_cannot_be_names_the_field(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    head = {"kind": "token", "num_outputs": 2, "labels": []}
    good = {
        "task": "squad_v1",
        "type": "span",
        "head": head,
        "precision": "fp32",
        "architecture": "x",
        "head_file": "y",
    }
    path = tmp_path / "xstilts.json"
    path.write_text(json.dumps(good))
    read_description(tmp_path)
    path.write_text(json.dumps({**good, **changes}))
    with pytest.raises(ModelError) as error:
        read_description(tmp_path)
    assert says in error.value.what
    assert error.value.where == str(path)


def test_weights_are_float32_and_held_once(tmp_path: Path) -> None:
    export(Model.start(write_folder(tmp_path / "in", "bert"), SHAPES["classification"], 1), tmp_path / "out", "t", "x")
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        names = list(file.keys())
        assert {file.get_tensor(name).dtype for name in names} == {torch.float32}
    assert len(names) == len(set(names))
