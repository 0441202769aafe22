"""The suite's own sums: turns, rates, shares, agreement, and rows that are as long as the real ones."""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

if importlib.util.find_spec("benchmarks") is None:
    pytest.skip(
        "benchmarks/ is not here: tests run in an unpacked sdist, or not as python -m pytest", allow_module_level=True
    )

from benchmarks.measure import Rounds, interleaved, record
from benchmarks.race import Agreement, Contender, Difference, Race, Ready, Timed
from benchmarks.random_encoder import make_encoder, shape_of
from benchmarks.rows import LANGUAGES, MadeRows, spread
from benchmarks.table import markdown

from xstilts.models.loading import load_tokenizer


def ready() -> Ready:
    return Ready(lambda: None)


def race(check: Callable[[Any], Agreement] | None = None) -> Race:
    """Ours does 100 tokens a call, theirs 200."""
    return Race(
        name="toy",
        unit="tokens",
        contenders={"ours": Contender(ready, 100, 1000), "theirs": Contender(ready, 200, 2000)},
        base="ours",
        check=check or (lambda _: Agreement("nothing")),
    )


def test_contenders_take_turns_there_and_back_after_a_warm_up() -> None:
    called = []
    interleaved({name: lambda name=name: called.append(name) for name in "ab"}, rounds=3, peak=lambda: 1.0)  # type: ignore[misc]
    assert "".join(called) == "ab" + "ab" + "ba" + "ab"


def test_the_peak_is_asked_in_every_round_and_the_warm_up_gives_the_answers() -> None:
    answers = iter(["warm-up", "1", "2"])
    found = interleaved({"a": lambda: next(answers)}, rounds=2, peak=iter([5.0, 6.0]).__next__)
    assert found.values == {"a": "warm-up"}
    assert found.peaks == [5.0, 6.0]
    assert len(found.seconds["a"]) == 2


def test_a_contender_that_holds_the_watch_is_believed() -> None:
    found = interleaved({"a": lambda: Timed(42.0, "answer")}, rounds=1, peak=lambda: 1.0)
    assert found.seconds == {"a": [42.0]}
    assert found.values == {"a": "answer"}


def test_rates_are_per_unit_of_each_contenders_own_work() -> None:
    measured = Rounds({"ours": [1.0, 2.0, 1.0], "theirs": [4.0, 4.0, 6.0]}, {}, [10_000.0, 10_000.0, 2000.0])
    found = record(race(), measured, chosen={"theirs": ("batch 8", 320), "ours": ("", None)}, memory={"ours": 7})
    ours, theirs = found["contenders"]["ours"], found["contenders"]["theirs"]
    assert (ours["tokens_per_second"], theirs["tokens_per_second"]) == (100, 50)
    assert theirs["time_against_base"] == {
        "median": 2.0,
        "min": 1.0,
        "max": 3.0,
    }  # 0.02 to 0.01 a token, round by round
    assert ours["share_of_peak"] == {"median": 0.1, "min": 0.05, "max": 0.5}
    assert (ours["computed_per_unit"], theirs["computed_per_unit"]) == (None, 1.6)
    assert (theirs["note"], ours["peak_memory_bytes"], theirs["peak_memory_bytes"]) == ("batch 8", 7, None)


def test_only_rounding_agrees() -> None:
    tie, other = Difference("row 1", 1e-6), Difference("row 2", 0.5)
    assert Agreement("labels", [tie], near=1e-5).holds
    assert not Agreement("labels", [tie, other], near=1e-5).holds
    assert not Agreement("labels", [Difference("row 3", float("nan"))], near=1e-5).holds
    assert Agreement("labels", [tie, other]).as_json()["number_of_differences"] == 2


def test_the_table_shows_what_does_not_agree() -> None:
    measured = Rounds({"ours": [1.0], "theirs": [4.0]}, {}, [10_000.0])
    wrong = race(lambda _: Agreement("labels", [Difference("row 7: yes, theirs: no", 0.5)]))
    found = record(wrong, measured, chosen={}, memory={"theirs": 3 * 2**20})
    about = {
        "environment": {"cpu": "a CPU", "threads": 2, "python": "3", "versions": {"torch": "2"}, "commit": "abc"},
        "setting": {"model": "m", "data": "real", "seed": 0, "rounds": 1},
    }
    shown = markdown([{**found, **about}])
    assert "| toy | theirs | 50 tokens/s | 2.00 (2.00–2.00) | – | 0.05 | 3 MiB | **no** |" in shown
    assert "row 7: yes, theirs: no" in shown


@pytest.mark.parametrize("count", [16, 128, 512, 5000])
def test_chosen_rows_have_the_padding_of_the_whole_set(count: int) -> None:
    lengths = np.random.default_rng(0).lognormal(np.log(26), 0.7, 5000).clip(5, 128).astype(np.int64)
    chosen = spread(lengths, count, seed=0)
    assert len(set(chosen.tolist())) == len(chosen) == count
    assert list(chosen) != sorted(chosen)
    if count >= 512:
        assert lengths[chosen].mean() == pytest.approx(lengths.mean(), rel=0.12)
        assert padding(lengths[chosen]) < 1.05
        some = np.random.default_rng(1).permutation(lengths)[:256]
        assert padding(some) > 1.08  # what a few hundred random rows would have cost who sorts them


def padding(lengths: np.ndarray[Any, Any]) -> float:
    """Rows computed for each token by batches of 32 of sorted rows."""
    batches = np.split(np.sort(lengths), range(32, len(lengths), 32))
    return float(sum(b.max() * len(b) for b in batches) / lengths.sum())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRows:
    folder = tmp_path_factory.mktemp("random") / "encoder"
    make_encoder(folder, shape_of(32, 2, 4, 64, 2000), seed=0)
    return MadeRows(load_tokenizer(folder), seed=0)


def test_made_up_rows_are_as_long_as_real_ones(made: MadeRows) -> None:
    def lengths(texts: list[Any], **options: Any) -> Counter[int]:
        return Counter(len(e.ids) for e in made.tokenizer.encode(texts, **options))

    for split, language in (("train", "en"), ("test", "en"), ("test", "zh")):
        pairs = made.pairs(split, language)
        found = lengths([(p.first, p.second) for p in pairs])
        assert mean(found) == pytest.approx(recorded(made, f"xnli.{split}.{language}"), rel=0.05)
        assert all((p.label is None) == (split == "test") for p in pairs)
    for language in LANGUAGES:
        tagged, questions = made.tagged(language), made.questions(language)
        for name, counts in (
            ("udpos.test", lengths([list(e.words) for e in tagged], is_pretokenized=True)),
            ("xquad.question", lengths([e.question for e in questions], add_special_tokens=False)),
            ("xquad.context", lengths([e.context for e in questions], add_special_tokens=False)),
            ("tatoeba.test", lengths(made.sentences(language))),
        ):
            assert mean(counts) == pytest.approx(recorded(made, f"{name}.{language}"), rel=0.05), name


def test_made_up_rows_are_the_same_each_time(made: MadeRows, tmp_path: Path) -> None:
    again = MadeRows(made.tokenizer, seed=0)
    assert made.pairs("test", "en") == again.pairs("test", "en")
    assert made.pairs("test", "en") != MadeRows(made.tokenizer, seed=1).pairs("test", "en")


def mean(counts: Counter[int]) -> float:
    return sum(length * rows for length, rows in counts.items()) / counts.total()


def recorded(made: MadeRows, name: str) -> float:
    return mean(Counter({int(length): rows for length, rows in made.histograms[name].items()}))
