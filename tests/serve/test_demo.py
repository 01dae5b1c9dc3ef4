"""The demo without Ray: the real service and client over HTTP, the real page; the command line and what it chooses by itself."""

import json

import numpy as np
import pytest
from rich.console import Console

from serve import demo
from serve.client import Client
from synclora.curation.export import kept_paths
from synclora.errors import SyncLoraError
from synclora.media.encode import write_video
from synclora.media.images import read_picture
from synclora.pairs.manifest import write_rows
from tests.report.conftest import measured, row
from tests.serve.local import Form, Local, write_adapter


def test_edits_with_and_without_the_adapter_and_shows_both(tmp_path):
    form = Form(tmp_path / "form")
    write_adapter(tmp_path / "data" / "adapters", "hair")
    clip = demo.Clip(form.source, form.first)
    with Local(tmp_path) as service, Client(service.url) as client:
        service.work()
        fields = {"seed": "5", "steps": None}
        names = {"with the adapter": "hair", "without it": "none"}
        entries = [demo.edited(client, label, name, clip, tmp_path, fields, Console(quiet=True)) for label, name in names.items()]
    page = demo.show(entries, clip, tmp_path, "The clip is <mine>.", "POST /v1/edits").read_text()
    assert [(one.result.adapter, one.result.seed) for one in entries] == [("hair", 5), ("none", 5)]
    assert page.count("<video ") == 3
    assert "hair; none" in page
    assert demo.LEAD_RANDOM in page  # the stub says so of its weights
    assert "The clip is &lt;mine&gt;." in page


def test_of_a_set_the_first_kept_pair_is_edited(tmp_path):
    truths = {"made": json.dumps({"portrait": "astronaut"}), "filmed": ""}
    rows = [row(name, measured(), measured(tint=130), truth=truth) for name, truth in truths.items()]
    write_rows(tmp_path / "manifest.parquet", [row("copy", measured(), measured()), *rows])
    paths = kept_paths(tmp_path, "id-made")
    for path, grey in zip(paths.values(), (50, 150), strict=True):
        path.parent.mkdir(parents=True)
        write_video(path, [np.full((64, 64, 3), grey + frame, np.uint8) for frame in range(20)], 25)
    clip = demo.of_set(tmp_path, tmp_path)
    assert clip.source == paths["source"]
    assert np.abs(read_picture(clip.first_frame).astype(int) - 150).max() <= 3
    assert clip.note == f"The clip is made, the first pair that was kept in {tmp_path}: one portrait, animated by a script."
    assert "have seen this face in training" in demo.seen_before(clip, "embedded")
    assert demo.seen_before(clip, "tiny:ltx-video") == ""


@pytest.mark.parametrize(
    "words",
    [[], ["--set", "a", "--clip", "b", "--first-frame", "c"], ["--clip", "b"], ["--set", "a", "--first-frame", "c"]],
)
def test_wants_a_set_or_a_clip_with_its_first_frame(words):
    with pytest.raises(SyncLoraError, match="give either --set, or --clip with --first-frame"):
        demo.parse([*words, "--out", "d"])


def test_a_backbones_own_adapter_is_taken(tmp_path):
    assert demo.shipped(str(tmp_path)) is None
    write_adapter(tmp_path / "adapters" / "sync-lora", "pytorch_lora_weights")
    assert demo.shipped(str(tmp_path)) == tmp_path / "adapters" / "sync-lora"
    assert demo.shipped("tiny:ltx-video") is None


def test_a_wrong_command_line_is_one_line(capsys):
    assert demo.main(["--clip", "x.mp4", "--out", "d"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
