"""Captions are embedded once, come back as they were, and a torn file is no caption."""

import pytest
import torch

from synclora.backbone.kinds import LTXVideo
from synclora.train.captions import CaptionStore
from tests.train.adapters import KINDS, tiny

NAME = "tiny:ltx-video"
TEXTS = ["a person blinks", "", 'größer, 日本 "quoted"\n']


class Counting(LTXVideo):
    """The miniature; notes what it was asked for."""

    def __init__(self):
        super().__init__(NAME, tiny().folder, random=True)
        self.asked = []

    def caption(self, text, device="cpu", dtype=torch.float32):
        self.asked.append(text)
        return super().caption(text, device, dtype)


@pytest.fixture
def store(tmp_path):
    return CaptionStore(tmp_path / "captions", NAME)


def files(store):
    return sorted(store._folder.iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_embedded_comes_back(tmp_path, kind):
    store = CaptionStore(tmp_path, f"tiny:{kind}")
    store.embed(TEXTS, tiny(kind), "cpu", torch.float32)
    for text in TEXTS:
        found, expected = store.get(text), tiny(kind).caption(text)
        assert torch.equal(found.embeds_bld, expected.embeds_bld)
        assert torch.equal(found.mask_bl, expected.mask_bl.long())
        assert found.mask_bl.dtype == torch.long
    assert not torch.equal(store.get(TEXTS[0]).embeds_bld, store.get("").embeds_bld)


def test_each_is_embedded_once(store):
    backbone = Counting()
    assert store.missing([*TEXTS, *TEXTS]) == TEXTS
    store.embed([*TEXTS, *TEXTS], backbone, "cpu", torch.float32)
    assert backbone.asked == TEXTS
    assert store.missing(TEXTS) == []
    before = {path: path.stat().st_mtime_ns for path in files(store)}
    store.embed(["new", *TEXTS], backbone, "cpu", torch.float32)
    assert backbone.asked == [*TEXTS, "new"]
    assert len(files(store)) == 4
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())


def test_one_constant_caption_makes_two_files(store):
    store.embed(["3d1t", ""], tiny(), "cpu", torch.float32)
    assert len(files(store)) == 2


def test_bfloat16_is_kept(store):
    store.embed(["3d1t"], tiny(), "cpu", torch.bfloat16)
    assert store.get("3d1t").embeds_bld.dtype == torch.bfloat16
    assert store.get("3d1t").mask_bl.dtype == torch.long


def test_another_backbone_has_its_own(store, tmp_path):
    store.embed(["3d1t"], tiny(), "cpu", torch.float32)
    assert CaptionStore(tmp_path / "captions", "other/model").missing(["3d1t"]) == ["3d1t"]


def test_one_that_was_never_embedded(store):
    with pytest.raises(KeyError, match="never"):
        store.get("never")


@pytest.mark.parametrize("torn", [b"", b"\0" * 100, "half", "one byte"])
def test_a_torn_file_is_embedded_again(store, torn):
    store.embed(["3d1t", ""], tiny(), "cpu", torch.float32)
    path = store._path("3d1t")
    whole = path.read_bytes()
    path.write_bytes({"half": whole[: len(whole) // 2], "one byte": whole[:-1]}.get(torn, torn))
    assert store.missing(["3d1t", ""]) == ["3d1t"]
    with pytest.raises(KeyError):
        store.get("3d1t")
    backbone = Counting()
    store.embed(["3d1t", ""], backbone, "cpu", torch.float32)
    assert backbone.asked == ["3d1t"]
    assert path.read_bytes() == whole
    assert len(files(store)) == 2
