import json
from fractions import Fraction

import cv2
import numpy as np
import pytest
from PIL import Image

from synclora.media.decode import Decoder
from synclora.motion.settings import CUES, VerdictSettings
from synclora.pairs.manifest import read_rows
from synclora.report.cards import card_of
from synclora.report.validations import true_pair
from synclora.report.words import RANDOM_WEIGHTS
from synclora.settings import RecipeError
from synclora.train.validation import EditedClip, ValidationSettings, read_validations, record

RULE = VerdictSettings()
FPS = Fraction(20)


def noise(seed, frames=9, side=64):
    return np.random.default_rng(seed).integers(0, 255, (frames, side, side, 3), dtype=np.uint8)


def faceless(**changes):
    given = {"source_tyxc": noise(0), "target_tyxc": noise(1), "edit_tyxc": noise(2)} | changes
    return EditedClip(**({"pair_id": "ab12", "name": "noise", "caption": "", "fps": FPS} | given))


class Counting:
    """A landmarker that counts its videos; with `fails` it is broken."""

    def __init__(self, landmarker, fails=False):
        self.landmarker, self.fails, self.videos = landmarker, fails, 0

    def track(self, *given):
        self.videos += 1
        if self.fails:
            raise RuntimeError("graph is gone")
        return self.landmarker.track(*given)


@pytest.fixture(scope="module")
def halves(portraits):
    """Both halves of a real pair: (49, 256, 256, 3)."""
    with Decoder() as decoder:
        return [
            np.stack([cv2.resize(frame, (256, 256), interpolation=cv2.INTER_AREA) for frame in list(decoder.frames(path))[:49]])
            for path in (portraits / "pairs/mic_woman/source.mp4", portraits / "pairs/mic_woman/blonde_SyncLoRA.mp4")
        ]


@pytest.fixture(scope="module")
def run(halves, landmarker, tmp_path_factory):
    """Two validations of one real pair: an edit that runs five frames late and is noisy, then one as good as the true half."""
    source, target = halves
    late = np.concatenate([np.repeat(target[:1], 5, 0), target[:-5]])
    rough = np.clip(late + np.random.default_rng(0).normal(0, 20, late.shape), 0, 255).astype(np.uint8)
    out = tmp_path_factory.mktemp("run")
    made = [
        record(
            out,
            step,
            [EditedClip("ab12", "blonde", "blonde hair", FPS, source, target, edit)],
            RULE,
            landmarker,
            random_base=False,
        )
        for step, edit in ((10, rough), (1200, target))
    ]
    return out, made


def test_what_is_written_is_what_is_read_back(run):
    out, made = run
    assert read_validations(out) == made
    assert [result.step for result in made] == [10, 1200]
    assert sorted(path.relative_to(out / "validation").as_posix() for path in out.rglob("*") if path.is_file()) == [
        "pairs/ab12/manifest.parquet",
        "pairs/ab12/source.mp4",
        "pairs/ab12/target.mp4",
        *(
            f"step-{step}/{name}"
            for step in ("000010", "001200")
            for name in ("ab12.mp4", "contact.png", "manifest.parquet", "validation.json")
        ),
    ]


def test_a_better_edit_scores_better(run):
    rough, good = (result.pairs[0] for result in run[1])
    assert rough.verdict == "rejected"
    assert good.verdict == "kept"
    assert good.sync > rough.sync + 0.05
    assert good.cues["speech"] > rough.cues["speech"] + 0.2
    assert abs(good.lag) < 0.5 < 3 < rough.lag


def test_distances_are_stated_beside_that_of_the_source(run, halves):
    source, target = halves
    rough, good = (result.pairs[0] for result in run[1])
    assert good.edit_target == 0
    assert rough.edit_target > 0
    assert rough.source_target == pytest.approx(np.abs(source[1:].astype(float) - target[1:]).mean())


def test_the_true_halves_are_measured_once_and_say_what_can_be_hoped_for(run, halves, landmarker):
    out, made = run
    assert true_pair(out, "ab12").sync == pytest.approx(made[1].pairs[0].sync)
    assert true_pair(out, "nobody") is None
    counting = Counting(landmarker)
    again = record(
        out, 1200, [EditedClip("ab12", "blonde", "blonde hair", FPS, *halves, halves[1])], RULE, counting, random_base=False
    )
    assert counting.videos == 1  # the edit
    assert again == made[1]


def test_a_step_is_a_curated_set_that_a_card_can_show(run):
    made = run[1]
    row = next(read_rows(made[1].manifest))
    with Decoder() as decoder:
        assert decoder.probe(made[1].folder / "ab12.mp4").fps == FPS
        card = card_of(row, made[1].rule, decoder, folder=made[1].folder)
    assert [panel.cue for panel in card.panels] == list(CUES)
    assert len(card.strip) > 2
    assert all(column.source and column.edited for column in card.strip)
    assert card.note == ""


def test_a_face_that_is_not_found_is_a_result(halves, landmarker, tmp_path):
    source, target = halves[0][:17], halves[1][:17]
    lost = EditedClip("a", "lost", "", FPS, source, target, noise(0, 17, 256))
    nobody = faceless(pair_id="b", name="nobody")
    result = record(tmp_path, 1, [lost, nobody], RULE, landmarker, random_base=True)
    assert [(pair.verdict, pair.reason, pair.sync) for pair in result.pairs] == [
        ("rejected", "no_face", None),
        ("quarantined", "no_face", None),
    ]
    assert "sync" not in result.scalars()
    assert result.scalars()["edit_target"] == pytest.approx(np.mean([pair.edit_target for pair in result.pairs]))
    assert result.line.startswith("step 1: lost no sync (no_face), ")
    assert "NaN" not in (result.folder / "validation.json").read_text()


