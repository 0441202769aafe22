"""Arms compared: differences paired by seed, one family of tests, averages as in the zero-shot table, and what is said."""

from __future__ import annotations

import statistics
from typing import Any

import pytest
from compared import EASE, ROWS, STUDY, row, score, study
from scipy import stats

from xstilts.errors import MissingNameError, StatisticsError
from xstilts.report.comparison.cells import Cell, Comparison
from xstilts.report.comparison.compare import compare
from xstilts.report.comparison.page import comparison_markdown, plain
from xstilts.report.comparison.scores import BEST
from xstilts.report.comparison.tables import comparison_grids
from xstilts.report.table import zero_shot_table
from xstilts.statistics.corrections import Declared

Row = dict[str, Any]


def compared(
    rows: list[Row] = ROWS, split: str = "test", declared: Declared | None = None, **changes: Any
) -> Comparison:
    (found,) = compare(rows, study(**changes), split, declared or Declared(), {})
    return found


def cell(of: Comparison, arm: str, name: str, kind: str = "target", target: str | None = None) -> Cell:
    (found,) = [
        c
        for (a, column), c in of.cells.items()
        if (a, column.kind, column.name) == (arm, kind, name) and target in (None, *column.targets)
    ]
    return found


def shown(of: Comparison, arm: str, name: str, grid: int = 0) -> str:
    """The text of one place of a table."""
    table = comparison_grids([of])[grid]
    (line,) = [line for line in table.rows if line[0] == name]
    return line[table.columns.index(arm)]


def test_a_difference_is_the_paired_t_test_over_seeds() -> None:
    found = cell(compared(), "mnli", "xnli")
    own, base = ([statistics.fmean(score(arm, s, c) for c in ("en", "de", "tr")) for s in (1, 2, 3)]
                 for arm in ("mnli", "none"))  # fmt: skip
    expected = stats.ttest_rel(own, base)
    interval = expected.confidence_interval(0.95)
    assert found.delta is not None
    assert (found.delta.low, found.delta.high) == pytest.approx((interval.low, interval.high))
    assert found.delta.p == pytest.approx(expected.pvalue)
    assert found.mean == pytest.approx(statistics.fmean(own))
    assert found.spread == pytest.approx(statistics.stdev(own))
    assert (found.runs, found.delta.pairs) == (3, 3)


def test_numbers_are_those_of_the_zero_shot_table() -> None:
    of = compared()
    limits = {"train_rows": None, "evaluation_rows": None}
    table = zero_shot_table(ROWS, STUDY | {"limits": limits, "data": {"files": {}}, "notes": {}}, "m", "test")
    names = {"avg": "avg", "no retr.": "no retr.", "no en": "no en", "gap": "gap"} | {t: t for t in STUDY["targets"]}
    for arm, entries in table.rows:
        for column, entry in zip(table.columns, entries, strict=True):
            kind = "gap" if column == "gap" else "target" if column in STUDY["targets"] else "average"
            found = cell(of, arm, names[column], kind)
            assert found.mean == pytest.approx(entry.value), (arm, column)
            assert (found.delta.mean if found.delta else None) == pytest.approx(entry.delta), (arm, column)
            assert found.spread == pytest.approx(entry.spread), (arm, column)


def test_averages_with_and_without_retrieval_and_source() -> None:
    found = cell(compared(), "none", "no retr., no en", "average")
    assert found.mean == pytest.approx(statistics.fmean([(60 + 50) / 2, (60 + 40) / 2]) + 1 / 3)
    only = compared([r for r in ROWS if r["target"] == "xnli"])
    assert {c.name for c in only.columns if c.kind == "average"} == {"avg", "no en"}, "the others would say the same"


def test_languages_that_any_arm_learns_from_are_not_zero_shot() -> None:
    arms = STUDY["arms"] | {"qqp": {"intermediate": "qqp", "source": "de", "target_source": None}}
    found = cell(compared(arms=arms), "none", "no en,de", "average")
    assert found.mean == pytest.approx(statistics.fmean([50 + 1 / 3, 40 + 1 / 3, 50]))


