"""Kept pairs as trainers read them: linked when they are plain, written anew from the judged frames when not, never stale."""

import json
from fractions import Fraction

import cv2
import numpy as np
import pytest

from synclora.curation.export import NEEDED, export_all, export_pair, kept_paths, write_metadata
from synclora.media.decode import Decoder
from synclora.pairs.manifest import read_rows
from synclora.train.curated import read_set
from tests.media.conftest import encode
from tests.pairs.diffusion.by_hand import KEPT, NO_EDIT, TWO_PEOPLE, make


@pytest.fixture(scope="module")
def decoder():
    with Decoder() as one:
        yield one


def row(source="in/s.mp4", edited="in/e.mp4", *, halves=("whole", "whole"), frames=12, size=(96, 64), **more):
    return {
        **{"pair_id": "p1", "verdict": "kept", "caption": "a hat", "frames": frames, "fps": 25.0, "sync": 0.9},
        **{"source": str(source), "edited": str(edited), "source_half": halves[0], "edited_half": halves[1]},
        **{"width": size[0], "height": size[1]},
        **more,
    }


def facts(path, decoder):
    info = decoder.probe(path)
    return info.frames, (info.width, info.height), info.rotation, info.variable_rate


@pytest.fixture
def out(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


def test_a_users_video_is_copied_byte_for_byte(out, decoder):
    encode(out / "in" / "s.mp4")
    (out / "in" / "e.mp4").symlink_to("s.mp4")
    export_pair(row(), out, decoder)
    for path in kept_paths(out, "p1").values():
        assert path.read_bytes() == (out / "in" / "s.mp4").read_bytes()
        assert not path.samefile(out / "in" / "s.mp4")  # who writes over the input later does not change the set
        assert not path.is_symlink()
    export_pair(row(out / "none.mp4", out / "none.mp4"), out, decoder)  # in place: nothing is opened


def test_a_video_of_our_own_is_linked(out, decoder):
    (out / "generated").mkdir()
    made = encode(out / "generated" / "s.mp4")
    export_pair(row("generated/s.mp4", "generated/s.mp4"), out, decoder)
    for path in kept_paths(out, "p1").values():
        assert path.samefile(made)


def test_halves_of_one_video(out, decoder):
    pictures = [np.hstack([np.full((64, 96, 3), 40, np.uint8), np.full((64, 96, 3), 200, np.uint8)])] * 12
    encode(out / "in" / "both.mp4", pictures)
    export_pair(row("in/both.mp4", "in/both.mp4", halves=("left", "right")), out, decoder)
    for half, level in (("source", 40), ("edited", 200)):
        path = kept_paths(out, "p1")[half]
        assert facts(path, decoder) == (12, (96, 64), 0, False)
        assert abs(next(decoder.frames(path)).mean() - level) < 3


UNEVEN = [40 * k + (17 if k % 3 == 1 else 0) for k in range(12)]
ODD = {
    "turned": ({"rotation": 90, "size": (64, 96)}, (96, 64)),
    "longer": ({"frames": 15}, (96, 64)),
    "uneven": ({"pts": UNEVEN}, (96, 64)),
    "ten bits": ({"pix_fmt": "yuv420p10le"}, (96, 64)),
    "another codec": ({"codec": "mpeg4"}, (96, 64)),
    "larger": ({"size": (192, 128)}, (96, 64)),
    "odd sides": ({"size": (97, 65), "pix_fmt": "yuv444p"}, (97, 65)),
}


@pytest.mark.parametrize("name", ODD)
def test_what_training_cannot_take_is_written_anew(out, decoder, name):
    how, size = ODD[name]
    encode(out / "in" / "s.mp4", **(how if name == "odd sides" else {}))
    encode(out / "in" / "e.mp4", **how)
    export_pair(row(size=size), out, decoder)
    for path in kept_paths(out, "p1").values():
        assert facts(path, decoder) == (12, (96, 64), 0, False)
    before = [f.mean() for f in list(decoder.frames(out / "in" / "e.mp4"))[:12]]
    after = [f.mean() for f in decoder.frames(kept_paths(out, "p1")["edited"])]
    assert np.allclose(before, after, atol=3)


def test_a_larger_edit_keeps_its_picture(out, decoder):
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(90, 160, (8, 12, 3), np.uint8), (96, 64), interpolation=cv2.INTER_CUBIC)
    encode(out / "in" / "s.mp4", [scene] * 12)
    encode(out / "in" / "e.mp4", [cv2.resize(scene, (192, 128))] * 12, fps=Fraction(25))
    export_pair(row(), out, decoder)
    source, edited = (next(decoder.frames(path)).astype(float) for path in kept_paths(out, "p1").values())
    assert np.abs(source - edited).mean() < 4


def test_metadata_has_both_trainers_columns_and_stale_videos_go(out, decoder):
    encode(out / "in" / "s.mp4")
    encode(out / "in" / "e.mp4")
    rows = [row(pair_id=name, caption=f"größer {name}") for name in ("p1", "p2", "p3", "gone")] + [
        row(pair_id="p4", verdict="rejected")
    ]
    rows[3] |= {"edited": "in/none.mp4"}
    lost = export_all(rows, out, decoder)
    assert list(lost) == ["gone"]
    assert "missing" in lost["gone"]
    write_metadata(out, rows, lost)
    rows[1]["verdict"] = "rejected"
    write_metadata(out, rows, lost)
    lines = [json.loads(line) for line in (out / "metadata.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines[0] == {
        **{"video": "kept/edited/p1.mp4", "reference_video": "kept/source/p1.mp4", "caption": "größer p1"},
        **{"media_path": "kept/edited/p1.mp4", "reference_path": "kept/source/p1.mp4", "pair_id": "p1"},
        **{"frames": 12, "fps": 25.0, "sync": 0.9},
    }
    assert [line["pair_id"] for line in lines] == ["p1", "p3"]
    for half in ("source", "edited"):
        assert sorted(path.name for path in (out / "kept" / half).iterdir()) == ["p1.mp4", "p3.mp4"]


@pytest.mark.parametrize("caption", ["", "3d1t"])
def test_a_generated_pair_keeps_its_caption_its_instruction_or_the_token(out, decoder, caption):
    make(out, [NO_EDIT, KEPT, TWO_PEOPLE], caption=caption)
    rows = list(read_rows(out / "manifest.parquet", list(NEEDED)))
    rows[1] |= {"frames": 9, "fps": 16.0, "width": 96, "height": 96}  # the rows' measurements are synthetic
    assert export_all(rows, out, decoder) == {}
    write_metadata(out, rows, {})
    (line,) = (json.loads(line) for line in (out / "metadata.jsonl").read_text(encoding="utf-8").splitlines())
    assert line["caption"] == (caption or "change the hair, number 1")
    assert line["pair_id"] == "id-1"
    for half, path in kept_paths(out, "id-1").items():
        assert path.samefile(out / rows[1][half])  # linked: the same run made it
    (sample,) = read_set(out)
    assert sample.caption == line["caption"]
