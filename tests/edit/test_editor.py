"""The editor on the miniature: deterministic, stoppable at every step, and clear about what it refuses."""

import errno
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from synclora.backbone.find import find_backbone
from synclora.edit.edit import edit, request_of
from synclora.edit.editor import Editor
from synclora.edit.engine import Engine
from synclora.edit.library import RELEASED, AdapterLibrary
from synclora.edit.progress import Progress, Stopped
from synclora.edit.request import EditRequest
from synclora.edit.settings import EditSettings
from synclora.errors import MediaError, Reason
from synclora.train.adapter import AdapterMetadata, save_adapter
from synclora.train.tensorfile import write_tensors
from tests.edit.conftest import SMALL, Blind, first_picture, grey, save
from tests.media.conftest import encode
from tests.train.adapters import adapted, stream

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Path:
    """40 frames, which are two windows: a square that wanders over noise."""
    rng = np.random.default_rng(0)
    ground = cv2.resize(rng.integers(0, 255, (8, 8, 3), np.uint8), (96, 96), interpolation=cv2.INTER_CUBIC)
    pictures = [ground.copy() for _ in range(40)]
    for k, picture in enumerate(pictures):
        picture[30:50, 2 * k : 2 * k + 12] = 255
    return encode(tmp_path_factory.mktemp("clip") / "clip.mp4", pictures)


@pytest.fixture(scope="module")
def first(clip) -> Path:
    return save(grey(first_picture(clip)), clip.with_name("first.png"))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    """Two adapters that change the miniature, one for each attention, and files that are none."""
    folder = tmp_path_factory.mktemp("adapters")
    for name, mode in (("one", "shared"), ("two", "causal-source")):
        fields = {
            "base_model": "tiny:ltx-video",
            "kind": "ltx-video",
            "rank": 8,
            "alpha": 8,
            "frames": 17,
            "width": 64,
            "height": 64,
        }
        fields |= {
            "fps_min": 24,
            "fps_max": 25,
            "caption": f"caption {name}",
            "attention_mode": mode,
            "steps": 5,
            "trained_pairs": 2,
        }
        fields |= {"first_frame_probability": 1.0, "recipe": "0123456789ab", "random_base": True}
        save_adapter(folder / name, adapted(stream(mode=mode)), AdapterMetadata.model_validate(fields))
    (folder / "broken.safetensors").write_bytes(b"no")
    return folder


def left(out: Path) -> list[str]:
    return sorted(path.name for path in out.parent.iterdir())


def test_a_seed_gives_the_same_bytes_and_another_one_others(tmp_path, blind, clip, first):
    videos = []
    for name, seed in (("a.mp4", 7), ("b.mp4", 7), ("c.mp4", 8)):
        blind.edit(EditRequest(source=clip, first_frame=first, seed=seed, steps=2), tmp_path / name)
        videos.append((tmp_path / name).read_bytes())
    assert videos[0] == videos[1]
    assert videos[0] != videos[2]
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind()) as another:
        another.edit(EditRequest(source=clip, first_frame=first, seed=7, steps=2), tmp_path / "d.mp4")
    assert (tmp_path / "d.mp4").read_bytes() == videos[0]


def test_a_later_window_is_given_the_whole_overlap_as_it_was_made(tmp_path, blind, clip, first, monkeypatch):
    """Nine frames, which are two latent frames: those that the window before ended with, encoded anew."""
    given, made = [], []
    sample, decode = Engine.sample, Engine.decode

    def spy_sample(self, model, source_bnc, given_bnc, *rest):
        given.append(given_bnc)
        return sample(self, model, source_bnc, given_bnc, *rest)

    def spy_decode(self, *rest):
        made.append(decode(self, *rest))
        return made[-1]

    monkeypatch.setattr(Engine, "sample", spy_sample)
    monkeypatch.setattr(Engine, "decode", spy_decode)
    blind.edit(EditRequest(source=clip, first_frame=first), tmp_path / "out.mp4")
    assert [one.shape[1] for one in given] == [4, 8]  # of 2 x 2 cells
    assert torch.equal(given[1], blind._engine.encode(made[0][-9:]))


def test_every_stage_window_and_step_is_told(tmp_path, blind, clip, first):
    told: list[Progress] = []
    result = blind.edit(EditRequest(source=clip, first_frame=first, steps=3), tmp_path / "out.mp4", told.append)
    stages = [now.stage for now in told]
    assert list(dict.fromkeys(stages)) == ["preparing", "encoding", "sampling", "decoding", "measuring", "storing"]
    steps = [now.step for now in told if now.stage == "sampling"]
    assert steps == [0, 1, 2, 3, 3, 4, 5, 6]
    assert {(now.windows, now.steps) for now in told if now.stage != "preparing"} == {(2, 6)}
    assert {now.window for now in told if now.stage == "sampling"} == {0, 1}
    assert set(result.took_seconds) == set(stages)
    assert result.steps == 3