def test_all_arms_and_targets_are_one_family() -> None:
    of = compared()
    assert of.tests == 6
    p_values = {(a, t): cell(of, a, t).delta.p for a in ("mnli", "qqp") for t in STUDY["targets"]}  # type: ignore[union-attr]
    assert cell(of, "mnli", "xnli").p == pytest.approx(min(1, 6 * (p_values["mnli", "xnli"] or 0)))
    assert cell(of, "mnli", "xnli").verdict == "better"
    assert {cell(of, "qqp", t).verdict for t in STUDY["targets"]} == {"undecided"}
    assert cell(of, "none", "xnli").verdict is None
    assert cell(of, "mnli", "avg", "average").verdict is None, "averages are made of what is tested"
    swapped = compared(declared=Declared(against="mnli"))
    assert cell(swapped, "none", "xnli").verdict == "worse"


def test_models_share_the_family() -> None:
    both = [*ROWS, *({**r, "model": "n", "key": f"n {r['key']}"} for r in ROWS)]
    found = compare(both, study(models={"m": {}, "n": {}}), "test", Declared(), {})
    assert [of.tests for of in found] == [12, 12]
    one, two = compared(), found[0]
    assert cell(two, "mnli", "xnli").p == pytest.approx(2 * cell(one, "mnli", "xnli").p)  # type: ignore[operator]


@pytest.mark.parametrize(("correction", "smallest"), [("holm", 16), ("benjamini_hochberg", 1), ("none", 1)])
def test_a_family_of_languages(correction: Any, smallest: int) -> None:
    of = compared(declared=Declared(family="languages", correction=correction))
    assert of.tests == 2 * (3 + 3 + 2)
    raw, adjusted = zip(
        *[(c.delta.p, c.p) for c in of.cells.values() if c.p is not None and c.delta is not None], strict=True
    )
    assert min(adjusted) == pytest.approx(min(1.0, smallest * min(raw)), rel=1e-6) or correction != "holm"
    assert all(p >= q for p, q in zip(adjusted, raw, strict=True))
    assert cell(of, "mnli", "xnli").verdict is None
    decided = [cell(of, "mnli", code, "language", "xnli").verdict for code in ("en", "de", "tr")]
    assert shown(of, "mnli", "xnli").endswith(f" ▲{decided.count('better')} ▼{decided.count('worse')} of 3")


def test_seeds_that_share_their_runs_are_one() -> None:
    """Nothing is trained for Tatoeba without intermediate training, and here not with it either."""
    frozen = [
        r | ({"key": "also untrained", "value": 61.0} if (r["arm"], r["target"]) == ("mnli", "tatoeba") else {})
        for r in ROWS
    ]
    found = cell(compared(frozen), "mnli", "tatoeba")
    assert (found.runs, found.spread) == (1, None)
    assert found.delta is not None and (found.delta.pairs, found.delta.p, found.verdict) == (1, None, None)
    mine = cell(compared(), "mnli", "tatoeba")  # the baseline's one run is compared with three
    assert mine.delta is not None and mine.delta.pairs == 3
    assert compared(frozen).tests == 5


def test_one_seed_is_no_evidence_and_that_is_said() -> None:
    of = compared([r for r in ROWS if r["seed"] == 1], seeds=[1])
    assert shown(of, "mnli", "xnli") == "+10.5"
    assert of.tests == 0
    assert any(note.startswith("One seed") for note in comparison_grids([of])[0].notes)


def test_equal_differences_are_not_decided() -> None:
    steady = [r | ({"value": r["value"] + 30} if r["arm"] == "mnli" else {}) for r in rows_like_the_baseline("mnli")]
    of = compared(steady)
    assert shown(of, "mnli", "xnli") == "+30.0 (equal)"
    assert cell(of, "mnli", "xnli").verdict == "undecided"
    assert any(note.startswith("(equal)") for note in comparison_grids([of])[0].notes)


def rows_like_the_baseline(arm: str) -> list[Row]:
    base = [r for r in ROWS if r["arm"] == "none"]
    return [*base, *({**r, "arm": arm, "key": f"{arm} {r['target']} {r['seed']}"} for r in base)]


