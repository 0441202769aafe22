"""Figures are whole SVG in two colour schemes; marks stand where their values are, labels cover nothing."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from xstilts.report.charts import Curve, Point, RatioMark, bar_chart, layer_chart, place_label, ratio_chart, score_chart
from xstilts.report.figure import PALETTE, Canvas, Scale, padded
from xstilts.report.grid import NOTHING, Grid, grid_markdown, milliseconds, number, percent, without_empty

SVG = "{http://www.w3.org/2000/svg}"


def elements(svg: str, tag: str) -> list[ElementTree.Element]:
    return [e for e in ElementTree.fromstring(svg).iter() if e.tag == SVG + tag]


def texts(svg: str) -> list[str]:
    return [e.text or "" for e in elements(svg, "text")]


def test_figures_have_a_paper_for_light_and_for_dark() -> None:
    svg = bar_chart("Cost <of> & languages", [("en", 1.0), ("th", 2.5)], "seconds", "en")
    assert "prefers-color-scheme:dark" in svg
    assert elements(svg, "rect")[0].get("class") == "paper"
    assert elements(svg, "title")[0].text == "Cost <of> & languages"
    assert len(set(PALETTE)) == 6


def test_bars_are_as_long_as_their_values() -> None:
    svg = bar_chart("t", [("en", 1.0), ("th", 2.5)], "seconds", "en")
    short, long = (float(e.get("width") or 0) for e in elements(svg, "rect")[1:])
    assert long / short == pytest.approx(2.5, rel=0.01)
    assert "seconds" in texts(svg)


def test_ratios_stand_on_the_band_of_the_margin() -> None:
    marks = [RatioMark("a/nli", 0, 0.99, 1.0, 1.01, "equivalent"), RatioMark("a/+5 %", 1, 1.04, 1.05, 1.06, "slower")]
    svg = ratio_chart("t", marks, 0.03, ("offline time", "latency"))
    band = elements(svg, "rect")[1]
    left = float(band.get("x") or 0)
    right = left + float(band.get("width") or 0)
    equivalent = elements(svg, "circle")[-1]
    assert left < float(equivalent.get("cx") or 0) < right
    slower = [float(xy.split(",")[0]) for xy in (elements(svg, "polygon")[-1].get("points") or "").split()]
    assert min(slower) > right
    assert {"a/nli", "equivalent", "slower", "offline time"} <= set(texts(svg))


def test_every_point_of_the_scores_is_labelled_and_no_label_covers_another() -> None:
    points = [Point(f"model-{n}/arm", 20 + 0.1 * n, 70 + n, 1.0, n % 2, True) for n in range(8)]
    svg = score_chart("t", points, "seconds", "score")
    labels = [e for e in elements(svg, "text") if (e.text or "").startswith("model-")]
    assert len(labels) == 8
    places = [(float(e.get("x") or 0), float(e.get("y") or 0)) for e in labels]
    for n, (x, y) in enumerate(places):
        for other_x, other_y in places[n + 1 :]:
            assert abs(x - other_x) >= 6 * len("model-0/arm") or abs(y - other_y) >= 12


def test_layers_that_were_read_have_a_ring() -> None:
    curves = [Curve("a/none", {0: 10.0, 1: 20.0, 2: 15.0}, (1, 2)), Curve("a/nli", {0: 11.0, 1: 19.0}, (0,))]
    svg = layer_chart("t", curves, "score")
    rings = [e for e in elements(svg, "circle") if (e.get("class") or "").startswith("s")]
    assert len(rings) == 3
    assert "a/none, read at layer 1 and 2" in texts(svg)


def test_one_point_and_one_layer_can_be_drawn() -> None:
    assert "only" in texts(score_chart("t", [Point("only", 5.0, 70.0, 0.0, 0, True)], "s", "score"))
    assert elements(layer_chart("t", [Curve("a", {3: 50.0}, (3,))], "score"), "circle")


@pytest.mark.parametrize(
    ("low", "high", "log"), [(0.97, 1.06, False), (0.8, 55.0, True), (24.0, 26.0, True), (0, 3e6, False)]
)
def test_ticks_are_inside_and_neither_few_nor_many(low: float, high: float, log: bool) -> None:
    scale = Scale(low, high, 0, 100, log)
    ticks = scale.ticks()
    assert 2 <= len(ticks) <= 14
    assert all(-1e-6 <= scale(tick) <= 100 + 1e-6 for tick in ticks)
    assert ticks == sorted(ticks)


def test_equal_values_still_have_a_range() -> None:
    low, high = padded([5.0, 5.0])
    assert low < 5 < high
    assert padded([0.0]) != (0.0, 0.0)


def test_a_label_without_room_is_still_written() -> None:
    canvas = Canvas(100, 100, "t")
    place_label(canvas, "label", 50, 50, [(0, 0, 100, 100)], (0, 0, 100, 100))
    assert re.search(">label<", canvas.svg())


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, NOTHING),
        (0, "0"),
        (0.04123, "0.0412"),
        (1.5, "1.50"),
        (31.62, "31.6"),
        (100.4, "100"),
        (18204.2, "18,204"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_units() -> None:
    assert (percent(0.1234), percent(None)) == ("12.3 %", NOTHING)
    assert (milliseconds(0.0213), milliseconds(None)) == ("21.3", NOTHING)


def test_a_grid_in_markdown() -> None:
    grid = Grid("t", ("system", "score", "why"), (("a|b", "1.0", "so"),), ("a note",), frozenset({"why"}))
    assert grid_markdown(grid).splitlines() == [
        "### t",
        "",
        "| system | score | why |",
        "|---|---:|---|",
        "| a\\|b | 1.0 | so |",
        "",
        "- a note",
    ]
    empty = Grid("t", ("system", "a", "b"), (("x", NOTHING, "1"), ("y", NOTHING, NOTHING)))
    assert without_empty(empty).columns == ("system", "b")
