"""An exported model: plain transformers loads it with equal logits, and its card says what the store knows."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from huggingface_hub import EvalResultEntry, ModelCard, parse_eval_result_entries
from tiny_models import make_batch, tiny
from tiny_tasks import CLASSES, TYPES, head_of

from made_store import made_store, training
from tiny_world import tiny_data, tiny_model
from xstilts.errors import ModelError, StoreError
from xstilts.exporting import transformers_folder
from xstilts.exporting.hub_results import eval_results
from xstilts.exporting.lineage import lineage
from xstilts.exporting.transformers_folder import export_transformers
from xstilts.graph.store import Store
from xstilts.hub.declared import copies
from xstilts.journey import plan_study
from xstilts.models.export import export
from xstilts.models.model import Model
from xstilts.report.data_used import citations, data_used
from xstilts.tasks import load

TARGETS = ["xnli", "panx", "xquad", "tatoeba", "bucc2018"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Five targets in two languages, two arms, two seeds."""
    home = tmp_path_factory.mktemp("made")
    yield made_store(home, targets=TARGETS, languages=["de", "en"], seeds=[1, 2], retrieval={"layer_from": "fixed"})
    shutil.rmtree(home)


def written(store: Store, key: str, to: Path) -> tuple[str, dict[str, Any]]:
    """The card of an exported node: its text and its metadata, as the hub's own library reads it."""
    export_transformers(store.path(key) / "model", to)
    loaded = ModelCard.load(to / "README.md", ignore_metadata_errors=False)
    return loaded.text, loaded.data.to_dict()


