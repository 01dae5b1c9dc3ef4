"""What serving costs: an edit over HTTP against a call, a second editor against the first, two editors against one; and what it bears."""

import asyncio
import re
import statistics
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch
from PIL import Image
from ray import serve

from serve.client import Client
from synclora.edit.editor import Editor
from synclora.edit.request import EditRequest
from synclora.media.encode import write_video
from tests.benchmarks.midsize import grown
from tests.serve.ray.faults import KILLS, lose_nothing
from tests.serve.ray.load import Load
from tests.serve.ray.service import APP, Service, ended_once, wait_for

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1200)]

REAL = {
    "editor": "synclora.edit.editor:Editor",
    "backbone": "tiny:ltx-video",
    "min_replicas": 1,
    "max_replicas": 1,
    "lease_s": 30.0,
}


@pytest.fixture(scope="module")
def stubs(tmp_path_factory) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("stubs") / "data", max_queued=400) as service:
        yield service


@pytest.fixture
def clip(portraits, tmp_path) -> tuple[Path, Path]:
    """Two seconds of a real portrait, and its first frame, its colours turned."""
    with av.open(str(sorted((portraits / "clips").rglob("*.mp4"))[0])) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(49), strict=False)]
    write_video(tmp_path / "clip.mp4", frames, Fraction(25))
    Image.fromarray(frames[0][..., ::-1].copy()).save(tmp_path / "first.png")
    return tmp_path / "clip.mp4", tmp_path / "first.png"


def test_load(stubs, figure):
    load = asyncio.run(Load(stubs.url, stubs.clip, stubs.picture, clients=200, jobs=500, poll_s=3.0).run())
    figure(load.told())
    ended_once(stubs, load.ids)
    assert len(set(load.ids)) == 500
    assert not [status for status in load.statuses if status >= 500]


@pytest.mark.parametrize("what", KILLS)
def test_faults(stubs, figure, what):
    went_on = lose_nothing(stubs, what, range(5))
    figure(f"killed {what}, five times: no job lost, none done twice; went on after {min(went_on):.1f} to {max(went_on):.1f} s")


def test_http_over_a_call(clip, tmp_path, figure):
    source, picture = clip
    request = EditRequest(source=source, first_frame=picture, steps=8)
    calls, edits = list[float](), list[float]()
    torch.set_num_threads(1)  # as the replica's
    with (
        Service(tmp_path / "data", editor_cpus=1.0, **REAL) as service,
        Client(service.url) as client,
        Editor("tiny:ltx-video") as editor,
    ):
        for _ in range(6):  # in turns; the first of each warms up
            began = time.monotonic()
            editor.edit(request, tmp_path / "call.mp4")
            calls.append(time.monotonic() - began)
            began = time.monotonic()
            client.edit(source, picture, tmp_path / "http.mp4", consent=True, steps=8, seed=0)
            edits.append(time.monotonic() - began)
    assert (tmp_path / "http.mp4").read_bytes() == (tmp_path / "call.mp4").read_bytes()
    call, edit = statistics.median(calls[1:]), statistics.median(edits[1:])
    called, asked = spread(calls[1:]), spread(edits[1:])
    figure(
        f"an edit of 49 frames, 8 steps: {call:.2f} s by a call ({called}), {edit:.2f} s over HTTP ({asked}): x {edit / call:.3f}"
    )
    assert edit / call <= 1.05


def spread(seconds: list[float]) -> str:
    return f"{min(seconds):.2f} to {max(seconds):.2f}"


def test_a_second_editor(tmp_path, figure, monkeypatch):
    """LTX-Video 2B's transformer in bfloat16, edited with in float32: the first editor of a machine makes the shared copy."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))  # before Ray: its processes inherit it
    base = halved(grown("ltx-video", tmp_path / "base", layers=28, heads=32))
    settings = REAL | {"backbone": str(base), "min_replicas": 0, "max_replicas": 2, "idle_s": 300.0}
    with Service(tmp_path / "data", editor_cpus=1.0, **settings) as service:
        first_s = ready(service, 1)
        alone_mb = pss_mb(service)
        second_s = ready(service, 2)
        both_mb, weights_mb = pss_mb(service), pss_mb(service, str(tmp_path / "cache"))
    files_mb = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*.safetensors")) / 1e6
    figure(
        f"from Serve's decision to readiness: first editor {first_s:.1f} s, second {second_s:.1f} s: x {second_s / first_s:.2f}"
    )
    figure(f"editors' memory (PSS): one {alone_mb:.0f} MB, two {both_mb:.0f} MB: x {both_mb / alone_mb:.2f}")
    figure(f"of it the transformer's weights: {weights_mb:.0f} MB for a file of {files_mb:.0f} MB")
    assert weights_mb < 1.05 * files_mb
    assert second_s < first_s


def halved(folder: Path) -> Path:
    """Its transformer in bfloat16."""
    from diffusers import LTXVideoTransformer3DModel

    LTXVideoTransformer3DModel.from_pretrained(folder / "transformer", torch_dtype=torch.bfloat16).save_pretrained(
        folder / "transformer"
    )
    return folder


def ready(service: Service, editors: int) -> float:
    """Ask for one more edit; seconds that its editor is starting, by Serve's word. Returns after its first step: all weights were read."""
    began: float | None = None
    with Client(service.url) as client:
        id = client.submit(service.clip, service.picture, consent=True, seed=editors, steps=200)
    while True:
        states = serve.status().applications[APP].deployments["Editor"].replica_states
        began = began or (time.monotonic() if states.get("STARTING") else None)
        if states.get("RUNNING", 0) >= editors:
            break
        time.sleep(0.05)
    assert began is not None
    took = time.monotonic() - began
    wait_for(lambda: (service.table.many([id])[id].progress or {}).get("step"), 600.0)
    return took


def pss_mb(service: Service, where: str = "") -> float:
    """Proportional set size of the editors; with a place, of what is mapped from there."""
    total = 0
    for process in service.processes("Editor"):
        here = False
        for line in Path(f"/proc/{process.pid}/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                here = where in line
            elif here and line.startswith("Pss:"):
                total += int(line.split()[1])
    return total * 1024 / 1e6


def test_two_editors(clip, tmp_path, figure):
    source, picture = clip
    took = {}
    with Service(tmp_path / "data", editor_cpus=1.0, **REAL) as service:
        for editors in (1, 2):
            service.deploy(min_replicas=editors, max_replicas=editors)
            with Client(service.url) as client:
                for count in (editors, 8):  # the first warm up
                    began = time.monotonic()
                    ids = [client.submit(source, picture, consent=True, steps=8, seed=seed) for seed in range(count)]
                    service.all_end(ids, 600.0)
                    took[editors] = time.monotonic() - began
    figure(
        f"8 edits of 49 frames: {took[1]:.1f} s with one editor of one core, {took[2]:.1f} s with two: x {took[1] / took[2]:.2f}"
    )
    assert took[1] / took[2] > 1.5
