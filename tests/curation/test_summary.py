"""Inputs are kept + rejected + quarantined, whatever happens to the rows; rates come from the workers' clocks."""

from io import StringIO
from pathlib import Path

from rich.console import Console

from synclora.curation.rescore import best_of
from synclora.curation.summary import Tally, closing_table, watched
from synclora.pairs.diffusion.settings import Goal


def rows(kept, rejected=0, quarantined=0):
    made = [{"verdict": "kept", "reason": None, "sync": 0.9 + i / 100, "pair_id": f"k{i}"} for i in range(kept)]
    made += [{"verdict": "rejected", "reason": "speech", "sync": 0.1, "pair_id": f"r{i}"} for i in range(rejected)]
    return made + [{"verdict": "quarantined", "reason": "zero", "sync": None, "pair_id": f"q{i}"} for i in range(quarantined)]


def printed(tally):
    console = Console(file=StringIO(), width=200)
    console.print(closing_table(tally, Path("out"), {"GPU": "4 seconds"}))
    return console.file.getvalue()


def test_inputs_are_the_sum():
    tally = Tally()
    assert len(list(tally.counting(rows(3, 2, 1)))) == 6
    assert tally.inputs == 6
    assert tally.facts()["Inputs"] == "6 = 3 kept + 2 rejected + 1 quarantined"
    text = printed(tally)
    assert [line.split() for line in text.splitlines()][:6] == [
        *(["kept", "3"], ["rejected", "2"], ["speech", "2"], ["quarantined", "1"], ["zero", "1"]),
        ["inputs", *["6", "=", "3", "kept", "+", "2", "rejected", "+", "1", "quarantined"]],
    ]


def test_the_best_are_counted_anew():
    tally = Tally()
    made = list(tally.counting(rows(3, 1)))
    list(tally.recounting(best_of(made, tally.scores, 1)))
    assert tally.facts()["Inputs"] == "4 = 1 kept + 3 rejected + 0 quarantined"
    assert tally.reasons == {("rejected", "speech"): 1, ("rejected", "not_best"): 2}


def test_rates_over_the_time_between_first_begin_and_last_end():
    tally = Tally()
    assert tally.facts()["Measured"] == "nothing: every video was measured before"
    tally.measured("b", 100, 102.0, 110.0, 30.0)  # rows come in order, not as they are done
    tally.measured("a", 100, 100.0, 104.0, 20.0)
    tally.measured("a", 0, 0.0, 0.0, 25.0)
    assert tally.facts()["Measured"] == "200 frames, 20 per second"
    assert tally.facts()["Ceiling"].startswith("40% of 50 per second")


def test_a_log_gets_a_line_for_every_tenth():
    console = Console(file=StringIO(), width=200)
    with watched(console, 40) as watch:
        assert len(list(watch(rows(30, 10)))) == 40
    lines = console.file.getvalue().splitlines()
    assert len(lines) == 10
    assert lines[-1] == "judged 40 of 40: 30 kept 10 rejected 0 quarantined"


def scenes(*verdicts):
    return [{"verdict": verdict, "reason": None, "sync": 0.9, "pair_id": str(n)} for n, verdict in enumerate(verdicts)]


def test_a_run_ends_with_its_gpu_time_and_says_what_is_short_of_the_target():
    tally, goal = Tally(), Goal(target_kept=3, gpu_hours=1)

    def made():
        for row in scenes("kept", "rejected", "kept", "kept"):
            tally.made(1800, "")
            yield row

    assert len(list(tally.until(goal, made()))) == 2
    assert tally.ended == "1 GPU-hours spent: 1 kept of 2 scenes, 3 were wanted"


def test_a_run_ends_at_the_last_pair_that_was_asked_for_whatever_best_makes_of_them_later():
    tally = Tally()
    rows = list(tally.counting(tally.until(Goal(target_kept=2), scenes("kept", "rejected", "kept", "kept"))))
    assert [row["verdict"] for row in rows] == ["kept", "rejected", "kept"]
    assert tally.ended == "target reached: 2 kept of 3 scenes"
    list(tally.recounting(best_of(rows, tally.scores, 1)))
    assert tally.facts()["Inputs"] == "3 = 1 kept + 2 rejected + 0 quarantined"
