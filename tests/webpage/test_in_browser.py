"""The page in a browser: nothing given to it runs, nothing is fetched or scrolls aside, and numbers open their origin."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from chromium import NAMES, Tab, browser, tab
from hostile import SCRIPT, hostile_store

import timed_world
from xstilts.webpage.build import page_of
from xstilts.webpage.render import write_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(
        browser() is None, reason=f"no browser: XSTILTS_CHROMIUM is not set and none of {', '.join(NAMES)}"
    ),
]
AXE = os.environ.get("XSTILTS_AXE")
WIDTHS = (1280, 390)


@pytest.fixture(scope="module")
def opened() -> Iterator[Tab]:
    with tab() as found:
        yield found


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("timed")
    made = timed_world.world(folder / "store")
    made.measure("xnli", timed_world.xnli_systems())
    write_page(page_of(made.save(), "store"), folder / "page.html")
    return folder / "page.html"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    write_page(page_of(hostile_store(folder / "store"), SCRIPT), folder / "page.html")
    return folder / "page.html"


@pytest.fixture(params=["timed", "hostile"])
def page(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_runs_is_fetched_or_scrolls_aside(opened: Tab, page: Path, width: int) -> None:
    opened.open(page, width=width)
    opened.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    assert opened.run("window.hurt === undefined")
    assert opened.console == []
    assert opened.requests == [page.resolve().as_uri()]
    assert opened.run("document.documentElement.scrollWidth") == width


def test_a_number_opens_its_origin_by_keyboard(opened: Tab, page: Path) -> None:
    opened.open(page)
    opened.run("document.querySelector('td a').focus()")
    opened.key("Enter")
    assert opened.run("document.getElementById('origin').open")
    assert "score" in opened.run("document.querySelector('.dialog-body').innerText")
    assert opened.run("document.querySelector('.dialog-body code').title.length") == 64
    opened.key("Escape")
    assert not opened.run("document.getElementById('origin').open")
    assert opened.run("document.activeElement === document.querySelector('td a')")
    assert opened.run("window.hurt === undefined")


def test_without_a_script_a_number_leads_to_its_origin(opened: Tab, timed: Path) -> None:
    opened.open(timed, script=False)
    opened.run("document.querySelector('td a').click()")
    assert opened.run("location.hash") == "#s1-o1"
    assert opened.run("document.querySelector('#s1-o1').closest('details').open")


def test_light_and_dark_differ(opened: Tab, timed: Path) -> None:
    papers = set()
    for dark in (False, True):
        opened.open(timed, dark=dark)
        papers.add(opened.run("getComputedStyle(document.body).backgroundColor"))
    assert len(papers) == 2


@pytest.mark.skipif(AXE is None, reason="XSTILTS_AXE does not name axe.min.js (npm pack axe-core)")
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_nothing_serious(opened: Tab, page: Path, width: int, dark: bool) -> None:
    opened.open(page, width=width, dark=dark)
    opened.run("document.querySelectorAll('details').forEach((fold) => { fold.open = true; })")
    opened.run(Path(str(AXE)).read_text(encoding="utf-8") + ";0")
    found = opened.run(
        "axe.run().then((r) => r.violations.map((v) => [v.impact, v.id, v.nodes.length, v.nodes[0].html]))"
    )
    assert [each for each in found if each[0] in ("serious", "critical")] == []