def test_the_sheet_warns_of_random_weights_only(landmarker, tmp_path):
    sheets = []
    for random_base in (True, False):
        result = record(
            tmp_path, int(random_base), [faceless(), faceless(pair_id="cd34")], RULE, landmarker, random_base=random_base
        )
        assert result.random_base == random_base
        sheets.append(np.asarray(Image.open(result.folder / "contact.png")))
    warned, plain = ((sheet == (168, 40, 30)).all(-1).sum() for sheet in sheets)
    assert warned > 10_000
    assert plain == 0
    assert RANDOM_WEIGHTS.startswith("Random weights")


def test_the_given_first_frame_counts_for_nothing(landmarker, tmp_path):
    target = noise(1)
    edit = target.copy()
    edit[0] = 0
    one = faceless(pair_id="one", source_tyxc=noise(0, 1), target_tyxc=noise(1, 1), edit_tyxc=noise(2, 1))
    result = record(tmp_path, 1, [faceless(target_tyxc=target, edit_tyxc=edit), one], RULE, landmarker, random_base=True)
    assert [pair.edit_target for pair in result.pairs] == [0.0, None]


def test_a_broken_landmarker_ends_no_run(landmarker, tmp_path):
    result = record(tmp_path, 1, [faceless()], RULE, Counting(None, fails=True), random_base=True)
    assert (result.pairs[0].verdict, result.pairs[0].reason) == ("quarantined", "crashed")
    assert result.pairs[0].detail == "RuntimeError: graph is gone"
    healed = record(tmp_path, 2, [faceless()], RULE, landmarker, random_base=True)
    assert healed.pairs[0].reason == "no_face"


def test_the_pair_is_judged_anew_by_another_rule_or_shape(landmarker, tmp_path):
    counting = Counting(landmarker)
    longer = {name: noise(i, 17) for i, name in enumerate(("source_tyxc", "target_tyxc", "edit_tyxc"))}
    for step, (clip, rule) in enumerate(
        [
            (faceless(), RULE),
            (faceless(), RULE),
            (faceless(), VerdictSettings(min_snr=4)),
            (faceless(**longer), VerdictSettings(min_snr=4)),
        ]
    ):
        record(tmp_path, step, [clip], rule, counting, random_base=True)
    assert counting.videos == 3 + 1 + 3 + 3


def test_without_a_landmarker_the_process_makes_its_own(tmp_path):
    assert record(tmp_path, 1, [faceless()], RULE, random_base=True).pairs[0].reason == "no_face"


def test_unfinished_and_torn_validations_are_left_out(landmarker, tmp_path):
    made = [record(tmp_path, step, [faceless()], RULE, landmarker, random_base=True) for step in (1, 2, 3, 4)]
    (made[0].folder / "validation.json").unlink()
    (made[1].folder / "validation.json").write_text('{"step": 2, "ra')
    made[2].manifest.write_bytes(b"torn")
    assert read_validations(tmp_path) == [made[3]]
    assert read_validations(tmp_path / "elsewhere") == []


def test_a_rule_of_another_version_is_unknown_and_no_error(landmarker, tmp_path):
    marker = record(tmp_path, 1, [faceless()], RULE, landmarker, random_base=True).folder / "validation.json"
    marker.write_text(json.dumps(json.loads(marker.read_text()) | {"rule": {"min_charm": 1}}))
    assert read_validations(tmp_path)[0].rule is None


def test_a_validation_that_is_made_again_stands_unfinished_meanwhile(landmarker, tmp_path):
    record(tmp_path, 1, [faceless()], RULE, landmarker, random_base=True)

    def clips():
        assert read_validations(tmp_path) == []
        yield faceless()

    record(tmp_path, 1, clips(), RULE, landmarker, random_base=True)
    assert len(read_validations(tmp_path)) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"edit_tyxc": noise(0, 5)}, r"uint8 \(5, 64, 64, 3\); give uint8 \(t, y, x, 3\) of one shape"),
        ({name: noise(0)[:0] for name in ("source_tyxc", "target_tyxc", "edit_tyxc")}, "one shape"),
        ({name: noise(0) / 255 for name in ("source_tyxc", "target_tyxc", "edit_tyxc")}, "float64"),
        ({"pair_id": "../up"}, r"'../up' cannot name a file"),
        ({"pair_id": ""}, "cannot name a file"),
    ],
)
def test_a_clip_that_cannot_be_is_refused(changes, words):
    with pytest.raises(ValueError, match=words):
        faceless(**changes)


def test_settings_name_what_is_wrong():
    assert ValidationSettings(every=0).pairs == 1
    with pytest.raises(RecipeError, match="every = -1"):
        ValidationSettings.from_values({"every": -1}, "x.yaml")


def test_distances_of_latents_are_kept_where_they_are_known(tmp_path, landmarker):
    pictures = noise(0, 17, 64)
    for step, known in ((10, (0.25, 0.75)), (20, None)):
        one = faceless(source_tyxc=pictures, target_tyxc=pictures, edit_tyxc=pictures, latent_distance=known)
        record(tmp_path, step, [one], RULE, landmarker, random_base=True)
    first, second = (result.pairs[0] for result in read_validations(tmp_path))
    assert (first.edit_target_latent, first.source_target_latent) == (0.25, 0.75)
    assert (second.edit_target_latent, second.source_target_latent) == (None, None)
    assert "in latents 0.25 (source 0.75)" in read_validations(tmp_path)[0].line
