"""Plans: what a key depends on and what it does not, what is shared, what is missing, without torch."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tiny_world import environment, fake_model, nine_targets, tiny_data, write_world
from xstilts import naming, tasks
from xstilts.errors import DataError, StudyError
from xstilts.graph.disk import digest_file
from xstilts.model_source import find_model
from xstilts.plan import Plan, make_plan
from xstilts.study import parse_study
from xstilts.tasks import intermediate
from xstilts.tasks.folder import DataFolder

Planned = Callable[..., Plan]
FIELDS: dict[str, Any] = {
    "name": "s",
    "models": {"m": {"path": "filled in"}},
    "arms": {"none": {}, "mnli": {"intermediate": "mnli"}},
    "targets": nine_targets(),
    "seeds": [1],
}


@pytest.fixture
def plan(tmp_path: Path) -> Planned:
    """Plans the study with changed fields, over any data and model folder."""

    def planned(folder: Path | None = None, model: Path | None = None, precision: str = "fp32", **changes: Any) -> Plan:
        study = parse_study({**FIELDS, **changes})
        place = {"path": str(model or fake_model(tmp_path / "model"))}
        models = [find_model(n, c.model_copy(update=place), digest_file) for n, c in study.models.items()]
        root = folder or tiny_data()
        overrides = {key: [root / name for name in names] for key, names in study.data.files.items()}
        return make_plan(study, DataFolder(root, overrides), models, precision=precision, digest=digest_file)

    return planned


def places(planned: Plan) -> dict[str, str]:
    """What each key stands for -> the key. Retrieval of the untrained model has no seed."""
    found = {}
    for node in planned.graph:
        labels = node.labels
        found[" ".join(str(labels.get(k, "")) for k in ("arm", "role", "task", "split")) + f" {node.kind}"] = node.key
    return found


def changed(before: Plan, after: Plan) -> set[str]:
    """The places whose key is another one."""
    old, new = places(before), places(after)
    assert set(old) == set(new)
    return {place for place in old if old[place] != new[place]}


def kinds(found: set[str]) -> set[str]:
    return {place.split()[-1] for place in found}


def everything(planned: Plan, *, arm: str = "", without: tuple[str, ...] = ()) -> set[str]:
    return {p for p in places(planned) if p.startswith(arm) and not any(w in p for w in without)}


RETRIEVAL = ("bucc2018", "tatoeba", "retrieval layer")


def test_the_graph_of_one_arm(plan: Planned) -> None:
    count = Counter(n.kind for n in plan(arms={"none": {}}).graph)
    assert count == {"train": 6, "predict": 12, "score": 15, "retrieve": 3, "calibrate": 1}


def test_parents_come_first(plan: Planned) -> None:
    seen: set[str] = set()
    for node in plan().graph:
        assert set(node.parents.values()) <= seen
        seen.add(node.key)


def test_every_cell_has_its_score_node(plan: Planned) -> None:
    planned = plan(seeds=[1, 2])
    by_key = planned.graph.by_key
    assert len(planned.cells) == 2 * 2 * 15
    for cell in planned.cells:
        node = by_key[cell.key]
        assert (node.kind, node.spec["task"], node.spec["split"]) == ("score", cell.target, cell.split)


def test_a_targets_training_changes_that_target_only(plan: Planned) -> None:
    found = changed(plan(), plan(training={"xnli": {"learning_rate": 1e-3}}))
    assert found == {p for p in places(plan()) if "xnli" in p}


def test_intermediate_training_changes_its_arm_only(plan: Planned) -> None:
    assert changed(plan(), plan(training={"intermediate": {"epochs": 1}})) == everything(plan(), arm="mnli")


def test_encoding_changes_retrieval_too(plan: Planned) -> None:
    found = changed(plan(), plan(encoding={"target": {"max_length": 400}}))
    assert found == everything(plan(), without=("mnli intermediate",))


def test_precision_changes_every_key(plan: Planned) -> None:
    assert changed(plan(), plan(precision="bf16")) == everything(plan())


def test_the_seed_changes_all_but_the_untrained_models_retrieval(plan: Planned) -> None:
    baseline = {p for p in places(plan()) if p.startswith("none") and any(w in p for w in RETRIEVAL)}
    assert len(baseline) == 7
    assert changed(plan(), plan(seeds=[2])) == everything(plan()) - baseline


def test_training_rows_change_trainings(plan: Planned) -> None:
    untouched = {p for p in places(plan()) if p.startswith("none") and any(w in p for w in RETRIEVAL)}
    assert changed(plan(), plan(limits={"train_rows": 10})) == everything(plan()) - untouched


def test_evaluation_rows_change_predictions_and_scores_but_no_retrieval(plan: Planned) -> None:
    found = changed(plan(), plan(limits={"evaluation_rows": 10}))
    assert kinds(found) == {"predict", "score"}
    assert found == {p for p in everything(plan(), without=RETRIEVAL) if "train" not in p.split()}


def test_another_intermediate_task_is_another_arm(plan: Planned) -> None:
    same, other = ({"none": {}, "mnli": {"intermediate": t}} for t in ("mnli", "qqp"))
    before, after = plan(arms=same), plan(arms=other)
    shared = {n.key for n in before.graph} & {n.key for n in after.graph}
    assert {before.graph.by_key[k].labels["arm"] for k in shared} == {"none"}


def test_dropping_overlap_changes_trainings(plan: Planned) -> None:
    found = changed(plan(targets=["xnli"]), plan(targets=["xnli"], data={"drop_overlap": False}))
    assert found == everything(plan(targets=["xnli"]))


@pytest.mark.parametrize("part", [{"weights": b"w"}, {"tokenizer": "{} "}])
def test_the_models_bytes_change_every_key(plan: Planned, tmp_path: Path, part: dict[str, Any]) -> None:
    other = fake_model(tmp_path / "other", **part)
    assert changed(plan(), plan(model=other)) == everything(plan())


def test_the_tokenizers_library_changes_keys(plan: Planned, monkeypatch: pytest.MonkeyPatch) -> None:
    before = plan()
    for where in ("planner", "starts"):
        monkeypatch.setattr(f"xstilts.plan.{where}.tokenizers_version", lambda: "99.0")
    assert changed(before, plan()) == everything(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder of this test's own."""
    return Path(shutil.copytree(tiny_data(), tmp_path / "data"))