@pytest.mark.parametrize("at", range(0, 14, 2))
def test_stopped_anywhere_nothing_is_left_and_the_next_edit_is_as_ever(tmp_path, blind, clip, first, at):
    calls = 0

    def stop(_now):
        nonlocal calls
        calls += 1
        if calls > at:
            raise Stopped

    out = tmp_path / "out.mp4"
    with pytest.raises(Stopped):
        blind.edit(EditRequest(source=clip, first_frame=first, steps=3), out, stop)
    assert calls == at + 1
    assert left(out) == []
    blind.edit(EditRequest(source=clip, first_frame=first), out)
    assert left(out) == ["out.mp4"]


def test_a_stopped_edit_leaves_an_older_video_alone(tmp_path, blind, clip, first):
    out = tmp_path / "out.mp4"
    out.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        blind.edit(EditRequest(source=clip, first_frame=first), out, lambda now: (_ for _ in ()).throw(KeyboardInterrupt))
    assert out.read_bytes() == b"old"
    assert left(out) == ["out.mp4"]


def test_adapters_are_swapped_on_one_base(tmp_path, clip, first, shelf):
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), library=AdapterLibrary(shelf), adapters_kept=1) as editor:
        assert [info.name for info in editor.adapters()] == ["one", "two"]
        videos = {}
        for name in ("none", "one", "two", "none", "one"):
            out = tmp_path / f"{name}.mp4"
            result = editor.edit(EditRequest(source=clip, first_frame=first, adapter=name), out)
            assert result.adapter == name
            assert result.prompt == ("" if name == "none" else f"caption {name}")
            assert videos.setdefault(name, out.read_bytes()) == out.read_bytes()
        assert len(set(videos.values())) == 3
        # two windows of 25, but adapters that were trained on 17 frames are given no more
        assert [seam.frame for seam in result.seams] == [17, 25, 33]
        assert editor.load_adapter("two").mode == "causal-source"
        editor.forget_adapter("two")
        editor.forget_adapter("never seen")


def test_without_an_adapter_the_source_says_how_long_and_no_more(tmp_path, clip, first, shelf):
    rng = np.random.default_rng(1)
    other = encode(tmp_path / "other.mp4", [rng.integers(0, 255, (96, 96, 3), np.uint8) for _ in range(40)])
    made = {}
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), library=AdapterLibrary(shelf)) as editor:
        for adapter in ("none", "one"):
            for source in (clip, other):
                editor.edit(EditRequest(source=source, first_frame=first, adapter=adapter, steps=1), out := tmp_path / "out.mp4")
                made.setdefault(adapter, []).append(out.read_bytes())
    assert made["none"][0] == made["none"][1]
    assert made["one"][0] != made["one"][1]


def test_a_replaced_adapter_is_loaded_again(shelf, tmp_path):
    shutil.copytree(shelf / "one", tmp_path / "mine")
    with Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), library=AdapterLibrary(tmp_path)) as editor:
        first = editor.load_adapter("mine")
        assert editor.load_adapter("mine") is first
        shutil.rmtree(tmp_path / "mine")
        shutil.copytree(shelf / "two", tmp_path / "mine")
        assert editor.load_adapter("mine").mode == "causal-source"


@pytest.mark.parametrize(
    ("adapter", "reason"),
    [("missing", Reason.UNKNOWN_ADAPTER), ("../one", Reason.UNKNOWN_ADAPTER), ("broken", Reason.BAD_ADAPTER)],
)
def test_adapters_that_cannot_be_had(tmp_path, clip, first, shelf, adapter, reason):
    with (
        Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), library=AdapterLibrary(shelf)) as editor,
        pytest.raises(MediaError) as caught,
    ):
        editor.edit(EditRequest(source=clip, first_frame=first, adapter=adapter), tmp_path / "out.mp4")
    assert caught.value.reason is reason
    assert str(shelf) not in str(caught.value)
    assert left(tmp_path / "out.mp4") == []


def test_an_adapter_of_another_model_is_refused(tmp_path, clip, first, shelf):
    with Editor("tiny:ltx-2", settings=SMALL, landmarker=Blind(), library=AdapterLibrary(shelf)) as editor:
        with pytest.raises(MediaError, match="made for ltx-video") as caught:
            editor.edit(EditRequest(source=clip, first_frame=first, adapter="one"), tmp_path / "out.mp4")
        assert caught.value.reason is Reason.BAD_ADAPTER
        result = editor.edit(EditRequest(source=clip, first_frame=first), tmp_path / "out.mp4")
    assert (result.backbone, result.frames) == ("tiny:ltx-2", 40)


