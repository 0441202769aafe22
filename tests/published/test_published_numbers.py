"""The file of printed numbers is whole, marked, and agrees with itself by the arithmetic its marks rest on."""

from __future__ import annotations

import statistics
from collections import defaultdict
from pathlib import Path

import pytest

from xstilts.errors import DataError
from xstilts.published.compare import change_table
from xstilts.published.numbers import AVERAGE, FILE, JIANT, MARKS, PAPER_MODEL, Number, arm_name, load_published
from xstilts.published.settings import NAMES
from xstilts.tasks import intermediate, load, targets

KNOWN = load_published()
NINE = [task.name for task in targets()]


def by_target(arm: str, *, unit: str = "score", split: str, source: tuple[str, ...]) -> dict[str, float]:
    """Target -> mean of its printed metrics."""
    found: dict[str, list[float]] = defaultdict(list)
    for n in KNOWN.numbers:
        if (n.model, n.arm, n.unit, n.split, n.language) == (
            PAPER_MODEL,
            arm,
            unit,
            split,
            None,
        ) and n.source in source:
            found[n.target].append(n.value)
    return {target: statistics.fmean(values) for target, values in found.items()}


def test_what_was_read_is_there() -> None:
    read = {
        (n.target, n.metric): n.value
        for n in KNOWN.numbers
        if (n.source, n.model, n.arm) == ("REM", PAPER_MODEL, "none")
    }
    assert read["xnli", "accuracy"] == 79.2
    assert read["udpos", "f1"] == 73.8
    assert (read["tydiqa", "exact_match"], read["tydiqa", "f1"]) == (45.0, 65.1)
    assert len(read) == 10


def test_every_number_has_a_mark_a_source_a_metric_and_a_place() -> None:
    for n in KNOWN.numbers:
        assert n.mark in MARKS
        assert n.source in KNOWN.sources
        if n.target != AVERAGE:
            task = load(n.target)
            assert n.metric in task.main_score
            assert n.own_split in task.files
            assert n.language is None or n.language in task.languages


def test_nothing_from_memory_is_marked_as_read() -> None:
    assert {n.mark for n in KNOWN.numbers if n.source == "P2020"} == {"recalled*"}
    assert {n.mark for n in KNOWN.numbers if n.source == "MEMORY"} == {"recalled"}
    assert "recalled" not in {n.mark for n in KNOWN.numbers if n.source == "FSQ"}
    said = [
        of for (protocol, _), settings in KNOWN.settings.items() if protocol == "phang2020" for of in settings.values()
    ]
    assert {of.mark for of in said if of.source == "JI"} == {JIANT}
    assert {of.mark for of in said if of.source == "P2020"} == {"recalled"}
    assert "read" not in {of.mark for of in said}  # the paper could not be read


def test_two_sources_of_a_setting_both_stand_there() -> None:
    rate = KNOWN.settings["phang2020", "panx"]["learning_rate"]
    assert rate.values == (3e-6, 1e-5)
    assert (rate.mark, rate.source) == (f"recalled or {JIANT}", "P2020 or JI")
    assert KNOWN.settings["phang2020", "xnli"]["epochs"].values == (2,)


def test_every_declared_source_is_used() -> None:
    text = FILE.read_text(encoding="utf-8")
    _, rest = text.split("[models.", 1)
    assert [source for source in KNOWN.sources if source not in rest] == []


def test_both_versions_of_the_paper_are_there() -> None:
    printed = {(n.protocol, n.source): n.value for n in KNOWN.find("best-per-target", AVERAGE)}
    assert printed == {("phang2020", "ABS3"): 5.4, ("phang2020-v1", "ABS1"): 6.1}
    (squad,) = KNOWN.find("squad", AVERAGE)
    assert (squad.value, squad.split, squad.protocol) == (8.4, "dev", "phang2020-v1")


def test_the_replications_languages_give_its_printed_means() -> None:
    for target, mean in (("bucc2018", 71.5), ("tatoeba", 31.0)):
        of = {n.language: n.value for n in KNOWN.numbers if n.source == "JD128" and n.target == target and n.language}
        assert set(of) == set(load(target).languages)
        assert statistics.fmean(of.values()) == pytest.approx(mean, abs=0.05)


def test_the_submissions_nine_targets_give_its_average() -> None:
    scores = by_target("best-per-target", split="test", source=("REM", "P2020"))
    assert statistics.fmean(scores[target] for target in NINE) == pytest.approx(scores[AVERAGE], abs=0.05)
    base = by_target("none", split="test", source=("REM", "VEC"))
    assert scores[AVERAGE] - base[AVERAGE] == pytest.approx(5.4)  # the abstract's number