def touch(path: Path) -> None:
    path.write_text(path.read_text() + "\n")


def test_a_training_file_changes_what_is_trained_on_it(plan: Planned, data: Path) -> None:
    before = plan()
    touch(data / "pawsx" / "train-en.tsv")
    assert changed(before, plan(data)) == {p for p in places(before) if "pawsx" in p}


def test_a_test_file_of_another_language_changes_no_training(plan: Planned, data: Path) -> None:
    before = plan()
    touch(data / "xnli" / "test-de.tsv")
    found = changed(before, plan(data))
    assert found == {f"{arm}  xnli test {kind}" for arm in ("none", "mnli") for kind in ("predict", "score")}


def test_gold_that_lies_apart_never_changes_what_a_model_does(plan: Planned, data: Path) -> None:
    before = plan()
    for path in data.glob("labels/*/*"):
        touch(path)
    found = changed(before, plan(data))
    assert kinds(found) == {"score"}
    assert len(found) == 2 * 9


def test_dev_gold_of_bucc_changes_the_calibration_and_what_is_mined_by_it(plan: Planned, data: Path) -> None:
    before = plan()
    touch(data / "bucc2018" / "de-en.dev.gold")
    found = changed(before, plan(data))
    assert {p for p in found if "retrieve" in p} == {f"{arm}  bucc2018 test retrieve" for arm in ("none", "mnli")}
    assert kinds(found - {p for p in found if "retrieve" in p}) == {"calibrate", "score"}