def test_the_released_lora_works_by_its_file(tmp_path, clip, first):
    """ComfyUI's names, no metadata: known by the file's name, prompted with its constant caption."""
    state = {f"diffusion_model.{name}": tensor for name, tensor in adapted(stream("ltx-2")).items()}
    write_tensors(tmp_path / f"{RELEASED}.safetensors", state, {})
    library = AdapterLibrary(tmp_path)
    with Editor("tiny:ltx-2", settings=SMALL, landmarker=Blind(), library=library) as editor:
        result = editor.edit(EditRequest(source=clip, first_frame=first, adapter=RELEASED), tmp_path / "lora.mp4")
        editor.edit(EditRequest(source=clip, first_frame=first, prompt="3d1t"), tmp_path / "bare.mp4")
    assert (result.adapter, result.prompt) == (RELEASED, "3d1t")
    assert (tmp_path / "lora.mp4").read_bytes() != (tmp_path / "bare.mp4").read_bytes()
    with (
        Editor("tiny:ltx-video", settings=SMALL, landmarker=Blind(), library=library) as editor,
        pytest.raises(MediaError, match="made for ltx-2"),
    ):
        editor.load_adapter(RELEASED)


def test_prompt_guidance_schedule_and_key_frames_reach_the_model(tmp_path, clip, first, shelf):
    asked: list[str] = []
    backbone = find_backbone("tiny:ltx-video")

    def captions(text):
        asked.append(text)
        return backbone.caption(text)

    videos = []
    settings = SMALL.model_copy(update={"schedule": "distilled"})
    key = {"frame": 30, "picture": first}
    library = AdapterLibrary(shelf)
    with Editor("tiny:ltx-video", library=library, settings=settings, landmarker=Blind(), captions=captions) as editor:
        for extra in (
            {},
            {"prompt": "a hat"},
            {"guidance_text": 3.0},
            {"guidance_source": 2.0},
            {"guidance_first_frame": 2.0},
            {"key_frames": (key,)},
        ):
            asked_for = {"source": clip, "first_frame": first, "adapter": "one", "prompt": "", **extra}
            result = editor.edit(EditRequest.model_validate(asked_for), tmp_path / "out.mp4")
            videos.append((tmp_path / "out.mp4").read_bytes())
            assert result.steps == 8
    assert asked == ["", "a hat"]
    assert videos[2] == videos[0]  # guidance on the text of an empty caption is none
    assert len(set(videos)) == 5


