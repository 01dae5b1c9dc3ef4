import pytest

from synclora.media.decode import Decoder
from synclora.report.cards import card_of
from tests.pairs.diffusion.by_hand import NO_EDIT, NO_PORTRAIT, TWO_PEOPLE
from tests.pairs.diffusion.by_hand import rows as generated
from tests.report.conftest import RULE, measured, row


@pytest.fixture(scope="module")
def cards(rows):
    with Decoder() as decoder:
        return {made["name"]: card_of(made, RULE, decoder, near=made["name"] == "nearest") for made in rows}


def test_no_evidence_is_said_in_words_never_in_a_number():
    with Decoder() as decoder:
        card = card_of(row("armless", measured(), measured(tint=130, left_elbow=None)), RULE, decoder)
    arm = next(chip for panel in card.panels for chip in panel.chips if chip.part == "left arm")
    assert (arm.kind, arm.text) == ("none", "no evidence: hidden")


def test_the_failing_part_says_what_it_needs(cards):
    mouth = cards["dubbed"].panels[0].chips[0]
    assert mouth.kind == "fails"
    assert mouth.text.endswith("needs 0.70")
    assert all(chip.kind != "fails" for panel in cards["twin"].panels for chip in panel.chips)


def test_a_kept_pair_near_the_decision_names_its_nearest_limit(cards):
    assert cards["nearest"].detail.startswith("Nearest limit: mouth r 0.")
    assert cards["twin"].detail == ""


def test_missing_videos_leave_the_curves_and_say_so(cards):
    assert cards["twin"].strip == []
    assert cards["twin"].note.startswith("Curves only. No frames of the source half")
    assert len(cards["twin"].panels) == 4


def test_a_cue_left_out_is_named():
    made = row("partial", measured(), measured(tint=130))
    made["parts"] = [part for part in made["parts"] if part["cue"] != "gaze"]
    with Decoder() as decoder:
        card = card_of(made, RULE, decoder)
    assert card.panels[1].chips[0].text == "left out of this run"


def test_a_scene_dropped_before_it_had_videos_shows_its_pictures(tmp_path):
    made = generated(tmp_path, [NO_EDIT, TWO_PEOPLE, NO_PORTRAIT])
    with Decoder() as decoder:
        bare, people, nothing = (card_of(one, RULE, decoder, folder=tmp_path) for one in made)
        gone = card_of(made[0], RULE, decoder, folder=tmp_path / "moved")
    (column,) = bare.strip
    assert column.source.startswith("data:image/jpeg")
    assert column.edited.startswith("data:image/jpeg")
    assert column.source != column.edited
    assert (bare.note, bare.panels) == ("Dropped before it was animated.", [])
    assert [half for half, _place in bare.files] == ["source", "edited"]
    assert [half for half, _place in people.files] == ["source"]
    assert people.strip[0].edited == ""
    assert (nothing.strip, nothing.files, nothing.note) == ([], [], "The videos were never measured.")
    assert [(one.source, one.edited) for one in gone.strip] == [("", "")]
