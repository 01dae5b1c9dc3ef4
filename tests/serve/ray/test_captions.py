"""Embedded captions: by the deployment once, from files after that."""

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from serve.captions import Captions, ask
from serve.settings import ServiceSettings
from synclora.backbone.find import find_backbone
from tests.embedded.small import write_small


class Handle:
    """A deployment's handle that calls in this process, and counts."""

    def __init__(self, captions: Captions) -> None:
        self.captions, self.asked = captions, list[str]()
        self.embed = self

    def remote(self, text: str) -> SimpleNamespace:
        self.asked.append(text)
        return SimpleNamespace(result=lambda timeout_s: asyncio.run(self.captions.embed(text)))


def test_a_caption_is_embedded_once_by_an_encoder_that_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ServiceSettings(data=tmp_path, backbone="tiny:ltx-video")
    captions = Captions(settings.model_dump_json())
    loads, reader = list[str](), captions._backbone.reader
    monkeypatch.setattr(captions._backbone, "reader", lambda device, dtype: loads.append(device) or reader(device, dtype))
    handle = Handle(captions)
    get = ask(handle, settings)  # type: ignore[arg-type]
    first, again, other = get("a portrait"), get("a portrait"), get("a hat")
    assert loads == ["cpu"]
    assert handle.asked == ["a portrait", "a hat"]
    truth = reader()("a portrait")
    for found in (first, again):
        torch.testing.assert_close(found.embeds_bld, truth.embeds_bld)
        assert torch.equal(found.mask_bl, truth.mask_bl)
    assert not torch.equal(other.embeds_bld, first.embeds_bld)


def test_a_caption_on_disk_needs_no_deployment(tmp_path: Path) -> None:
    settings = ServiceSettings(data=tmp_path, backbone="tiny:ltx-video")
    made = Captions(settings.model_dump_json()).get("a portrait")
    found = ask(None, settings)("a portrait")  # type: ignore[arg-type]
    assert torch.equal(found.embeds_bld, made.embeds_bld)
    assert len(list((tmp_path / "captions").iterdir())) == 1


def test_a_full_disk_costs_no_caption(tmp_path: Path) -> None:
    (tmp_path / "captions").touch()  # no folder can be made there
    caption = Captions(ServiceSettings(data=tmp_path, backbone="tiny:ltx-video").model_dump_json()).get("a portrait")
    assert caption.embeds_bld.isfinite().all()


def test_a_model_with_one_caption_of_its_own_keeps_none(tmp_path: Path) -> None:
    folder = write_small(tmp_path / "model")
    settings = ServiceSettings(data=tmp_path / "data", backbone=str(folder))
    found = ask(Handle(Captions(settings.model_dump_json())), settings)("a hat")  # type: ignore[arg-type]
    assert torch.equal(found.embeds_bld, find_backbone(str(folder)).caption("3d1t").embeds_bld)
    assert not (tmp_path / "data" / "captions").exists()  # it would outlive the model