def test_keys_do_not_depend_on_places_and_names(plan: Planned, tmp_path: Path) -> None:
    moved = write_world(tmp_path / "far" / "away")
    before = {n.key for n in plan().graph}
    assert {n.key for n in plan(moved, fake_model(tmp_path / "elsewhere")).graph} == before
    renamed = plan(
        name="other",
        title="t",
        models={"n": {"path": "x", "note": "n"}},
        arms={"zero": {}, "nli": {"intermediate": "mnli"}},
        notes={"a": "b"},
    )
    assert {n.key for n in renamed.graph} == before


def test_keys_do_not_depend_on_the_order_of_arms_and_targets(plan: Planned) -> None:
    arms = {"mnli": {"intermediate": "mnli"}, "none": {}}
    turned = plan(arms=arms, targets=nine_targets()[::-1])
    assert {n.key for n in turned.graph} == {n.key for n in plan().graph}


def test_xquad_and_mlqa_share_their_fine_tuning(plan: Planned) -> None:
    arm: dict[str, dict[str, str]] = {"none": {}}
    assert Counter(n.kind for n in plan(arms=arm, targets=["xquad", "mlqa"]).graph)["train"] == 1
    apart = plan(arms=arm, targets=["xquad", "mlqa"], training={"mlqa": {"epochs": 1}})
    assert Counter(n.kind for n in apart.graph)["train"] == 2


def test_seeds_share_the_retrieval_of_the_untrained_model(plan: Planned) -> None:
    planned = plan(targets=["bucc2018", "tatoeba"], arms={"none": {}}, seeds=[1, 2, 3])
    assert len({n.key for n in planned.graph}) == len(planned.graph.nodes) == 7
    assert len(planned.cells) == 9
    assert len({c.key for c in planned.cells}) == 3


def test_the_same_text_at_two_places_is_one_file(plan: Planned, data: Path) -> None:
    for name in ("a", "b"):
        (data / name).mkdir()
        shutil.copy(data / "xnli" / "dev-en.tsv", data / name / "rows.tsv")
    one, two = ({"files": {"xnli.train": [name]}} for name in ("a/rows.tsv", "b/rows.tsv"))
    assert places(plan(data, data=one)) == places(plan(data, data=two))


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("panx/train-en.tsv", "panx has no en train files; looked for panx/train-en.tsv or panx_dataset/en-train"),
        ("squad/train-v2.0.json", "squad_v2 has no en train files; looked for squad/train-v2.0.json"),
        ("xquad/xquad.de.json", "xquad has no test files for de; looked for xquad/xquad.de.json"),
    ],
)
def test_missing_files_name_the_pattern_and_the_command(plan: Planned, data: Path, gone: str, says: str) -> None:
    (data / gone).unlink()
    arms = {"none": {}, "squad_v2": {"intermediate": "squad_v2"}}
    with pytest.raises(DataError) as caught:
        plan(data, arms=arms)
    assert says in str(caught.value)
    assert "get them: " in str(caught.value)


def test_no_dev_rows_to_select_on(plan: Planned, data: Path) -> None:
    (data / "panx" / "dev-en.tsv").unlink()
    with pytest.raises(DataError, match=r"(?s)panx has no en dev rows.*training: \{panx: \{selection: last\}\}"):
        plan(data, targets=["panx"])
    assert plan(data, targets=["panx"], training={"panx": {"selection": "last"}}).cells


def languages(planned: Plan, target: str, split: str) -> list[str]:
    scores = [n.spec for n in planned.graph if n.kind == "score"]
    (found,) = [s["languages"] for s in scores if (s["task"], s["split"]) == (target, split)]
    return list(found)


