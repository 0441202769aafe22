"""Text for masked LM from the hub: the files that a study names, pinned, limited, and of no consequence for a key."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from hub_world import TEXTS, Machine, dataset, files_under, parquet, text_dataset
from server import Fault, Hub

from tiny_world import fake_model, tiny_study, write_study
from xstilts.errors import DataError, StudyError
from xstilts.graph.disk import digest_file
from xstilts.hub.needs import texts
from xstilts.hub.texts import text_copies
from xstilts.study import Study, parse_study
from xstilts.study_files import StudyFiles
from xstilts.tasks.folder import DataFolder

SOURCE: dict[str, Any] = {"dataset": TEXTS, "config": "2026.{language}", "lines": 4}
GERMAN = ["de text 0", "de text 1", "de two lines of two", "de text 5"]
ENGLISH = ["en text 0", "en text 1", "en two lines of two", "en text 5"]


def raw(**masked_lm: Any) -> dict[str, Any]:
    """An arm that learns text, and rows that are all there."""
    learned = {"languages": ["de", "en"], "hub": SOURCE, **masked_lm}
    return tiny_study(
        models={"m": {"path": "model"}},
        arms={"text": {"intermediate": "masked_lm", "masked_lm": learned}},
        targets=["xnli"],
        languages=["en"],
        splits=["test"],
        data={"files": {"xnli.train": "train.tsv", "xnli.test": "test.tsv"}},
    )


def study(machine: Machine, **masked_lm: Any) -> Path:
    fake_model(machine.home / "model")
    rows_of_its_own(machine.data)
    return write_study(machine.home, raw(**masked_lm))


def rows_of_its_own(data: Path) -> None:
    data.mkdir(exist_ok=True)
    for name in ("train.tsv", "test.tsv"):
        (data / name).write_text("a\tb\tneutral\nc\td\tentailment\n")


def texts_in(data: Path) -> dict[str, list[str]]:
    return {p.stem: p.read_text("utf-8").splitlines() for p in sorted(data.glob("text/*.txt"))}


def keys(machine: Machine, file: Path, data: Path) -> set[str]:
    """What a plan without a network has for keys."""
    out, _ = machine.run("plan", file, "--data", data, "--store", machine.home / "store", "--json", "-", offline=True)
    return set(re.findall(r'"key": "(\w+)"', out))


def test_text_is_fetched_pinned_and_limited_and_its_source_is_in_no_key(machine: Machine, hub: Hub) -> None:
    file = study(machine)
    fetched = machine.fetch(file)
    sha = hub.repositories["datasets", TEXTS].branches["main"]
    assert texts_in(machine.data) == {"de": GERMAN, "en": ENGLISH}
    assert machine.ledger()["datasets"] == {f"{TEXTS}@main": sha}
    assert fetched["files"] == [machine.ledger()["files"][f"text/{language}.txt"] for language in ("de", "en")]
    german = fetched["files"][0]
    assert (german["dataset"], german["config"], german["split"], german["column"]) == (
        TEXTS,
        "2026.de",
        "train",
        "text",
    )
    assert (german["revision"], german["rows"], german["lines"]) == (sha, 4, 4)
    assert german["licence"] == "cc-by-sa-3.0, gfdl"
    assert german["changes"] == {"empty texts left out": 2, "texts with line breaks made spaces": 1}
    assert "2 empty texts left out; 1 texts with line breaks made spaces; stopped at lines: 4" in fetched["stderr"]
    assert not [r for r in hub.requests if "train-00001-of-00002" in r], "the second file is not needed"
    assert not list((machine.home / "hf").rglob("*.parquet")), "no copy in the cache"

    asked = len(hub.requests)
    again = machine.fetch(file, offline=True)
    assert (again["files"], again["there"], hub.requests[asked:]) == ([], fetched["there"] + 2, [])
    plain = machine.home / "plain"
    rows_of_its_own(plain)
    (plain / "text").mkdir(exist_ok=True)
    for language, lines in (("de", GERMAN), ("en", ENGLISH)):
        (plain / f"text/{language}.txt").write_text("".join(f"{line}\n" for line in lines))
    found = keys(machine, file, machine.data)
    assert found
    assert found == keys(machine, study(machine, hub=None), plain)
    out, _ = machine.run("plan", file, "--data", machine.data, "--store", machine.home / "store", offline=True)
    told = f"{TEXTS} at {sha[:12]}: text, at most 4 lines of each language; licence: cc-by-sa-3.0, gfdl."
    assert told in " ".join(out.split())


def test_all_files_of_a_split_are_read_where_all_are_asked_for(machine: Machine) -> None:
    file = study(machine, hub={**SOURCE, "lines": 1000}, text={"de": "my/german.txt", "en": "my/english.txt"})
    machine.fetch(file)
    assert (machine.data / "my/german.txt").read_text().splitlines() == [
        *GERMAN,
        *(f"de text {k}" for k in range(6, 12)),
    ]
    assert len((machine.data / "my/english.txt").read_text().splitlines()) == 7


def test_only_the_row_groups_that_are_needed_are_read(machine: Machine, hub: Hub) -> None:
    made = random.Random(1)
    rows = [{"text": made.randbytes(1_500_000).hex()} for _ in range(8)]  # 3 MB each
    large = parquet(rows, group=2)
    card = dataset({"default": {"train": rows[:1]}})["README.md"]
    hub.commit("datasets", "tests/large", {"README.md": card, "default/train-00000-of-00001.parquet": large})
    machine.fetch(study(machine, languages=["de"], hub={"dataset": "tests/large", "lines": 2}))
    assert texts_in(machine.data) == {"de": [row["text"] for row in rows[:2]]}
    spans = [tuple(map(int, r.removeprefix("bytes=").split("-"))) for r in hub.ranges if r]
    assert spans
    assert sum(end - start + 1 for start, end in set(spans)) < 0.6 * len(large)
    assert machine.ledger()["files"]["text/de.txt"]["licence"] == "unknown"


def test_a_fetch_goes_on_where_the_last_one_broke_off(machine: Machine, hub: Hub) -> None:
    hub.fail("2026.en/train", "404", -1)
    file = study(machine)
    error = machine.fetch(file, expect=2)["stderr"]
    assert "2026.en/train-00000-of-00001.parquet" in error
    assert texts_in(machine.data) == {"de": GERMAN}
    assert files_under(machine.data) == {"text/de.txt", "train.tsv", "test.tsv"}
    hub.faults.clear()
    hub.commit("datasets", TEXTS, text_dataset("moved "))
    assert [f["path"] for f in machine.fetch(file)["files"]] == ["text/en.txt"]
    assert texts_in(machine.data) == {"de": GERMAN, "en": ENGLISH}, "of the commit that German is of"
    assert len(machine.fetch(file, "--update")["files"]) == 2
    assert texts_in(machine.data)["en"][0] == "moved en text 0"


@pytest.mark.parametrize("fault", ["truncated", "closed"])
def test_a_piece_that_broke_off_is_asked_for_again(machine: Machine, hub: Hub, fault: Fault) -> None:
    hub.fail("/stored/", fault)
    machine.fetch(study(machine))
    assert [count for _, _, count in hub.faults] == [0]
    assert texts_in(machine.data) == {"de": GERMAN, "en": ENGLISH}


def test_a_text_that_is_there_is_left_alone_and_one_from_elsewhere_is_named(machine: Machine, hub: Hub) -> None:
    file = study(machine)
    (machine.data / "text").mkdir()
    (machine.data / "text/en.txt").write_text("mine\n")
    assert [f["path"] for f in machine.fetch(file)["files"]] == ["text/de.txt"]
    other = study(machine, hub={**SOURCE, "lines": 2})
    fetched = machine.fetch(other)
    assert (fetched["files"], fetched["otherwise"]) == ([], ["text/de.txt"])
    out, _ = machine.run("data", "fetch", other, "--data", machine.data)
    assert "left alone: text/de.txt came from another place on the hub" in out
    assert [f["lines"] for f in machine.fetch(other, "--update")["files"]] == [2]
    assert texts_in(machine.data) == {"de": GERMAN[:2], "en": ["mine"]}


def test_a_revision_that_the_study_pins(machine: Machine, hub: Hub) -> None:
    old = hub.repositories["datasets", TEXTS].branches["main"]
    hub.commit("datasets", TEXTS, text_dataset("moved "))
    machine.fetch(study(machine, hub={**SOURCE, "revision": old}))
    assert texts_in(machine.data)["de"] == GERMAN
    assert machine.ledger()["files"]["text/de.txt"]["revision"] == old


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"dataset": "tests/absent"}, "no such repository"),
        ({"config": "2025.{language}"}, "2025.de"),
        ({"split": "dev"}, "no split 'dev'; it has ['train']"),
        ({"column": "texts"}, "no column 'texts'; it has ['id', 'text']"),
        ({"revision": "v9"}, "no such revision"),
    ],
)
def test_what_is_not_there_is_a_clear_error(machine: Machine, changes: dict[str, Any], told: str) -> None:
    error = machine.fetch(study(machine, hub={**SOURCE, **changes}), expect=2)["stderr"]
    assert "error: tests/" in error
    assert told in error
    assert texts_in(machine.data) == {}


def test_a_loading_script_is_refused(machine: Machine, hub: Hub) -> None:
    hub.commit("datasets", TEXTS, {"README.md": b"# A dataset\n", "texts.py": b"raise SystemExit"})
    assert "never run" in machine.fetch(study(machine), expect=2)["stderr"]


@pytest.mark.parametrize(
    ("masked_lm", "told"),
    [
        ({"hub": {**SOURCE, "config": "all"}}, "the same texts for 2 languages"),
        ({"hub": {**SOURCE, "config": {"de": "a"}}}, "names none for en"),
        ({"text": "xnli.dev"}, "are the rows of a task"),
        ({"text": "../{language}.txt"}, "must be a plain file in the data folder"),
        ({"text": "text/{language}.txt.gz"}, "must be a plain file in the data folder"),
        ({"hub": {**SOURCE, "colunm": "text"}}, "unknown field"),
        ({"hub": {"dataset": TEXTS}}, "hub.lines: missing"),
    ],
)
def test_sources_that_cannot_be(masked_lm: dict[str, Any], told: str) -> None:
    with pytest.raises(StudyError, match=re.escape(told)):
        parse_study(raw(**masked_lm))


def two_arms(**second: Any) -> Study:
    made = raw()
    made["arms"]["other"] = {
        "intermediate": "masked_lm",
        "masked_lm": {"languages": ["en"], "hub": {**SOURCE, **second}},
    }
    return parse_study(made)


def test_a_file_has_one_source() -> None:
    assert [language for language, _ in text_copies(texts(two_arms()))] == ["de", "en"]
    assert len(list(text_copies(texts(two_arms(config={"en": "2026.en"}))))) == 2, "the same rows, said otherwise"
    with pytest.raises(DataError, match=r"text/en\.txt comes from one place .* arms\.text\.masked_lm"):
        list(text_copies(texts(two_arms(lines=5))))


@pytest.mark.parametrize(("source", "told"), [(None, "arms.text.masked_lm.hub: {dataset:"), (SOURCE, TEXTS)])
def test_a_missing_text_names_the_way_to_the_hub(tmp_path: Path, source: Any, told: str) -> None:
    made = parse_study(raw(hub=source))
    learned = made.arms["text"].masked_lm
    assert learned is not None
    with pytest.raises(DataError, match=r"no text for de, en; looked for text/\{language\}\.txt") as caught:
        StudyFiles(made, DataFolder(tmp_path), digest_file).masked_lm(learned, "arms.text.masked_lm")
    assert "says which files and which languages\n" in caught.value.hint
    assert told in caught.value.hint
    assert f"xstilts data fetch STUDY --data {tmp_path}" in caught.value.hint
