"""The page's words are the house's: every reason, part, signal and stage that the service may say is known to it."""

import re
from pathlib import Path
from typing import get_args

from synclora.edit.progress import Stage
from synclora.errors import Reason
from synclora.motion.settings import CUES
from synclora.motion.signals import PARTS, SIGNALS
from synclora.report.words import PART_WORDS, RANDOM_WEIGHTS, SIGNAL_WORDS

TEXT = (Path(__file__).resolve().parents[3] / "serve" / "page" / "words.js").read_text()
OWN = {"unreachable", "unplayable", "not_a_picture"}


def table(name: str) -> dict[str, str]:
    """The entries of one of the file's tables, as they are written."""
    found = re.search(rf"export const {name} = \{{(.*?)\}};", TEXT, re.S)
    assert found
    return dict(re.findall(r"(\w+): (\[.*?\"\]|\".*?\")(?:,|\s*$)", found.group(1), re.M))


def test_every_reason_has_words() -> None:
    assert set(table("REASONS")) == {reason.value for reason in Reason} | OWN


def test_stages_in_their_order() -> None:
    assert tuple(table("STAGES")) == get_args(Stage)


def test_parts_signals_and_cues_read_as_in_the_reports() -> None:
    assert {key: value.strip('"') for key, value in table("PARTS").items()} == PART_WORDS
    assert {key: value.strip('"') for key, value in table("SIGNALS").items()} == SIGNAL_WORDS
    assert set(PART_WORDS) == set(PARTS)
    assert set(SIGNAL_WORDS) == set(SIGNALS)
    found = re.search(r"export const CUES = \[(.*?)\];", TEXT)
    assert found
    assert tuple(re.findall(r"\w+", found.group(1))) == CUES


def test_notice_of_random_weights_is_the_house_s() -> None:
    assert f'RANDOM_WEIGHTS = "{RANDOM_WEIGHTS}"' in TEXT
