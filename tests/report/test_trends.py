import xml.etree.ElementTree as ET

import numpy as np
import pytest

from synclora.report.charts import MAX_POINTS
from synclora.report.trends import Level, Line, paired_bars, trend_chart

SVG = "{http://www.w3.org/2000/svg}"


def classed(chart, tag, name):
    return [node for node in ET.fromstring(chart).iter(SVG + tag) if name in (node.get("class") or "").split()]


def texts(chart, name="tick"):
    return [node.text for node in classed(chart, "text", name)]


def chart_of(values, **settings):
    values = np.asarray(values, float)
    return trend_chart(np.arange(1.0, len(values) + 1), [Line("main", "loss", values)], "loss", **settings)


@pytest.mark.parametrize("steps", [1, 2, 400, 50_000])
@pytest.mark.parametrize("log", [True, False])
def test_charts_are_well_formed_and_bounded(steps, log):
    chart = chart_of(np.exp(-np.arange(steps) / 900) + 0.1, log=log)
    data = ET.fromstring(chart).get("data-values").split(",")
    assert len(data) == len(ET.fromstring(chart).get("data-at").split(",")) == min(steps, len(data)) <= MAX_POINTS
    assert "nan" not in chart.lower()
    assert len(texts(chart, "level")) >= 2


def test_the_extremes_of_a_long_run_are_drawn():
    values = np.ones(20_000)
    values[[7_001, 15_003]] = 9, 0.1
    root = ET.fromstring(chart_of(values))
    shown = dict(zip(root.get("data-titles").split("|"), root.get("data-values").split(","), strict=True))
    assert shown["step 7\u202f002"] == "9"
    assert shown["step 15\u202f004"] == "0.1"


def test_a_logarithmic_axis_gives_equal_room_to_equal_ratios():
    path = classed(chart_of([100, 10, 1], log=True), "path", "trend")[0].get("d")
    rows = [float(point.split()[1]) for point in path[1:].split("L")]
    assert rows[1] - rows[0] == pytest.approx(rows[2] - rows[1])
    assert texts(chart_of([100, 10, 1], log=True), "level") == ["1", "10", "100"]
    assert len(texts(chart_of([0.33, 0.21], log=True), "level")) >= 2  # no 1, 2 or 5 between them
    assert 2 <= len(texts(chart_of([1e-7, 1e7], log=True), "level")) <= 5


def test_values_at_or_below_zero_stand_at_the_foot_of_a_logarithmic_axis():
    path = classed(chart_of([10, 0, -3, 1], log=True), "path", "trend")[0].get("d")
    assert [point.split()[1] for point in path[1:].split("L")][1:] == ["98.0"] * 3
    assert classed(chart_of([0, 0], log=True), "path", "trend")


def test_a_gap_breaks_the_line_and_a_lonely_value_is_a_dot():
    values = np.ones(100)
    values[[49, 51]] = np.nan
    chart = chart_of(values)
    assert len(classed(chart, "path", "trend")) == 2
    assert [float(dot.get("cx").rstrip("%")) for dot in classed(chart, "circle", "main")] == [pytest.approx(50.51)]
    assert len(classed(chart_of(values[:5]), "circle", "main")) == 5


def test_nothing_known_is_an_empty_chart():
    chart = chart_of([np.nan, np.nan], bounds=(0, 1))
    assert not classed(chart, "path", "trend")
    assert ET.fromstring(chart).get("data-values") == "–,–"
    ET.fromstring(chart_of([np.nan], log=True))


def test_levels_cross_the_chart_where_they_are():
    level = classed(chart_of([0.2, 0.4], bounds=(0, 1), levels=[Level("limit", 0.5)]), "line", "limit")[0]
    assert (level.get("x1"), level.get("x2"), level.get("y1")) == ("0.00", "1000.00", "50")
    far = chart_of([1, 2], levels=[Level("reference", 40.0)])
    assert float(classed(far, "line", "reference")[0].get("y1")) < 10
    assert all(float(dot.get("cy")) > 110 for dot in classed(far, "circle", "main"))  # of 122: the axis reaches up to the level


def test_charts_of_one_run_share_their_steps():
    chart = trend_chart(np.array([100.0]), [Line("main", "sync", np.array([0.5]))], "sync", span=(0, 400))
    assert classed(chart, "circle", "main")[0].get("cx") == "25.00%"
    assert texts(chart)[-1] == "step 400"
    assert len(texts(trend_chart(np.array([9.0]), [Line("main", "x", np.array([1.0]))], "", span=(0, 400), ticks=2))) < len(
        texts(chart)
    )


def test_bars_stand_in_their_bins_to_one_scale():
    nan = np.nan
    chart = paired_bars(np.array([4.0, nan, 1, 1, 1]), np.array([2.0, 1, nan, 1, 1]), "loss by sigma")
    early, late = (classed(chart, "rect", name) for name in ("early", "late"))
    assert (len(early), len(late)) == (4, 4)
    assert float(early[0].get("height")) == pytest.approx(2 * float(late[0].get("height")), abs=0.02)
    assert float(early[0].get("x")) < float(late[0].get("x")) < float(late[1].get("x"))
    assert ET.fromstring(chart).get("data-titles").split("|")[1] == "σ 0.2 to 0.4"
    assert "nan" not in chart.lower()


def test_hostile_words_stay_words():
    hostile = '"><script>alert(1)</script>'
    root = ET.fromstring(trend_chart(np.array([1.0]), [Line("main", hostile, np.array([1.0]))], hostile))
    assert root.get("aria-label") == root.get("data-names") == hostile
