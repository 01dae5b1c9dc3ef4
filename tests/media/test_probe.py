from fractions import Fraction

import pytest

from synclora.errors import MediaError, Reason
from synclora.media import probe
from synclora.media.settings import MediaLimits

LIMITS = MediaLimits()


@pytest.mark.parametrize(
    ("check", "values", "reason"),
    [
        (probe.check_bytes, (0,), Reason.EMPTY_FILE),
        (probe.check_bytes, (2 * 1024**3 + 1,), Reason.TOO_LARGE),
        (probe.check_streams, (9,), Reason.TOO_MANY_STREAMS),
        (probe.check_picture, (63, 640), Reason.PICTURE_SIZE),
        (probe.check_picture, (640, 4097), Reason.PICTURE_SIZE),
        (probe.check_length, (3601, 0.0), Reason.TOO_LONG),
        (probe.check_length, (0, 120.1), Reason.TOO_LONG),
        (probe.check_rate, (8, Fraction(25)), Reason.TOO_SHORT),
        (probe.check_rate, (9, Fraction(5)), Reason.FRAME_RATE),
        (probe.check_rate, (9, Fraction(240)), Reason.FRAME_RATE),
    ],
)
def test_each_limit_has_its_reason_value_and_name(check, values, reason):
    with pytest.raises(MediaError) as caught:
        check(*values, LIMITS)
    assert caught.value.reason is reason
    assert str(values[0] if reason is not Reason.FRAME_RATE else int(values[1])) in caught.value.detail.replace("120.1 s", "0")


def test_the_limits_themselves_are_allowed():
    probe.check_bytes(2 * 1024**3, LIMITS)
    probe.check_streams(8, LIMITS)
    probe.check_picture(64, 4096, LIMITS)
    probe.check_length(3600, 120.0, LIMITS)
    probe.check_rate(9, Fraction(8), LIMITS)
    probe.check_rate(9, Fraction(120), LIMITS)
