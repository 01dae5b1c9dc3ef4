import math

import pytest

from synclora.errors import Reason
from synclora.motion.signals import PARTS, SIGNALS
from synclora.report.words import EXPLANATIONS, PART_WORDS, SIGNAL_WORDS, count, explain, number, share, short


def test_every_word_of_the_vocabulary_is_explained():
    assert set(EXPLANATIONS) == set(Reason)
    assert set(PART_WORDS) == set(PARTS)
    assert set(SIGNAL_WORDS) == set(SIGNALS)


def test_a_reason_of_another_version_has_no_explanation():
    assert explain("gremlins") == ""
    assert explain(None) == ""


@pytest.mark.parametrize(
    ("value", "text"), [(0.925, "+0.93"), (-0.001, "0.00"), (-1.5, "−1.50"), (None, "–"), (math.nan, "–"), (0.0, "0.00")]
)
def test_numbers_are_written_for_people(value, text):
    assert number(value, sign=True) == text


def test_counts_and_shares():
    assert count(24577) == "24\u202f577"
    assert share(512, 24577) == "2.1\u202f%"
    assert share(0, 0) == "0\u202f%"
    assert share(1, 2) == "50\u202f%"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.012345, "0.0123"),
        (24577, "24\u202f577"),
        (999.7, "1\u202f000"),
        (-1.5, "−1.5"),
        (2e-5, "2e−5"),
        (-0.0, "0"),
        (None, "–"),
        (math.inf, "–"),
    ],
)
def test_numbers_of_any_size_are_short(value, text):
    assert short(value) == text