def test_only_seeds_that_both_have_are_paired() -> None:
    lacking = [r for r in ROWS if (r["arm"], r["target"], r["seed"]) != ("none", "xnli", 2)]
    of = compared(lacking)
    found = cell(of, "mnli", "xnli")
    assert found.delta is not None and found.delta.pairs == 2
    assert found.delta.mean == pytest.approx(10.375)
    assert "2/3 seeds" in shown(of, "mnli", "xnli")
    none = [r for r in ROWS if r["arm"] != "none" or r["target"] != "xnli"]
    assert shown(compared(none), "mnli", "xnli") == "–"


def test_the_best_arm_per_target_is_chosen_on_dev() -> None:
    dev = [r | {"split": "dev"} for r in ROWS if r["target"] == "xnli"]
    dev = [r | ({"value": r["value"] + 50} if r["arm"] == "qqp" else {}) for r in dev]
    of = compared([*ROWS, *dev])
    assert {t: (c.arm, c.split) for t, c in of.chosen.items()} == {
        "xnli": ("qqp", "dev"),
        "xquad": ("mnli", "test"),
        "tatoeba": ("mnli", "test"),
    }
    assert cell(of, BEST, "xnli").mean == cell(of, "qqp", "xnli").mean, "chosen on dev, shown on test"
    assert shown(of, BEST, "xnli").startswith("qqp -") and shown(of, BEST, "xquad").startswith("mnli° +")
    assert {cell(of, BEST, t).verdict for t in STUDY["targets"]} == {None}
    expected = statistics.fmean(cell(of, BEST, t).mean or 0 for t in STUDY["targets"])
    assert cell(of, BEST, "avg", "average").mean == pytest.approx(expected)
    (note,) = [n for n in comparison_grids([of])[0].notes if n.startswith("°")]
    assert "xquad, tatoeba" in note and "xnli" not in note
    assert {c.split for c in compared([*ROWS, *dev], split="dev").chosen.values()} == {"dev"}


def test_gaps_by_family_script_and_size() -> None:
    of = compared()
    turkic = cell(of, "none", "Turkic", "gap")
    assert turkic.mean == pytest.approx(30), "XNLI only: XQuAD has no Turkish here, Tatoeba no English"
    assert turkic.column.targets == ("xnli",)
    germanic = cell(of, "none", "Indo-European", "gap")
    assert germanic.mean == pytest.approx(20) and germanic.column.targets == ("xnli", "xquad")
    assert cell(of, "none", "Latn", "gap").mean == pytest.approx(statistics.fmean([(20 + 30) / 2, 20]))
    assert cell(of, "none", "1M and more", "gap").mean == pytest.approx(statistics.fmean([20, (20 + 40) / 2]))
    assert cell(of, "none", "gap", "gap").mean == pytest.approx(statistics.fmean([25, 30]))
    notes = " ".join(comparison_grids([of])[1].notes)
    assert "recalled" in notes and "Not tested" in notes


def test_own_languages_have_their_declared_groups_and_no_size() -> None:
    own = {"tr": {"name": "Far", "family": "F2", "script": "", "distance": 2}}
    names = {(c.group, c.name) for c in compared(own_languages=own).columns if c.kind == "gap"}
    assert ("family", "F2") in names and ("family", "Turkic") not in names and ("size", "0.1M to 1M") not in names


def test_collapsed_runs_stay_in_are_marked_and_counted() -> None:
    worst = {("mnli", "xnli", 1, "de"): "collapsed", ("mnli", "xnli", 2, "de"): "chance"}
    rows = [r | {"status": worst.get((r["arm"], r["target"], r["seed"], r["language"]), "ok")} for r in ROWS]
    of, clean = compared(rows), compared()
    assert cell(of, "mnli", "xnli").delta == cell(clean, "mnli", "xnli").delta
    assert (cell(of, "mnli", "xnli").weak, cell(of, "mnli", "xnli").constant) == (2, 1)
    assert cell(of, "mnli", "en", "language", "xnli").weak == 0
    assert "!" in shown(of, "mnli", "xnli") and "!" not in shown(of, "mnli", "xquad")
    assert shown(of, "mnli", "scores at chance") == "2 of 24, 1 constant"
    assert shown(of, "none", "scores at chance") == "0 of 24"


