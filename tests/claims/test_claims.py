"""Every claim has a check that can come out either way, and a small study never settles what is about XLM-R Large."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from made_results import Change, made_study, near
from tiny_world import tiny_data
from xstilts import journey, tasks
from xstilts.claims import page
from xstilts.claims.claim import RECIPE, Claim, Evidence, Finding
from xstilts.claims.data_claims import training_rows
from xstilts.claims.ledger import CLAIMS, ledger
from xstilts.claims.study_claims import CONFIDENCE, INTERMEDIATE, NINE, average_change
from xstilts.published import own
from xstilts.published.numbers import load_published
from xstilts.published.own import OwnArm, OwnStudy
from xstilts.statistics.seeds import seed_difference
from xstilts.study import Study, load_study
from xstilts.tasks import load

KNOWN = load_published()
RECIPES = {path.stem: load_study(path) for path in journey.RECIPES.glob("*.yaml")}
SINGLE = {name: [name] for name in INTERMEDIATE}
FORMS = {
    "both": OwnArm(("mnli", "masked_lm"), text_languages=("en", "de", "sw")),
    "german": OwnArm(("mnli",), source="de"),
}


def evidence(*studies: OwnStudy, data: Path | None = None, recipe: Study | None = None) -> Evidence:
    recipes = RECIPES if recipe is None else {RECIPE: recipe}
    return Evidence(recipes, data, studies, KNOWN)


def claim(number: str) -> Claim:
    return next(c for c in CLAIMS if c.id == number)


def verdict(number: str, *studies: OwnStudy) -> str:
    return claim(number).check(evidence(*studies)).verdict


def test_there_are_nineteen_in_their_order() -> None:
    assert [c.id for c in CLAIMS] == [f"C{k:02}" for k in range(1, 20)]


def test_nothing_given_nothing_claimed() -> None:
    """Without results and data the studies' and data's claims are open, each with what would settle it."""
    for c, finding in ledger(evidence()):
        if c.kind in ("study", "data"):
            assert finding.verdict == "not measured here", c.id
            assert finding.settles, c.id
        else:
            assert finding.verdict == "holds", (c.id, finding.evidence)


@pytest.mark.parametrize(
    ("number", "arms", "value"),
    [
        ("C04", {"squad": ["squad_v1"]}, 8.2),
        ("C04", {"squad": ["squad_v2"]}, 8.2),
        ("C05", {"nli": ["mnli"]}, 7.5),
        ("C06", {"hs": ["hellaswag"]}, 7.0),
        ("C07", {"all": INTERMEDIATE}, 8.7),
    ],
)
def test_a_printed_average(number: str, arms: Mapping[str, Sequence[str]], value: float) -> None:
    assert verdict(number, made_study(arms, near(value))) == "holds"
    assert verdict(number, made_study(arms, near(value - 2))) == "contradicted"
    assert verdict(number, made_study(arms, near(-value))) == "contradicted"
    for scatter in (8.0, 1.0):  # an interval far above 0 that holds the number and its neighbours proves none of them
        wide: Change = lambda arm, target, seed, by=scatter: value + by * (seed - 2)  # type: ignore[misc]  # noqa: E731
        finding = claim(number).check(evidence(made_study(arms, wide)))
        assert finding.verdict == "not measured here"
        assert "too uncertain" in finding.evidence


def without(study: OwnStudy, arm: str, *targets: str) -> OwnStudy:
    return replace(
        study, rows=tuple(r for r in study.rows if (r["arm"], r["target"]) not in {(arm, t) for t in targets})
    )


@pytest.mark.parametrize("number", ["C05", "C12", "C13", "C14"])
def test_an_arm_that_lacks_targets_settles_nothing(number: str) -> None:
    arms = {**(SINGLE if number == "C12" else {"mnli": ["mnli"]}), "both": ["mnli", "masked_lm"], "german": ["mnli"]}
    value = 5.4 if number == "C12" else 7.5
    change: Change = lambda arm, target, seed: (value + 0.05 * (seed - 2)) * (arm == "mnli")  # noqa: E731
    whole = made_study(arms, change, own_arms=FORMS)
    assert verdict(number, whole) == "holds"
    for arm in ("mnli", "qqp") if number == "C12" else ("mnli",):  # the best may be any of them
        finding = claim(number).check(evidence(without(whole, arm, "tatoeba", "bucc2018")))
        assert finding.verdict == "not measured here"
        assert "lacks bucc2018, tatoeba" in finding.note


def test_the_best_of_a_few_arms_is_not_the_best() -> None:
    few = {name: [name] for name in INTERMEDIATE if name != "ccg"}
    finding = claim("C12").check(evidence(made_study(few, near(2))))
    assert finding.verdict == "not measured here"
    assert "no arm learns only ccg" in finding.note
    cut = made_study(SINGLE, near(5.4))
    rows = tuple(
        r for r in cut.rows if (r["arm"], r["target"], r["split"], r["language"]) != ("qqp", "xnli", "dev", "sw")
    )
    assert "best per target lacks xnli" in claim("C12").check(evidence(replace(cut, rows=rows))).note


def test_the_order_of_studies_does_not_matter() -> None:
    up, down = (made_study({"nli": ["mnli"]}, near(v), name=n) for v, n in ((7.5, "up"), (-7.5, "down")))
    for pair in ((up, down), (down, up)):
        finding = claim("C05").check(evidence(*pair))
        assert finding.verdict == "not measured here" and "studies disagree" in finding.evidence
        assert "up, m" in finding.evidence and "down, m" in finding.evidence


def test_what_a_claim_says_would_settle_it_would() -> None:
    """The recipe that a claim names has the arms that its check looks for, on whole data."""
    for c, finding in ledger(evidence()):
        if c.kind != "study":
            continue
        recipe = RECIPES[finding.settles.split()[2]]
        said = recipe.model_dump(mode="json")
        of = own._study(recipe.name, (), said, KNOWN, lambda row: {})
        assert not of.limited and not of.cut and of.source == "en", c.id
        every = made_study({}, near(0), own_arms=of.arms)
        rows = made_study({arm: [] for arm in of.arms if arm != "none"}, near(1)).rows
        found = c.check(evidence(replace(every, rows=rows)))
        assert "no study here has these arms" not in found.evidence, c.id
        assert "does not settle it" not in found.note, c.id


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"published": None}, "m is not XLM-R Large"),
        ({"limited": True}, "rows are limited or stand-ins"),
        ({"source": "de"}, "its rows are in de, not English"),
        ({"cut": True}, "trainings are cut to a number of steps"),
        ({"languages": 2}, "0 of 9 targets are whole"),
        ({"only": NINE[:5]}, "5 of 9 targets are whole"),
        ({"seeds": (1,)}, "one seed has no interval"),
    ],
)
def test_a_study_of_something_else_settles_nothing(change: dict[str, Any], says: str) -> None:
    for value in (7.5, -30.0):
        fields = {name: value for name, value in change.items() if name in ("source", "cut")}
        made = {name: value for name, value in change.items() if name not in fields}
        finding = claim("C05").check(evidence(replace(made_study({"nli": ["mnli"]}, near(value), **made), **fields)))
        assert finding.verdict == "not measured here"
        assert says in finding.note
        assert "m: nli average of" in finding.note


def test_the_small_study_is_passed_over_and_the_right_one_decides() -> None:
    small = made_study({"nli": ["mnli"]}, near(-9), published=None, name="small")
    finding = claim("C05").check(evidence(small, made_study({"nli": ["mnli"]}, near(7.5))))
    assert finding.verdict == "holds"
    assert "small" in finding.note


def on(targets: Sequence[str], gains: Callable[[str], float]) -> Change:
    """Points by arm on some targets, nothing elsewhere, with a scatter over seeds."""
    return lambda arm, target, seed: (gains(arm) if target in targets else 0.0) + 0.05 * (seed - 2)


def test_retrieval_improves_with_almost_every_task() -> None:
    pair = ("bucc2018", "tatoeba")
    assert verdict("C08", made_study(SINGLE, on(pair, lambda arm: 20))) == "holds"
    assert verdict("C08", made_study(SINGLE, on(pair, lambda arm: 0 if arm == "ccg" else 20))) == "holds"
    assert (
        verdict("C08", made_study(SINGLE, on(pair, lambda arm: 0 if arm in ("ccg", "qqp") else 20))) == "contradicted"
    )
    assert verdict("C08", made_study(SINGLE, on(pair[:1], lambda arm: 20))) == "contradicted"
    assert verdict("C08", made_study({"mnli": ["mnli"]}, on(pair, lambda arm: 20))) == "not measured here"


def test_tydiqa_improves_with_many() -> None:
    first_five = INTERMEDIATE[:5]
    assert verdict("C10", made_study(SINGLE, on(("tydiqa",), lambda arm: 3 if arm in first_five else -3))) == "holds"
    found = verdict("C10", made_study(SINGLE, on(("tydiqa",), lambda arm: 3 if arm in first_five[:4] else -3)))
    assert found == "contradicted"


def test_xnli_gains_nothing() -> None:
    assert verdict("C11", made_study(SINGLE, on(("xnli",), lambda arm: -2))) == "holds"
    assert verdict("C11", made_study(SINGLE, on(("xnli",), lambda arm: 2 if arm == "mnli" else -2))) == "contradicted"


def test_the_best_per_target_is_chosen_on_dev() -> None:
    """One arm is better on dev, another on test: the first is what counts."""
    study = made_study(SINGLE, on(NINE, lambda arm: 5.4 if arm in ("mnli", "squad_v2") else 0))
    rows = []
    for row in study.rows:
        split_has_dev = "dev" in load(row["target"]).files
        up = 1.0 if row["arm"] == "mnli" and row["split"] == "dev" else 0.0
        up += 9.0 if row["arm"] == "squad_v2" and row["split"] == "test" and split_has_dev else 0.0
        rows.append({**row, "value": row["value"] + up})
    assert verdict("C12", replace(study, rows=tuple(rows))) == "holds"
    assert verdict("C12", made_study(SINGLE, on(NINE, lambda arm: 2))) == "contradicted"


def test_masked_lm_and_translation_are_compared_with_the_same_tasks_without() -> None:
    mixed = {"mnli": ["mnli"], "both": ["mnli", "masked_lm"]}
    # Exactly equal differences are no certainty, so the two arms scatter apart.
    better: Change = lambda arm, target, seed: (3 if arm == "mnli" else 1) + (0.1 * seed if arm == "both" else 0)  # noqa: E731
    text = {"both": FORMS["both"]}
    assert verdict("C13", made_study(mixed, better, own_arms=text)) == "holds"
    only_english = {"both": replace(FORMS["both"], text_languages=("en",))}
    assert verdict("C13", made_study(mixed, better, own_arms=only_english)) == "not measured here"
    german = {"both": replace(FORMS["both"], target_source="de")}
    assert verdict("C13", made_study(mixed, better, own_arms=german)) == "not measured here"
    worse: Change = lambda arm, target, seed: (1 if arm == "mnli" else 3) + (0.1 * seed if arm == "both" else 0)  # noqa: E731
    assert verdict("C13", made_study(mixed, worse, own_arms=text)) == "contradicted"
    moved = {"mnli": ["mnli"], "german": ["mnli"]}
    study = made_study(moved, worse_in_german, sources={"german": "de"})
    assert verdict("C14", study) == "holds"
    assert verdict("C14", made_study(moved, worse_in_german)) == "not measured here"  # both are English
    spelled_out = made_study(moved, worse_in_german, sources={"german": "en"})
    assert verdict("C14", spelled_out) == "not measured here"


def worse_in_german(arm: str, target: str, seed: int) -> float:
    return 1 + 0.1 * seed if arm == "german" else 3.0


def test_equal_differences_are_no_certainty() -> None:
    exact: Change = lambda arm, target, seed: 7.5  # noqa: E731
    assert verdict("C05", made_study({"nli": ["mnli"]}, exact)) == "not measured here"


def test_the_interval_is_students_over_paired_seeds() -> None:
    study = made_study({"nli": ["mnli"]}, near(7.5))
    values, missing = average_change(study, "m", "nli", "none")
    assert missing == ()
    assert values == pytest.approx({1: 7.4, 2: 7.5, 3: 7.6})
    found = seed_difference(list(values.values()), CONFIDENCE)
    text = claim("C05").check(evidence(study)).evidence
    assert f"[{found.low:+.1f}, {found.high:+.1f}], 3 seeds" in text


def mnli_rows(claimed: int) -> Finding:
    return training_rows("mnli", claimed, evidence(data=tiny_data()))


def test_rows_are_counted_and_a_sample_is_not_the_file() -> None:
    assert mnli_rows(24).verdict == "holds"
    assert mnli_rows(23).verdict == "contradicted"
    sample = mnli_rows(392_702)
    assert sample.verdict == "not measured here"
    assert "24 rows" in sample.evidence
    assert "multinli" in sample.settles


def test_a_file_with_a_bad_row_counts_for_nothing(tmp_path: Path) -> None:
    file = tmp_path / "multinli_1.0/multinli_1.0_train.jsonl"
    file.parent.mkdir()
    good = json.dumps({"gold_label": "neutral", "sentence1": "a", "sentence2": "b"})
    file.write_text(f"{good}\n{{\n")
    assert training_rows("mnli", 1, evidence(data=tmp_path)).verdict == "not measured here"
    file.write_text(f"{good}\n")
    assert training_rows("mnli", 1, evidence(data=tmp_path)).verdict == "holds"


@pytest.mark.parametrize(
    ("number", "changes"),
    [
        ("C01", {"models": {"m": {"id": "FacebookAI/xlm-roberta-base"}}}),
        ("C01", {"models": {"m": {"id": "FacebookAI/xlm-roberta-large", "keep_layers": [1, 2]}}}),
        ("C02", {"targets": ["xnli", "panx"]}),
        ("C03", {"languages": ["de", "sw"]}),
        ("C03", {"source": "de"}),
        ("C03", {"arms": {"none": {"target_source": "de"}, "mnli": {"intermediate": "mnli"}}}),
        ("C09", {"arms": {"none": {}, "pairs": {"intermediate": "tatoeba"}}}),
        ("C15", {"source": "de"}),
        ("C15", {"arms": {name: {"intermediate": name, "source": "de"} for name in INTERMEDIATE}}),
        ("C15", {"arms": {"none": {}, "mnli": {"intermediate": "mnli"}}}),
        ("C19", {"arms": {"mnli": {"intermediate": "mnli"}}}),
        ("C19", {"targets": ["tatoeba"]}),
    ],
)
def test_another_recipe_would_contradict(number: str, changes: dict[str, Any]) -> None:
    raw = RECIPES[RECIPE].model_dump(mode="json", exclude_unset=True) | changes
    found = claim(number).check(evidence(recipe=Study.model_validate(raw)))
    assert found.verdict == "contradicted", found.evidence


def test_the_page_and_json_hold_every_claim() -> None:
    seen = evidence(made_study({"nli": ["mnli"]}, near(7.5)))
    found = ledger(seen)
    text = page.markdown(found, seen)
    plain = page.as_json(found)
    assert len(plain) == 19
    assert json.loads(json.dumps(plain)) == plain
    for c in CLAIMS:
        assert f"### {c.id}: {c.text}" in text
    assert "**holds**" in text
    assert "results of made" in text
    assert len(page.grid(found).rows) == 19


@pytest.mark.real_data
def test_on_the_real_folder_no_sample_is_taken_for_the_whole(real_data: Path) -> None:
    for c, finding in ledger(evidence(data=real_data)):
        if c.kind == "data":
            assert finding.verdict in ("holds", "not measured here"), finding.evidence
            rows = load({"C16": "anli_plus", "C17": "mnli", "C18": "squad_v2"}[c.id]).counts["train"]["en"]
            assert (finding.verdict == "holds") == (f"{rows:,} rows in" in finding.evidence)
    assert {t.name for t in tasks.targets()} == set(NINE)
