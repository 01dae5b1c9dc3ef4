"""The store: what was put comes back, equal content is equal bytes, and a file that was cut off is none."""

import hashlib
from fractions import Fraction

import pytest
import torch
from safetensors.torch import save_file

from synclora.incontext.positions import Grid
from synclora.train.curated import TrainSetError
from synclora.train.latents import Facts, LatentStore

NAME = "ab12cd34ab12cd34"
FPS = Fraction(30000, 1001)
GRID = Grid.of_video(17, 64, 96, float(FPS))
MADE_OF = {name: name.upper() for name in ("format", "backbone", "codec", "computed", "stored", "bucket", "crop", "first_frame")}
HALVES = torch.arange(2 * 4 * 3 * 2 * 3, dtype=torch.float32).reshape(2, 4, 3, 2, 3)


@pytest.fixture
def store(tmp_path):
    return LatentStore(tmp_path / "latents")


def put(store, dtype=torch.float32, made_of=MADE_OF):
    store.put(NAME, *HALVES.to(dtype), Facts(GRID, FPS, made_of))
    return store.path(NAME)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_was_put_comes_back(store, dtype):
    path = put(store, dtype)
    assert path == store.folder / "ab" / f"{NAME}.safetensors"
    latents = store.load(NAME)
    assert latents.source_cfyx.dtype is latents.edited_cfyx.dtype is dtype
    assert torch.equal(torch.stack([latents.source_cfyx, latents.edited_cfyx]), HALVES.to(dtype))
    assert (latents.facts.grid, latents.facts.fps) == (GRID, FPS)
    assert store.get(NAME) == latents.facts
    about = latents.facts.made_of
    assert MADE_OF.items() <= about.items()
    assert about["fps"] == "30000/1001"
    assert [about[name] for name in ("width", "height", "frames", "stride_s", "stride_t")] == ["96", "64", "17", "32", "8"]


def test_equal_content_is_equal_bytes(store):
    digests = {hashlib.sha256(put(store).read_bytes()).hexdigest() for _ in range(4)}
    digests |= {hashlib.sha256(put(store, made_of=dict(reversed(MADE_OF.items()))).read_bytes()).hexdigest()}
    assert len(digests) == 1


def test_metadata_may_be_of_any_alphabet(store):
    made_of = MADE_OF | {"codec": 'größer 日本 "quoted" \\ \n'}
    put(store, made_of=made_of)
    assert store.load(NAME).facts.made_of["codec"] == made_of["codec"]
    assert torch.equal(store.load(NAME).edited_cfyx, HALVES[1])


def spoil(path, how):
    content = path.read_bytes()
    if how == "gone":
        path.unlink()
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "cut in the header":
        path.write_bytes(content[:100])
    elif how == "a byte short":
        path.write_bytes(content[:-1])
    elif how == "a byte long":
        path.write_bytes(content + b"\0")
    elif how == "noise":
        path.write_bytes(bytes(range(256)) * 8)
    elif how == "another's":
        save_file({"weight": torch.zeros(2)}, path)
    elif how == "one half":
        save_file({"source": HALVES[0]}, path, {"width": "96", "height": "64", "frames": "17", "fps": "25"})
    else:
        about = {"width": "96", "height": "64", "frames": "17", "fps": "25", "stride_t": "8", "stride_s": "32"}
        save_file({"source": HALVES[0], "edited": HALVES[1][:, :2].contiguous()}, path, about)


SPOILT = (
    "gone",
    "empty",
    "cut in the header",
    "a byte short",
    "a byte long",
    "noise",
    "another's",
    "one half",
    "halves that differ",
)


@pytest.mark.parametrize("how", SPOILT)
def test_what_is_not_whole_is_not_there(store, how):
    path = put(store)
    assert store.get(NAME)
    spoil(path, how)
    assert store.get(NAME) is None
    with pytest.raises(TrainSetError) as error:
        store.load(NAME)
    assert str(path) in str(error.value)
    assert "encode the set again" in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_but_the_file_stays(store):
    put(store)
    put(store)
    assert [path.name for path in store.folder.rglob("*") if path.is_file()] == [f"{NAME}.safetensors"]