def test_which_languages_are_evaluated(plan: Planned, data: Path) -> None:
    arm: dict[str, Any] = {"arms": {"none": {}}, "targets": ["pawsx"]}
    (data / "pawsx" / "test-ja.tsv").unlink()
    (data / "labels" / "pawsx" / "test-ko.tsv").unlink()
    with pytest.raises(DataError, match="pawsx has no test files for ja"):
        plan(data, **arm)
    assert languages(plan(data, **arm, languages="available"), "pawsx", "test") == ["de", "en", "es", "fr", "ko", "zh"]
    with_gold = plan(data, **arm, languages="with_gold")
    assert languages(with_gold, "pawsx", "test") == ["de", "en", "es", "fr", "zh"]
    assert languages(with_gold, "pawsx", "dev") == ["de", "en", "es", "fr", "ja", "ko", "zh"]
    assert list(with_gold.left_out) == [
        {"target": "pawsx", "split": "test", "language": "ja", "reason": "no file"},
        {"target": "pawsx", "split": "test", "language": "ko", "reason": "no gold"},
    ]
    assert languages(plan(data, **arm, languages=["zh", "de"]), "pawsx", "test") == ["zh", "de"]
    with pytest.raises(DataError, match="for ja"):
        plan(data, **arm, languages=["ja"])


def test_an_asked_language_that_a_target_lacks_is_told(plan: Planned) -> None:
    planned = plan(arms={"none": {}}, targets=["xnli", "pawsx"], languages=["ja"])
    assert {c.target for c in planned.cells} == {"pawsx"}
    assert {
        "target": "xnli",
        "split": "test",
        "language": "ja",
        "reason": "not one of its languages",
    } in planned.left_out


def test_one_split_may_be_asked_for(plan: Planned) -> None:
    planned = plan(arms={"none": {}}, splits=["test"])
    assert {c.split for c in planned.cells} == {"test"}
    assert len(planned.cells) == 9


def test_an_override_is_what_is_read(plan: Planned, data: Path) -> None:
    shutil.copy(data / "xnli" / "dev-de.tsv", data / "mine.tsv")
    planned = plan(data, targets=["xnli"], data={"files": {"xnli.test.de": "mine.tsv"}})
    scored = next(n for n in planned.graph if n.kind == "score" and n.spec["split"] == "test")
    assert scored.spec["languages"]["de"] == {
        "files": [{"name": "mine.tsv", "sha256": digest_file(data / "mine.tsv")}],
        "gold": [],
    }


def test_labels_are_matched_before_anything_is_trained(monkeypatch: pytest.MonkeyPatch, plan: Planned) -> None:
    def other(name: str) -> Any:
        found = load(name)
        return replace(found, trains_on="pawsx") if name == "xnli" else found

    load = tasks.load
    monkeypatch.setattr(naming, "load", other)
    with pytest.raises(
        StudyError, match="xnli has the labels entailment, neutral, contradiction, but it is fine-tuned on pawsx"
    ):
        plan(targets=["xnli"])


def test_the_whole_matrix_is_planned_without_torch(tmp_path: Path) -> None:
    """Nine intermediate tasks and the baseline, nine targets, five seeds."""
    arms = {"none": {}, **{t.name: {"intermediate": t.name} for t in intermediate()}}
    fake_model(tmp_path / "model")
    study = {**FIELDS, "models": {"m": {"path": "model"}}, "arms": arms, "seeds": [1, 2, 3, 4, 5], "precision": "fp32"}
    (tmp_path / "matrix.yaml").write_text(yaml.safe_dump(study))
    code = (
        "import sys; from pathlib import Path; from xstilts.journey import open_store, plan_study\n"
        "with open_store(Path(sys.argv[3])) as store: p = plan_study(Path(sys.argv[1]), Path(sys.argv[2]), store)\n"
        "print(len(p.graph.nodes), len(p.cells), sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", code, str(tmp_path / "matrix.yaml"), str(tiny_data()), str(tmp_path / "store")]
    done = subprocess.run(arguments, capture_output=True, text=True, env=environment(), timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    trains = 9 * 5 + 10 * 5 * 6
    predictions_and_scores = 2 * 10 * 5 * 12
    retrievals = (9 * 5 + 1) * (3 + 1 + 3)
    assert done.stdout.split(" ", 2) == [str(trains + predictions_and_scores + retrievals), "750", "[]\n"]