@pytest.mark.parametrize("shape", ["classification", "tagging", "span", "multiple_choice"])
@pytest.mark.parametrize("family", ["xlm-roberta", "bert"])
def test_the_line_in_the_card_loads_it_with_equal_logits(tmp_path: Path, shape: str, family: str) -> None:
    model = Model.start(tiny(family), head_of(shape), seed=5)
    export(model, tmp_path / "model", "some_task", TYPES[shape].name, getattr(TYPES[shape], "labels", ()))
    export_transformers(tmp_path / "model", tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    name = re.findall(r'model = (\w+)\.from_pretrained\("out"\)', text)
    assert name == [CLASSES[shape]]
    theirs = getattr(transformers, name[0]).from_pretrained(tmp_path / "out").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    batch = make_batch([11], read="first" if shape in ("classification", "multiple_choice") else "some")
    with torch.no_grad():
        ids = batch.input_ids[None, None] if shape == "multiple_choice" else batch.input_ids[None]
        output = theirs(input_ids=ids)
        expected = model.logits(batch)
    logits = torch.stack([output.start_logits, output.end_logits], -1) if shape == "span" else output.logits
    found = logits[0] if shape in ("tagging", "span") else logits
    torch.testing.assert_close(found[batch.read] if found.shape[0] > 1 else found, expected, atol=1e-5, rtol=0)
    assert tokenizer("abc").input_ids == transformers.AutoTokenizer.from_pretrained(tiny(family))("abc").input_ids
    assert text.count("`some_task`") == 1


def test_the_card_says_the_training_and_the_scores(store: Store, tmp_path: Path) -> None:
    key = training(store, "xnli", seed=2)
    text, data = written(store, key, tmp_path / "nli")
    before = training(store, "mnli", seed=2)
    assert "| intermediate | `mnli` | en | 24 | 2 | 6 |" in text and f"`{before[:12]}`" in text
    assert "| target | `xnli` | en | 24 | 2 | 6 |" in text and f"`{key[:12]}`" in text
    assert "Arm `mnli` of the study `tiny`, seed 2" in text
    # Values are 40 + 10 * seed + 2: this model's is 62; two seeds' mean is 57, its interval is wide and cut at 100.
    assert "| de | 24 | 62.0 | 57.0 [0.0, 100.0] | 33.3 |" in text
    assert "| **mean** | 48 | 62.0 |" in text and "xquad" not in text
    assert data["pipeline_tag"] == "text-classification" and data["library_name"] == "transformers"
    assert data["language"] == ["en", "de"] and data["metrics"] == ["accuracy"]
    assert (data["license"], data["license_name"]) == ("other", "see-the-card")
    assert "XNLI, whose licence is: CC BY-NC 4.0" in text and "licence of the base model is not known" in text
    assert data["datasets"] == ["nyu-mll/multi_nli"]  # XNLI's English training rows are MultiNLI's
    assert "@inproceedings{conneau-2018-xnli" in text and "@inproceedings{williams-2018-multinli" in text
    results = ModelCard.load(tmp_path / "nli" / "README.md").data.eval_results
    assert results is not None
    assert [(r.dataset_type, r.metric_type, r.metric_value) for r in results][:2] == [
        ("google/xtreme", "accuracy", 62.0),
        ("google/xtreme", "accuracy", 62.0),
    ]


def test_an_intermediate_model_shows_scores_after_fine_tuning_apart(store: Store, tmp_path: Path) -> None:
    text, data = written(store, training(store, "mnli"), tmp_path / "encoder")
    assert "**xnli**, test rows, **after fine-tuning this model**" in text
    assert "**tatoeba**, test rows:" in text
    # Its own head classifies; only retrieval is a score of what is in the folder.
    assert {result["task"]["name"] for result in data["model-index"][0]["results"]} == {"Tatoeba", "BUCC"}


def test_results_of_the_hub_are_of_the_hubs_datasets_only(store: Store, tmp_path: Path) -> None:
    key = training(store, "panx")
    found = export_transformers(store.path(key) / "model", tmp_path / "ner")
    entries = parse_eval_result_entries(yaml.safe_load((tmp_path / "ner/.eval_results/panx.yaml").read_text()))
    assert entries == [
        EvalResultEntry(
            dataset_id="google/xtreme",
            task_id=f"PAN-X.{language}",
            value=52.0,
            date="2026-01-02",
            notes="zero-shot from en; f1, 0 to 100",
        )
        for language in ("de", "en")
    ]
    assert ".eval_results/panx.yaml" in found.files
    other = export_transformers(store.path(training(store, "xnli")) / "model", tmp_path / "nli")
    assert not (tmp_path / "nli/.eval_results").exists()
    assert any("no .eval_results entry of xnli" in note for note in other.notes)


def test_fetched_rows_give_a_result_with_their_revision(tmp_path: Path) -> None:
    home = made_store(tmp_path, languages=list(languages_of("xnli")))
    payload = home.studies()["tiny"]
    files = [
        {"path": copies("xnli", "test", each)[0].path, "revision": "abc", "lines": None}
        for each in languages_of("xnli")
    ]
    home.save_study("tiny", {**payload, "hub": {"files": files, "models": {}}})
    known = lineage(home.path(training(home, "xnli")) / "model")
    assert known is not None
    entries, reasons = eval_results(known)
    (entry,) = entries["xnli"]
    assert entry["dataset"] == {"id": "google/xtreme", "task_id": "XNLI", "revision": "abc"} and reasons == []
    assert entry["notes"].endswith("the mean over " + ", ".join(languages_of("xnli")))
    for other in (files[1:], [{**files[0], "revision": "def"}, *files[1:]]):
        home.save_study("tiny", {**payload, "hub": {"files": other, "models": {}}})
        known = lineage(home.path(training(home, "xnli")) / "model")
        assert known is not None
        assert eval_results(known)[0] == {}, "rows from two places are not those of one commit"


def languages_of(task: str) -> tuple[str, ...]:
    return load(task).languages


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"limits": {"evaluation_rows": 8}}, "at most 8 rows of each language were scored"),
        ({"own_languages": {"de": {"name": "Another German"}}}, "rows of the study's own"),
        ({"data": {"files": {"panx.test.de": ["panx/dev-de.tsv"]}}}, "files that stand in for the published ones"),
    ],
)
def test_no_result_of_the_hub_where_other_rows_were_scored(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    home = made_store(tmp_path, targets=["panx"], languages=["de", "en"], **changes)
    known = lineage(home.path(training(home, "panx")) / "model")
    assert known is not None
    entries, reasons = eval_results(known)
    assert entries == {} and len(reasons) == 1 and reason in reasons[0]


def test_the_study_beside_the_card_plans_the_same_node(store: Store, tmp_path: Path) -> None:
    key = training(store, "xquad", seed=2)
    text, _ = written(store, key, tmp_path / "qa")
    assert f"--model tiny=FOLDER\n$ xstilts why {key[:12]}" in text
    again = plan_study(
        tmp_path / "qa/study.yaml", tiny_data(), Store(tmp_path / "other"), model_folders={"tiny": tiny_model()}
    )
    assert key in again.graph.by_key
    assert str(tiny_model().parent) not in text + (tmp_path / "qa/study.yaml").read_text()


def test_a_base_model_that_declares_its_licence_hands_it_on(tmp_path: Path) -> None:
    base = shutil.copytree(tiny_model(), tmp_path / "base")
    (base / "README.md").write_text("---\nlicense: mit\n---\n\n# base\n")
    home = made_store(
        tmp_path / "home", targets=["tydiqa"], languages=["en"], models={"m": {"path": str(base)}}, arms={"none": {}}
    )
    text, data = written(home, training(home, "tydiqa", arm="none"), tmp_path / "out")
    assert data["license"] == "mit" and "license_name" not in data and "as the base model" in text


def test_own_rows_are_not_given_the_licence_of_the_form(tmp_path: Path) -> None:
    own = {code: {"name": code.upper()} for code in ("de", "en")}
    home = made_store(tmp_path, languages=["de", "en"], own_languages=own)
    text, data = written(home, training(home, "xnli"), tmp_path / "own")
    assert "the study's own rows in the form of XNLI" in text and "CC BY-NC" not in text
    assert "conneau-2018-xnli" not in text and "datasets" not in data and "language" not in data
    assert "rows of the study's own: whoever owns those chooses" in text


def test_what_a_study_used_is_said_once_with_its_uses(store: Store) -> None:
    payload = store.studies()["tiny"]
    used = {of.name: of for of in data_used(payload["nodes"], payload)}
    assert {name: (of.trained, of.scored) for name, of in used.items()} == {
        "mnli": (True, False),
        "panx": (True, True),
        "squad_v1": (True, False),
        "xnli": (True, True),
        "bucc2018": (False, True),
        "tatoeba": (False, True),
        "xquad": (False, True),
    }
    assert used["xnli"].licence == "CC BY-NC 4.0" and used["xnli"].paper == "arXiv:1809.05053"
    assert citations(used.values()).count("@") == len(used)


def test_a_folder_of_no_store_says_that_nothing_is_known(tmp_path: Path) -> None:
    found = export_transformers(tiny_model(), tmp_path / "base")
    text = (tmp_path / "base" / "README.md").read_text(encoding="utf-8")
    assert "No record of its training" in text and "AutoModel.from_pretrained" in text
    assert not {"study.yaml", ".eval_results"} & set(found.files)
    assert ModelCard.load(tmp_path / "base" / "README.md").data.to_dict()["pipeline_tag"] == "feature-extraction"


def test_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(StoreError, match="nothing is overwritten"):
        export_transformers(tiny_model(), tmp_path / "there")
    with pytest.raises(StoreError, match="is not there"):
        export_transformers(tiny_model(), tmp_path / "no" / "folder")

    def broken(*_: Any, **__: Any) -> list[str]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(transformers_folder, "write_card", broken)
    with pytest.raises(StoreError, match="disk is full"):
        export_transformers(tiny_model(), tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


def test_no_pickle_and_no_code_is_copied(tmp_path: Path) -> None:
    base = shutil.copytree(tiny_model(), tmp_path / "base")
    for name in ("pytorch_model.bin", "modeling.py", "training_args.bin"):
        (base / name).write_bytes(b"x")
    (base / "LICENSE").write_text("text")
    found = export_transformers(base, tmp_path / "out")
    assert "LICENSE" in found.files and not [name for name in found.files if name.endswith((".bin", ".py"))]
    (base / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="pickled ones are never exported"):
        export_transformers(base, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_damaged_node_is_not_exported(tmp_path: Path) -> None:
    home = made_store(tmp_path, languages=["en"])
    key = training(home, "xnli")
    weights = home.path(key) / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"abcd")
    with pytest.raises(StoreError, match="damaged"):
        export_transformers(home.path(key) / "model", tmp_path / "out")


def test_hostile_names_stay_in_their_place(tmp_path: Path) -> None:
    home = made_store(tmp_path, languages=["en"], arms={"none": {}, "a|b` <script>\n---": {"intermediate": "mnli"}})
    key = training(home, "xnli", arm="a|b` <script>\n---")
    text, data = written(home, key, tmp_path / "out")
    assert "Arm `a|b' <script> ---` of the study" in text and text.count("<script>") == 1
    assert data["pipeline_tag"] == "text-classification"