def test_languages_of_one_target() -> None:
    of = compared()
    grid = comparison_grids([of], "xnli")[1]
    assert [line[0] for line in grid.rows] == ["de German", "en English", "tr Turkish"]
    assert grid.rows[1][1].startswith(f"{EASE['en'] + 1 / 3:.1f}±")
    with pytest.raises(MissingNameError, match="unknown target 'xnl'"):
        comparison_grids([of], "xnl")


def test_what_was_declared_is_said() -> None:
    notes = " ".join(
        comparison_grids([compared(declared=Declared(level=0.1, correction="benjamini_hochberg"))])[0].notes
    )
    for part in (
        "90 % t-interval",
        "p of the paired t-test below 0.1, Benjamini and Hochberg",
        "6 tests",
        "seeds (1, 2, 3)",
    ):
        assert part in notes
    assert "example bootstrap" not in notes, "no rows, no bootstrap"


def test_plain_rows_hold_every_number_with_what_was_declared() -> None:
    of = compared()
    rows = plain([of])
    assert len(rows) == len(of.cells)
    (one,) = [r for r in rows if (r["arm"], r["kind"], r["name"]) == ("mnli", "target", "xnli")]
    assert (one["delta"], one["verdict"], one["tests"], one["correction"]) == (
        pytest.approx(10 + 0.5 / 3), "better", 6, "holm",
    )  # fmt: skip
    assert one["low"] < one["delta"] < one["high"] and one["p"] < one["p_adjusted"] < 0.05
    (best,) = [r for r in rows if (r["arm"], r["kind"], r["name"]) == (BEST, "target", "xnli")]
    assert best["chosen"] == {"arm": "mnli", "split": "test"}


def test_markdown_has_every_table() -> None:
    lines = comparison_markdown([compared()], "s").splitlines()
    assert lines[0] == "## s: arms compared"
    assert "| target | none | mnli | qqp | best per target |" in lines
    assert any(line.startswith("| xnli | 63.7±1.5 | +10.2 [") and " ▲ |" in line for line in lines)
    assert sum(line.startswith("### ") for line in lines) == 2


def test_without_an_arm_to_compare_with_the_study_file_says_how() -> None:
    with pytest.raises(StatisticsError, match=r"comparison: \{against: ARM\}"):
        compare(ROWS, study(arms={"mnli": {"intermediate": "mnli"}}), "test", Declared(), {})
    with pytest.raises(StatisticsError, match="the level is 5"):
        compare(ROWS, STUDY, "test", Declared(level=5), {})


def test_no_scores_give_no_comparison() -> None:
    assert compare([], STUDY, "test", Declared(), {}) == []
    assert comparison_grids([]) == []


def test_a_target_from_outside_is_known_by_what_the_store_recorded() -> None:
    mine = [row(arm, "mine", s, "de", "accuracy", 50 + s, key=f"{arm} {s}") for arm in ("none", "mnli") for s in (1, 2)]
    (of,) = compare(mine, study(targets=["mine"]), "test", Declared(), {"mine": {"group": "retrieval"}})
    assert cell(of, "none", "mine").mean == 51.5


def test_an_arm_is_compared_with_the_baseline_that_is_fine_tuned_in_its_language() -> None:
    arms = {
        "none": {"intermediate": None},
        "none-de": {"intermediate": None, "target_source": "de"},
        "mnli": {"intermediate": "mnli", "target_source": "de"},
    }
    of = compared([r | {"arm": "none-de" if r["arm"] == "qqp" else r["arm"]} for r in ROWS], arms=arms)
    assert of.against == {"none-de": "none", "mnli": "none-de"}, "no best of arms: one has no intermediate task"
    found = cell(of, "mnli", "xnli")
    assert found.delta is not None and found.delta.mean == pytest.approx(11)
    assert "mnli (against none-de)" in comparison_grids([of])[0].columns
    gaps = {arm: cell(of, arm, "gap", "gap").mean for arm in ("none", "mnli")}
    assert gaps == {"none": pytest.approx(35), "mnli": pytest.approx(15)}, "source minus Turkish; minus Chinese"