def test_the_best_attempt_comes_back(tmp_path, blind, clip, first, monkeypatch):
    """Scores are dealt here: no seed of a miniature makes a face."""
    from synclora.edit import judge

    scores = iter([0.2, 0.6, 0.5, 0.9])
    real = judge.sync_report
    monkeypatch.setattr(judge, "sync_report", lambda *given: real(*given).model_copy(update={"score": next(scores)}))
    monkeypatch.setattr(judge.Judge, "_scorable", lambda *_: True)
    request = EditRequest(source=clip, first_frame=first, seed=5, min_sync=0.8, attempts=3)
    told: list[Progress] = []
    result = blind.edit(request, tmp_path / "best.mp4", told.append)
    assert [(one.seed, one.score) for one in result.attempts] == [(5, 0.2), (6, 0.6), (7, 0.5)]
    assert (result.seed, result.report.score) == (6, 0.6)
    assert [now.attempt for now in told if now.stage == "measuring"][-1] == 3
    blind.edit(EditRequest(source=clip, first_frame=first, seed=6), tmp_path / "again.mp4")
    assert (tmp_path / "best.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()


def test_a_source_that_cannot_be_scored_is_tried_once(tmp_path, blind, clip, first):
    result = blind.edit(EditRequest(source=clip, first_frame=first, min_sync=0.8, attempts=4), tmp_path / "out.mp4")
    assert len(result.attempts) == 1
    assert result.report.score is None
    assert (result.report.verdict, result.report.reason) == ("quarantined", "no_face")
    assert set(result.report.cues) == {"speech", "gaze", "blink", "pose"}


@pytest.mark.parametrize(
    ("change", "reason", "words"),
    [
        ({"source": "nowhere.mp4"}, Reason.MISSING, "source"),
        ({"first_frame": "nowhere.png"}, Reason.MISSING, "first frame"),
        ({"first_frame": "clip.mp4"}, Reason.UNKNOWN_CONTAINER, "first frame"),
        ({"source": "first.png"}, Reason.UNKNOWN_CONTAINER, "source"),
        ({"key_frames": [{"frame": 40, "picture": "first.png"}]}, Reason.BAD_REQUEST, "40 frames"),
        ({"key_frames": [{"frame": 4, "picture": "nowhere.png"}]}, Reason.MISSING, "key frame 4"),
        ({"key_frames": [{"frame": 4, "picture": "first.png"}] * 2}, Reason.BAD_REQUEST, "two key frames"),
        ({"size": "64x96"}, Reason.BAD_REQUEST, "another shape"),
        ({"size": "9999x9999"}, Reason.BAD_REQUEST, "sides must be"),
        ({"size": "16x16"}, Reason.BAD_REQUEST, "sides must be"),
    ],
)
def test_what_cannot_be_used_is_refused_before_the_model_works(tmp_path, blind, clip, first, change, reason, words):
    def found(value):
        return clip.parent / value if isinstance(value, str) and value.endswith((".mp4", ".png")) else value

    fields = {"source": clip, "first_frame": first} | {name: found(value) for name, value in change.items()}
    for key in fields.get("key_frames", ()):
        key["picture"] = clip.parent / key["picture"]
    told: list[Progress] = []
    with pytest.raises(MediaError, match=words) as caught:
        blind.edit(EditRequest.model_validate(fields), tmp_path / "out.mp4", told.append)
    assert caught.value.reason is reason
    assert {now.stage for now in told} == {"preparing"}
    assert left(tmp_path / "out.mp4") == []


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": -1},
        {"steps": 0},
        {"steps": 10**6},
        {"size": "1x1"},
        {"attempts": 99},
        {"hat": 1},
        {"guidance_text": float("nan")},
    ],
)
def test_a_request_of_bad_values_is_one_line(fields):
    with pytest.raises(MediaError) as caught:
        request_of(source="a", first_frame="b", **fields)
    assert caught.value.reason is Reason.BAD_REQUEST
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."),
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_memory_that_does_not_suffice_has_its_word(tmp_path, blind, clip, first, monkeypatch, error):
    def fail(*_given, **_named):
        raise error

    monkeypatch.setattr(Engine, "sample", fail)
    with pytest.raises(MediaError) as caught:
        blind.edit(EditRequest(source=clip, first_frame=first), tmp_path / "out.mp4")
    assert caught.value.reason is Reason.OUT_OF_MEMORY
    assert left(tmp_path / "out.mp4") == []


def test_other_surprises_come_through_as_they_are(tmp_path, blind, clip, first, monkeypatch):
    def fail(*_given, **_named):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Engine, "sample", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        blind.edit(EditRequest(source=clip, first_frame=first), tmp_path / "out.mp4")


def test_disk_trouble_is_an_oserror(tmp_path, blind, clip, first):
    with pytest.raises(FileNotFoundError):
        blind.edit(EditRequest(source=clip, first_frame=first), tmp_path / "nowhere" / "out.mp4")
    (tmp_path / "out.mp4").mkdir()
    (tmp_path / "out.mp4" / "x").write_text("in the way")
    with pytest.raises(OSError, match="directory") as caught:
        blind.edit(EditRequest(source=clip, first_frame=first), tmp_path / "out.mp4")
    assert caught.value.errno in (errno.EISDIR, errno.ENOTEMPTY)
    assert left(tmp_path / "out.mp4") == ["out.mp4"]


def test_a_source_that_breaks_further_on_leaves_nothing(tmp_path, blind, clip, first):
    data = bytearray(clip.read_bytes())
    at = data.index(b"mdat") + 4
    data[at + 1000 : at + 3000] = bytes(2000)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(data)
    with pytest.raises(MediaError) as caught:
        blind.edit(EditRequest(source=broken, first_frame=first), tmp_path / "out.mp4")
    assert caught.value.reason is Reason.BROKEN_MEDIA
    assert left(tmp_path / "out.mp4") == ["broken.mp4"]


def test_one_call_and_an_adapter_by_its_path(tmp_path, clip, first, shelf):
    settings = EditSettings(steps=1, max_pixels=64 * 64, window_frames=41)
    result = edit(
        str(clip),
        str(first),
        out=str(tmp_path / "out.mp4"),
        adapter=shelf / "one",
        backbone="tiny:ltx-video",
        seed=3,
        settings=settings,
        key_frames={5: first},
    )
    assert (tmp_path / "out.mp4").is_file()
    assert (result.adapter, result.seed, result.random_base) == ("one", 3, True)
    assert result.first_frame_distance is not None
    assert result.edit_strength > 0.01
