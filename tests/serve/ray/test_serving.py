"""The service as a whole on Ray: scaling, draining, many clients, a real edit."""

import asyncio
import time
from fractions import Fraction
from pathlib import Path

import av
import httpx
import pytest
from PIL import Image

from serve.client import Client
from serve.jobs import State
from synclora.media.encode import write_video
from synclora.train.adapter import save_adapter
from tests.serve.audit import transitions
from tests.serve.ray.load import Load
from tests.serve.ray.service import Service, ended_once, wait_for
from tests.train.adapters import adapted, metadata, stream


def test_many_clients_lose_nothing(service: Service) -> None:
    load = asyncio.run(Load(service.url, service.clip, service.picture, clients=24, jobs=36).run())
    print(f"\n{load.told()}")
    ended_once(service, load.ids)
    assert len(set(load.ids)) == 36  # more than may wait
    assert not [status for status in load.statuses if status >= 500]


def test_a_full_queue_says_when_to_come_again(service: Service) -> None:
    accepted = []
    with httpx.Client(base_url=service.url) as http:
        while (answer := ask(http, service, steps=200)).status_code == 202:
            accepted.append(answer.json()["id"])
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        assert answer.json()["error"]["reason"] == "queue_full"
        for id in accepted:
            assert http.delete(f"/v1/edits/{id}").json()["state"] == "cancelled"
    assert service.settings.max_queued <= len(accepted) <= service.settings.max_queued + 3  # two under way, one just taken
    ended_once(service, accepted, State.CANCELLED)


def ask(http: httpx.Client, service: Service, **fields: object) -> httpx.Response:
    with service.clip.open("rb") as source, service.picture.open("rb") as picture:
        data = {"consent": "true"} | {name: str(value) for name, value in fields.items()}
        return http.post("/v1/edits", data=data, files={"source": source, "first_frame": picture}, timeout=60)


IDLE = {"min_replicas": 0, "max_replicas": 2, "idle_s": 1.0, "drain_s": 0.5}
BUSY = {"min_replicas": 2, "max_replicas": 2, "idle_s": 5.0, "drain_s": 60.0}


def test_an_update_lets_editors_finish_and_none_stay_without_work(service: Service) -> None:
    ids = service.submit(4, steps=20)
    wait_for(lambda: sum(job.state is State.RUNNING for job in service.table.many(ids).values()) == 2)
    old = {process.pid for process in service.processes("Editor")}
    service.deploy(**IDLE)
    jobs = ended_once(service, ids)
    assert {job.starts for job in jobs.values()} == {1}  # finished where they ran
    wait_for(lambda: not service.processes("Editor"))
    began = time.monotonic()
    ids = service.submit(6, steps=10)
    wait_for(lambda: any(job.state is State.RUNNING for job in service.table.many(ids).values()))
    print(f"\nfrom no editor to the first step: {time.monotonic() - began:.1f} s")
    wait_for(lambda: len(service.processes("Editor")) == 2)
    assert not old & {process.pid for process in service.processes("Editor")}
    ended_once(service, ids)


def test_an_editor_that_may_not_finish_gives_its_job_back(service: Service) -> None:
    service.deploy(**IDLE)
    hurry = service.settings.data / "hurry"
    ids = service.submit(1, steps=200, prompt=f"stub pause_s=0.5 hurry={hurry}")
    wait_for(lambda: service.table.many(ids)[ids[0]].progress)
    service.deploy(**BUSY)
    wait_for(lambda: "queued" in [change.after for change in transitions(service.audit)[ids[0]]])
    hurry.touch()
    ended_once(service, ids)
    went = [change.after for change in transitions(service.audit)[ids[0]]]
    assert went[:2] == ["running", "queued"]  # perhaps to another that has to go, and back again
    assert went[-2:] == ["running", "succeeded"]


def test_the_editors_metrics_reach_prometheus(service: Service) -> None:
    ended_once(service, service.submit(1))
    wait_for(lambda: {"ray_synclora_step_seconds_bucket", "ray_synclora_edits_total"} <= set(service.metrics()), 60)


@pytest.mark.slow
def test_a_real_edit_through_http(service: Service, portraits: Path, tmp_path: Path) -> None:
    service.deploy(editor="synclora.edit.editor:Editor", backbone="tiny:ltx-video", min_replicas=0, max_replicas=1)
    save_adapter(service.settings.adapters_folder / "mine", adapted(stream()), metadata())
    clip, picture = short(sorted((portraits / "clips").rglob("*.mp4"))[0], tmp_path)
    with Client(service.url) as client:
        result = client.edit(clip, picture, tmp_path / "edit.mp4", consent=True, steps=2, prompt="a portrait", adapter="mine")
    assert result.random_base
    assert result.adapter == "mine"
    assert (tmp_path / "edit.mp4").stat().st_size > 1000
    assert list((service.settings.data / "captions").glob("*.safetensors"))


def short(clip: Path, folder: Path) -> tuple[Path, Path]:
    """The first 17 frames, and the first as a picture."""
    with av.open(str(clip)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame, _ in zip(container.decode(video=0), range(17), strict=False)]
    write_video(folder / "short.mp4", frames, Fraction(25))
    Image.fromarray(frames[0]).save(folder / "first.png")
    return folder / "short.mp4", folder / "first.png"