def test_the_first_pos_number_gives_the_printed_average() -> None:
    base = by_target("none", split="test", source=("REM", "VEC"))
    (first,) = [n.value for n in KNOWN.find("none", "udpos", unit="score") if n.source == "MEMORY"]
    assert statistics.fmean(base[target] for target in NINE) == pytest.approx(68.25, abs=0.01)
    base["udpos"] = first
    assert statistics.fmean(base[target] for target in NINE) == pytest.approx(base[AVERAGE], abs=0.05)


def test_each_row_of_the_dev_table_gives_its_average() -> None:
    """The arithmetic check that the mark recalled* stands for."""
    table = change_table(KNOWN)
    whole = [arm for arm, of in table.items() if set(NINE) <= set(of)]
    assert len(whole) == 9
    for arm in whole:
        assert statistics.fmean(table[arm][target] for target in NINE) == pytest.approx(table[arm][AVERAGE], abs=0.06)


def test_sizes_of_effects_are_differences_of_printed_numbers() -> None:
    def value(model: str, target: str, metric: str, source: str) -> float:
        (found,) = [
            n.value
            for n in KNOWN.numbers
            if (n.model, n.arm, n.target, n.metric, n.source, n.language, n.split)
            == (model, "none", target, metric, source, None, "test")
        ]
        return found

    layer = KNOWN.effect("layer", "tatoeba")
    assert layer is not None
    assert layer.points == pytest.approx(value(PAPER_MODEL, "tatoeba", "accuracy", "VEC") - 31.0)
    assert (layer.mark, layer.source) == ("derived", "VEC and JD128")
    assert KNOWN.effect("layer", "bucc2018") is None  # 66.0 is of test, 71.5 of dev: no size of the layer
    # of any two models nobody knows it
    assert not [effect for effect in KNOWN.effects if effect.setting == "model"]


def test_protocols_speak_of_settings_that_are_compared() -> None:
    for (protocol, target), settings in KNOWN.settings.items():
        assert protocol in KNOWN.protocols
        assert target in ("", "multitask", *NINE, *(task.name for task in intermediate()))
        assert set(settings) <= set(NAMES)
    assert {effect.setting for effect in KNOWN.effects} <= set(NAMES)


def test_a_target_without_dev_rows_has_its_printed_dev_number_from_test() -> None:
    def own(target: str) -> str:
        return Number("m", "none", target, "f1", None, "dev", 1.0, "score", "xtreme", "read", "REM").own_split

    assert {target: own(target) for target in ("xnli", "xquad", "tydiqa", "tatoeba", "bucc2018")} == {
        "xnli": "dev",
        "xquad": "test",
        "tydiqa": "test",
        "tatoeba": "test",
        "bucc2018": "dev",
    }


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("FacebookAI/xlm-roberta-large", "xlm-r-large"),
        ("folder/xlm-roberta-large", "xlm-r-large"),
        ("hub/models--FacebookAI--xlm-roberta-large/snapshots/0123abc", "xlm-r-large"),
        ("google/mt5-small", "mt5-small"),
        ("somebody/xlm-roberta-large-finetuned", None),
        ("e5-small", None),
        (None, None),
    ],
)
def test_a_model_is_known_by_its_id_or_folder(name: str | None, model: str | None) -> None:
    assert KNOWN.model_of(name) == model


def test_arms_by_what_they_learned() -> None:
    assert arm_name(()) == "none"
    assert arm_name(("mnli",)) == "mnli"
    assert arm_name(tuple(task.name for task in intermediate())) == "multitask"
    assert arm_name(("mnli", "squad_v2")) is None


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('mark = "read-2nd"', 'mark = "heard"', "unknown mark 'heard'"),
        ('source = ["VEC", "JD128"]', 'source = ["VEC", "NOBODY"]', "'NOBODY' is not declared"),
        ('source = "VEC"', 'source = "NOBODY"', "'NOBODY' is not declared"),
        ('model = "rembert"', 'model = "rembrandt"', "'rembrandt' is not declared"),
        ("xquad = { exact_match = 60.8, f1 = 76.6 }", "xquad = 76.6", "xquad has 2 metrics"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    text = FILE.read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / "numbers.toml"
    file.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(DataError, match=says):
        load_published(file)
