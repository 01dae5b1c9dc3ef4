"""Contact sheets: who is on them, in which order, and what each shows."""

import numpy as np
import pytest

from synclora.errors import Reason
from synclora.pairs.diffusion.settings import Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.manifest import write_rows
from synclora.report import stages
from synclora.report.frames import jpeg
from synclora.report.stages import stage_sheets
from tests.pairs.diffusion.by_hand import BROKEN_VIDEO, KEPT, LATE, NO_EDIT, NO_PORTRAIT, TWO_PEOPLE, Ending, make, rows


def edit(kind, reason):
    return Ending(kind, Stage.EDIT, reason, rejected=True)


@pytest.fixture(scope="module")
def sheets(tmp_path_factory):
    out = tmp_path_factory.mktemp("set")
    manifest = make(out, [KEPT, LATE, NO_PORTRAIT, TWO_PEOPLE, NO_EDIT, BROKEN_VIDEO])
    return stage_sheets(manifest, MadeStore(out))


def test_each_stage_has_who_passed_and_who_did_not(sheets):
    assert [(sheet.stage, sheet.outcome, sheet.scenes, [shot.name[:7] for shot in sheet.shots]) for sheet in sheets] == [
        ("portrait", "passed", 4, ["0000004", "0000000", "0000005", "0000001"]),
        ("portrait", "dropped", 1, ["0000003"]),
        ("edit", "passed", 3, ["0000005", "0000000", "0000001"]),
        ("edit", "dropped", 1, ["0000004"]),
        ("video", "kept", 1, ["0000000"]),
        ("video", "not kept", 1, ["0000001"]),
    ]


def test_what_a_shot_shows(sheets):
    portrait, gone, edit, bare, kept, late = (sheet.shots[0] for sheet in sheets)
    assert [[len(row) for row in shot.rows] for shot in (portrait, gone, edit, bare)] == [[1], [1], [2], [2]]
    assert [[len(row) for row in shot.rows] for shot in (kept, late)] == [[3, 3], [3, 3]]
    assert all(
        image.src.startswith("data:image/jpeg") for sheet in sheets for s in sheet.shots for row in s.rows for image in row
    )
    assert len({image.src for image in bare.rows[0]}) == 2
    assert [image.alt for image in kept.rows[1]] == [f"edited of 0000000-hair at {at} s" for at in ("0.00", "0.25", "0.50")]
    assert (gone.reason, gone.outcome, gone.detail) == ("two_faces", "quarantined", "as number 3 was told")
    assert (bare.reason, bare.outcome, bare.words) == ("no_edit", "rejected", "change the beard, number 4")
    assert (edit.reason, edit.detail, portrait.words) == ("", "", "")
    assert (kept.reason, kept.detail) == ("", "sync 1.00")
    assert late.reason == "speech"
    assert late.detail.startswith("mouth r")


def test_places_are_spread_over_reasons_and_kinds(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "SHOWN", 6)
    many = [edit(kind, Reason.NO_EDIT) for kind in ("hair",) * 9 + ("beard",) * 3 + ("hat",)]
    few = [edit(kind, Reason.MISALIGNED) for kind in ("hair", "beard")]
    manifest = make(tmp_path, [*many, *few, edit("hair", Reason.FACE_LOST)])
    dropped = next(sheet for sheet in stage_sheets(manifest, MadeStore(tmp_path)) if sheet.outcome == "dropped")
    assert dropped.scenes == 16
    assert [(shot.reason, shot.kind) for shot in dropped.shots] == [
        ("no_edit", "beard"),
        ("misaligned", "beard"),
        ("face_lost", "hair"),
        ("no_edit", "hair"),
        ("misaligned", "hair"),
        ("no_edit", "hat"),
    ]


def test_a_portrait_that_scenes_share_is_shown_once(tmp_path):
    manifest = make(tmp_path, [KEPT, Ending("hair", like=0), Ending("beard", like=0)])
    portraits, edits, _videos = stage_sheets(manifest, MadeStore(tmp_path))
    assert (portraits.scenes, len(portraits.shots)) == (3, 1)
    assert len(edits.shots) == 3


def test_only_candidates_stay_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "SHOWN", 2)
    made = rows(tmp_path, [KEPT])
    truth = made[0]["truth"]
    endless = [made[0] | {"truth": truth.replace(truth.partition('"video": "')[2][:16], f"{i:016x}")} for i in range(50)]
    groups = stages._groups(endless)
    held = [len(some) for group in groups.values() for some in group.found.values()]
    assert max(held) == 2
    assert groups[Stage.VIDEO, True].reasons.total() == 50


def test_broken_files_leave_places(tmp_path):
    manifest = make(tmp_path, [KEPT, LATE])
    for path in (tmp_path / "generated").rglob("*.*"):
        if path.suffix in (".png", ".mp4"):
            path.write_bytes(b"no picture" if path.suffix == ".png" else b"")
    sheets = stage_sheets(manifest, MadeStore(tmp_path))
    assert [image.src for sheet in sheets for shot in sheet.shots for row in shot.rows for image in row] == [""] * (2 + 4 + 12)


def test_rows_without_a_scene_have_no_sheet(tmp_path):
    write_rows(tmp_path / "manifest.parquet", [row | {"truth": None} for row in rows(tmp_path, [KEPT])])
    assert stage_sheets(tmp_path / "manifest.parquet", MadeStore(tmp_path)) == []


def test_full_sheets_keep_the_page_small():
    noise = np.random.default_rng(0).integers(0, 256, (480, 480, 3), dtype=np.uint8)  # the most that a JPEG can need
    stills, frames = 2 * stages.SHOWN * (1 + 2), 2 * stages.SHOWN * 2 * stages.MOMENTS
    assert stills * len(jpeg(noise, stages.STILL_H)) + frames * len(jpeg(noise, stages.FRAME_H)) < 2_000_000
