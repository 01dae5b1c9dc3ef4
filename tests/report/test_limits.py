import math

from synclora.motion.verdict import Verdict
from synclora.report.limits import failing, slack, tightest
from tests.report.conftest import RULE, measured, row, wave


def test_slack_is_positive_for_kept_and_negative_for_rejected(rows):
    for made in rows:
        if made["verdict"] == Verdict.KEPT:
            assert 0 <= slack(made, RULE) <= 1
        elif made["verdict"] == Verdict.REJECTED:
            assert slack(made, RULE) < 0
        else:
            assert math.isnan(slack(made, RULE))


def test_the_tightest_check_is_named(rows):
    by_name = {made["name"]: made for made in rows}
    assert tightest(by_name["nearest"], RULE).words.startswith("mouth r 0.80 of at least 0.")
    assert tightest(by_name["dubbed"], RULE).cue == "speech"


def test_failing_parts_are_those_that_the_verdict_names(rows):
    for made in rows:
        bad = failing(made["parts"], made["reason"], RULE)
        assert bad == {part["part"] for part in made["parts"] if f"{part['part']} " in made["detail"]}


def test_without_a_rule_the_worst_part_of_the_reason_is_blamed():
    gesture = row("gesture", measured(right_elbow=3 * wave(60)), measured(tint=130, right_elbow=3 * wave(61)))
    for rule in (RULE, None):
        assert failing(gesture["parts"], gesture["reason"], rule) == {"right_arm"}
