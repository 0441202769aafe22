"""The page: findings first and few, every speed beside its score, figures that are whole, and the verbs that print it."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console
from test_impact import slower

from timed_world import tatoeba_systems, world, xnli_systems
from tiny_world import CLI
from xstilts.errors import XstiltsError
from xstilts.graph.store import Store
from xstilts.report.impact.answers import Impact, impact
from xstilts.report.impact.page import page_markdown, print_impact, write_page
from xstilts.report.impact.plain import plain
from xstilts.report.impact.words import findings, how_measured
from xstilts.tasks import load


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    made = world(tmp_path_factory.mktemp("store"))
    made.measure("xnli", xnli_systems())
    made.measure("tatoeba", tatoeba_systems())
    return made.save()


@pytest.fixture(scope="module")
def found(store: Store) -> Impact:
    return impact(store)


def of_xnli(root: Path, **settings: Any) -> Impact:
    made = world(root)
    made.measure("xnli", settings.pop("systems", None) or xnli_systems(), **settings)
    return impact(made.save())


def table(page: str, section: str, title: str) -> dict[str, list[str]]:
    """First column -> the others, of the table under a section and a title."""
    below = page.split(f"\n## {section}\n")[1].split(f"\n### {title}\n")[1].split("\n### ")[0].split("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in below.splitlines() if line.startswith("|")
    ]
    return {row[0]: row[1:] for row in rows[2:]}


def test_findings_come_from_the_numbers(found: Impact) -> None:
    same, retrieval, equal, languages = findings(found)
    assert "6 comparisons" in same and "margin ±3 %" in same and "all equivalent" in same
    assert "2 of 3 systems" in retrieval and "big/nli calibrated at layer 2 of 4, 2.00 times" in retrieval
    assert "1.52 times" in equal and "half/nli on xnli" in equal and "2 of 4 arms" in equal
    assert languages.startswith("The dearest language, de German, costs 1.50 times en English")


def test_languages_are_compared_only_on_the_same_rows(found: Impact, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(load("xnli"), parallel=False)
    monkeypatch.setattr("xstilts.report.impact.answers.load", lambda _: other)
    assert not any("dearest" in finding for finding in findings(found))
    page = page_markdown(found)
    assert "times en" in page and "Each language has texts of its own" in page


def test_a_failed_instrument_is_said_first(tmp_path: Path) -> None:
    page = page_markdown(of_xnli(tmp_path, each_run=slower("big/none control", 1.04)))
    first = page.splitlines()[2]
    assert first.startswith("The instrument failed, and the arms' verdicts are void there: small/arms: xnli, test, big")
    assert "control not equivalent" in first
    assert "1 more are void or withheld" in page.splitlines()[4]
    assert "| big/nli | offline time | 1.0000 | 0.9979 to 1.0022 | < 0.0001 | void: control not equivalent |" in page


def test_no_more_than_five_sentences(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.measure("xnli", xnli_systems(), each_run=slower("big/none control", 1.04))
    made.measure("tatoeba", tatoeba_systems())
    said = findings(impact(made.save()))
    assert len(said) == 5
    assert [sentence.count(". ") for sentence in said] == [0] * 5


def test_a_speed_stands_beside_its_score_or_not_at_all(tmp_path: Path) -> None:
    systems = xnli_systems()
    systems["half/nli"]["agreement"] = {"en": 0.5, "de": 1.0}
    page = page_markdown(of_xnli(tmp_path, systems=systems))
    assert "- half/nli is withheld: too few answers equal the scored ones: en 50.0 %." in page
    for section in ("Work that depends on the data", "Score against cost"):
        assert table(page, section, "small/arms: xnli, test").keys() == {"big/none", "big/nli", "half/none"}
    assert table(page, "Score against cost", "small/arms: xnli, test")["big/nli"] == [
        *("75.0 ± 2.1", "800", "50.0", "100", "100", "2.00", "10.0 %", "time, latency, memory"),
    ]


def test_the_price_of_each_language_is_beside_the_source(found: Impact) -> None:
    rows = table(page_markdown(found), "Load and cost per language", "small/arms: xnli, test: big/none")
    assert rows["de German"] == ["16.7", "500", "30.0", "60.0", "1.50"]
    assert rows["en English"] == ["25.0", "500", "20.0", "40.0", "1.00"]


def test_how_it_was_measured(tmp_path: Path, found: Impact) -> None:
    said = "\n".join(how_measured(found))
    for part in (
        "A processor (cpu, 2 cores), 2 threads, fp32; torch 2.13.0",
        "4 blocks there and back, 64 fresh processes, margin ±3 %, fixed before",
        "shorter than MLPerf's 600 s: not compliant",
        "One seed (1)",
        "4.00 and 3.00 GFLOP/s",
        "Rows of mnli.train come from stand-in.tsv, not from the published file.",
        "big: a model of this test",
        "free text",
    ):
        assert part in said
    assert "other processes" not in said

    def busy(system: str, run: dict[str, Any]) -> None:
        run["other_cpu_share"] = 0.3 if (system, run["block"]) == ("big/nli", 0) else 0.05

    said = "\n".join(how_measured(of_xnli(tmp_path, each_run=busy)))
    assert "in 2 of 64 runs other processes took more than 5 % of the processor (at most 30 %)" in said


def test_the_page_says_what_is_not_claimed_at_13b(found: Impact) -> None:
    last = page_markdown(found).split("\n## ")[-1]
    assert last.startswith("What would have to hold at 13B\n\nNothing here was measured at 13B.")


def test_the_page_and_its_figures(tmp_path: Path, found: Impact) -> None:
    written = write_page(found, tmp_path / "impact.md")
    page = (tmp_path / "impact.md").read_text()
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page)
    assert sorted(linked) == sorted(str(p.relative_to(tmp_path)) for p in written[:-1])
    assert {p.name.split("-")[0] for p in written[:-1]} == {"ratio", "score", "language", "layer"}
    for path in written[:-1]:
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["impact", "impact.md"], "nothing half-written stays"
    assert write_page(found, tmp_path / "impact.md") == written, "written again over what is there"


def test_a_page_that_cannot_be_written_says_why(tmp_path: Path, found: Impact) -> None:
    with pytest.raises(XstiltsError, match=r"must end in \.md"):
        write_page(found, tmp_path / "impact.html")
    with pytest.raises(XstiltsError, match="the folder of this file is not there"):
        write_page(found, tmp_path / "no" / "impact.md")
    assert list(tmp_path.iterdir()) == []


def test_plain_data_have_every_number(found: Impact) -> None:
    data = json.loads(json.dumps(plain(found), allow_nan=False))
    xnli = next(m for m in data["measurements"] if m["target"] == "xnli")
    big = next(s for s in xnli["systems"] if s["name"] == "big/nli")
    assert (big["score"], big["delta"], big["training"]["intermediate_tokens"]) == (75, 5, 40_000)
    assert big["languages"]["de"]["seconds_per_1000"] == pytest.approx(60)
    assert {r["verdict"] for r in xnli["same_graph"]} == {"equivalent"}
    half = next(e for e in xnli["equal_score"] if (e["system"], e["cost"]) == ("half/nli", "offline"))
    assert half["speed_up"] == pytest.approx(2**0.6)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run([*CLI, *arguments], capture_output=True, text=True, timeout=60, env=env, check=False)


def test_the_verb_impact(tmp_path: Path, store: Store) -> None:
    page, data, at = tmp_path / "page.md", tmp_path / "x.json", ("--store", str(store.root))
    done = run("impact", "small", *at, "-o", str(page), "--json", str(data), "--markdown")
    assert done.returncode == 0, done.stderr
    assert "and 11 figures" in done.stderr and page.is_file()
    assert json.loads(data.read_text())["findings"]
    assert "| big/nli | offline time |" in done.stdout and "![" not in done.stdout
    assert json.loads(run("impact", "small", *at, "--json", "-", "--markdown").stdout)["findings"]


def test_the_verb_choose(store: Store) -> None:
    at = ("--store", str(store.root))
    done = run("choose", "--target", "xnli", "--languages", "en,de", "--max-p99-ms", "60", *at)
    assert done.returncode == 0 and done.stdout.startswith("half/nli for xnli (en de)")
    done = run("choose", "--target", "xnli", "--max-p99-ms", "6", *at)
    assert done.returncode == 2 and "nearest: half/none" in done.stderr


@pytest.mark.parametrize("width", [200, 80, 40])
def test_a_terminal_of_any_width_shows_every_number(width: int, found: Impact) -> None:
    out = io.StringIO()
    print_impact(found, Console(file=out, width=width))
    printed = out.getvalue()
    for number in ("0.9979 to 1.0022", "70.0 ± 2.2", "1.33 (1.33 to 1.34)", "16.7", "40,000", "10.0 %"):
        assert number in printed
    assert "…" not in printed
