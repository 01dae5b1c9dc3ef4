from fractions import Fraction

from synclora.media.timing import plan

MS = Fraction(1, 1000)


def test_a_constant_file_gives_every_frame_once_at_its_declared_rate():
    timeline = plan(range(0, 100 * 1001, 1001), Fraction(1, 24000), (Fraction(24000, 1001),))
    assert (timeline.fps, timeline.variable, timeline.times_shown) == (Fraction(24000, 1001), False, (1,) * 100)


def test_millisecond_rounding_is_no_jitter_and_a_late_start_no_offset():
    pts = [7000 + round(k * 1000 / 30) for k in range(90)]
    timeline = plan(pts, MS, (Fraction(30),))
    assert not timeline.variable
    assert timeline.fps == 30


def test_a_wrong_declared_rate_gives_way_to_the_timestamps():
    timeline = plan([k * 40 for k in range(50)], MS, (Fraction(1000),))
    assert (timeline.fps, timeline.variable) == (Fraction(25), False)


def test_an_odd_constant_rate_is_kept():
    timeline = plan([k * 90 for k in range(50)], MS, ())
    assert (timeline.fps, timeline.variable) == (Fraction(100, 9), False)


def test_order_of_packets_does_not_matter():
    timeline = plan([0, 160, 80, 40, 120, 200], MS, ())
    assert (timeline.fps, timeline.variable) == (Fraction(25), False)


def test_a_dropped_frame_is_covered_by_the_one_before_it():
    pts = [k * 40 for k in range(100) if k != 50]
    timeline = plan(pts, MS, (Fraction(99, 4),))
    assert timeline.variable
    assert timeline.fps == 25
    assert timeline.frames == 100
    assert timeline.times_shown[49] == 2
    assert sum(times != 1 for times in timeline.times_shown) == 1


def test_resampling_takes_the_last_frame_at_most_half_a_step_late():
    # average 10 fps over 1 s; at 0.1 k s: frames at 0, 149 (k = 1 allows up to 150), 151 (k = 2: up to 250) ...
    pts = [0, 149, 151, 300, 400, 500, 600, 700, 800, 900, 1000]
    timeline = plan(pts, MS, ())
    assert (timeline.fps, timeline.variable) == (Fraction(10), True)
    assert timeline.times_shown == (1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)
    late = plan([0, 151, 152, *pts[3:]], MS, ())
    assert late.times_shown == (2, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1)


def test_the_delivered_video_keeps_the_clock():
    pts = [0, 33, 66, 100, 200, 233, 266, 300, 333, 500, 533, 566, 600]
    timeline = plan(pts, MS, ())
    assert abs((timeline.frames - 1) / float(timeline.fps) - 0.6) <= 0.5 / float(timeline.fps)


def test_without_timestamps_the_header_decides_and_without_both_nobody():
    assert plan([None] * 10, MS, (Fraction(12),)).times_shown == (1,) * 10
    assert plan([None] * 10, MS, ()) is None
    assert plan([5, 5, 5], MS, ()) is None
