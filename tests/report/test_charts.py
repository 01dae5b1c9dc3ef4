import xml.etree.ElementTree as ET

import numpy as np
import pytest

from synclora.report.charts import MAX_POINTS, Limit, histogram, line_chart, stacked_bar

SVG = "{http://www.w3.org/2000/svg}"


def classed(chart, tag, name):
    return [node for node in ET.fromstring(chart).iter(SVG + tag) if name in (node.get("class") or "").split()]


@pytest.mark.parametrize("frames", [1, 2, 81, 5000])
def test_line_charts_are_well_formed_and_bounded(frames):
    values = np.sin(np.arange(frames) / 9)
    chart = line_chart(values, -values, np.ones(frames, bool), 25.0, [0, frames - 1], 'speech <"&>')
    assert ET.fromstring(chart).get("aria-label") == 'speech <"&>'
    assert len(classed(chart, "path", "curve")) == 2
    assert max(path.get("d").count("L") for path in classed(chart, "path", "curve")) < MAX_POINTS
    assert [node.text for node in classed(chart, "text", "mark-no")] == ["1", "2"]


def test_a_blink_survives_thinning():
    values = np.zeros(3600)
    values[1801] = 3.0
    chart = ET.fromstring(line_chart(values, values, np.ones(3600, bool), 30.0, [], ""))
    assert "3.00" in chart.get("data-source").split(",")


def test_unseen_frames_are_greyed_and_broken():
    seen = np.ones(50, bool)
    seen[20:30] = False
    values = np.linspace(-1, 1, 50)
    chart = line_chart(values, values, seen, 25.0, [], "")
    assert len(classed(chart, "rect", "unseen")) == 1
    assert len(classed(chart, "path", "broken")) == 2
    assert len(classed(chart, "path", "source")) == 3


def test_ticks_are_in_seconds():
    chart = line_chart(np.zeros(101), np.zeros(101), np.ones(101, bool), 25.0, [], "")
    assert [node.text for node in classed(chart, "text", "tick")] == ["0", "1", "2", "3", "4 s"]


def test_histogram_counts_everything_even_beyond_its_edges():
    edges = np.linspace(0, 1, 11)
    chart = histogram([0.05, 0.95, 7.0], [-3.0], edges, [(0, "0"), (1, "1")], [Limit(0.5, "≥ 0.5")], "r")
    assert len(classed(chart, "rect", "kept")) == 2
    assert len(classed(chart, "rect", "rejected")) == 1
    assert classed(chart, "line", "limit")[0].get("x1") == "500.00"
    assert "3 kept, at most 2 in a bin; 1 rejected" in ET.fromstring(chart).get("aria-label")


def test_a_logarithmic_axis_is_its_edges():
    edges = np.geomspace(0.001, 1, 31)
    chart = histogram([], [0.01], edges, [], [Limit(0.1, "")], "edit")
    assert float(classed(chart, "line", "limit")[0].get("x1")) == pytest.approx(666.67, abs=0.1)


def test_stacked_bar_keeps_proportions():
    widths = [
        float(node.get("width")) for node in ET.fromstring(stacked_bar([("kept", 1), ("rejected", 3)], "")).iter(SVG + "rect")
    ]
    assert widths == [250, 750]
    ET.fromstring(stacked_bar([("kept", 0)], ""))
