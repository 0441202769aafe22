"""The site has every page, and what is made for it says what the code and the records say."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import guide
import pytest
import yaml
from website import command_line, expected, library, places, records

from xstilts.published.numbers import load_published

CONFIG = yaml.safe_load((guide.ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
MADE = {"expected-scores.md", "records/index.md", "reference/command-line.md", "reference/library.md"}


def listed(nav: Any) -> Iterator[str]:
    if isinstance(nav, str):
        yield nav
    elif isinstance(nav, list):
        for each in nav:
            yield from listed(each)
    else:
        for each in nav.values():
            yield from listed(each)


def test_every_page_has_a_line_in_mkdocs_yml_and_every_line_a_page() -> None:
    here = {str(page.relative_to(guide.ROOT / "docs")) for page in (guide.ROOT / "docs").rglob("*.md")}
    there = list(listed(CONFIG["nav"]))
    assert len(there) == len(set(there))
    missing = here - set(there)
    assert not missing, f"pages without a line below nav in mkdocs.yml: {sorted(missing)}"
    assert set(there) - here == MADE | {"index.md", "contributing.md"}


@pytest.mark.parametrize("page", guide.PAGES, ids=lambda page: str(page.relative_to(guide.ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    site = places.with_links_of_the_site(text, places.page_of(str(page.relative_to(guide.ROOT))))
    targets = {link for link, _ in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)", text)}
    lost = [link for link in targets if not (page.parent / link).exists()]
    assert not lost, f"{page}: no such file: {lost}"
    here = posixpath.dirname(places.page_of(str(page.relative_to(guide.ROOT))))
    for link, _ in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)(#[^)\s]*)?\)", site):
        place = posixpath.normpath(posixpath.join(here, link))
        assert not place.startswith(".."), f"{page}: {link} leads off the site"


def test_links_between_files_become_links_between_pages() -> None:
    turned = places.with_links_of_the_site
    assert (
        turned("[r](../benchmarks/results/2026-11-29-pocket.md#x)", "pocket.md")
        == "[r](records/2026-11-29-pocket.md#x)"
    )
    assert turned("[p](docs/pocket.md) [c](CONTRIBUTING.md)", "index.md") == "[p](pocket.md) [c](contributing.md)"
    assert turned("[a](../../CONTRIBUTING.md#add)", "how-to/own-model.md") == "[a](../contributing.md#add)"
    assert turned("[n](results/2026-11-23-equivalence.md)", "records/notes.md") == "[n](2026-11-23-equivalence.md)"
    assert turned("[f](CITATION.cff)", "index.md") == "[f](files/CITATION.cff)"
    for kept in ("[w](https://no-color.org)", "[h](#here)", "[x](no-such.md)"):
        assert turned(kept, "index.md") == kept


def test_the_command_line_page_has_every_verb_and_option() -> None:
    made = command_line.page()
    for name, command in command_line.verbs():
        assert f"# {name}\n" in made
        part = made[made.index(f"# {name}\n") :]
        part = part[: part.find("\n##") if "\n##" in part else None]
        for option in command.params:
            assert option.param_type_name == "argument" or option.opts[0] in part, f"{name} {option.opts}"
    assert "0 all that was asked for was done" in made


def test_the_library_page_has_every_module() -> None:
    made = library.page()
    found = {p.stem for p in library.SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").is_file()}
    for name in found - {"__init__", "__main__", "cli"}:
        assert f"::: xstilts.{name}\n" in library.pages()[f"reference/xstilts.{name}.md"]
        assert re.search(rf"\[`{name}`\]\(xstilts.{name}.md\) \| \S", made), name


def test_the_records_page_has_every_record() -> None:
    made = records.index()
    for path in (guide.ROOT / places.RECORDS).iterdir():
        assert path.name in made or path.stem in made, path.name
    assert records.title_of("# A title\n\ntext") == "A title" and records.title_of("text") == ""


def test_the_expected_scores_are_the_published_numbers() -> None:
    made = expected.page()
    known = load_published()
    for number in known.numbers:
        assert number.text in made, number
        assert f"**{number.source}**" in made
    for mark in {number.mark for number in known.numbers}:
        assert f" {mark} |" in made
