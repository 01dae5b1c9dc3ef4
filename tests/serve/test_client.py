"""The client against the real service, over ways that break."""

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.client import Client, EditFailed, main
from serve.job import State
from serve.patience import parse_events
from tests.serve.local import Cut, Form, Local, http, ring_of, until, write_adapter
from tests.serve.stub import video


@pytest.fixture(scope="module")
def form(tmp_path_factory: pytest.TempPathFactory) -> Form:
    return Form(tmp_path_factory.mktemp("form"))


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder = tmp_path_factory.mktemp("service")
    write_adapter(folder / "data" / "adapters", "hair")
    with Local(folder) as one:
        one.work()
        yield one


@pytest.fixture
def cut(service: Local) -> Iterator[Cut]:
    one = Cut(service.port, [])
    yield one
    one.close()


def test_submit_wait_and_download_in_one(service, form, tmp_path):
    seen = []
    with Client(service.url) as client:
        result = client.edit(
            form.source,
            form.first,
            tmp_path / "out.mp4",
            consent=True,
            key_frames={3: form.first},
            seed=9,
            steps=2,
            adapter="hair",
            prompt=None,
            on_progress=seen.append,
        )
        assert [one.name for one in client.adapters()] == ["none", "hair"]
    assert (result.seed, result.steps, result.adapter) == (9, 2, "hair")
    assert (tmp_path / "out.mp4").read_bytes() == video(9, 2)
    assert seen[-1].state is State.SUCCEEDED
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_what_the_service_refuses_is_raised_at_once_with_its_word(service, form, tmp_path):
    with Client(service.url) as client:
        for fields, reason, status in (
            ({"consent": False}, "no_consent", 422),
            ({"consent": True, "seed": -1}, "bad_request", 400),
            ({"consent": True, "adapter": "nobody"}, "unknown_adapter", 422),
        ):
            with pytest.raises(EditFailed) as caught:
                client.submit(form.source, form.first, **fields)
            assert (caught.value.reason, caught.value.status) == (reason, status)
        with pytest.raises(EditFailed, match="not_found"):
            client.get("0" * 26)
        with pytest.raises(EditFailed, match="misaligned"):
            client.edit(form.source, form.first, tmp_path / "out.mp4", consent=True, prompt="stub raise=MediaError")
        with pytest.raises(FileNotFoundError):
            client.submit(tmp_path / "none.mp4", form.first, consent=True)
    assert not list(tmp_path.iterdir())


def test_cancelled_is_raised_and_a_second_time_removes(tmp_path, form):
    with Local(tmp_path) as service, Client(service.url) as client:
        id = client.submit(form.source, form.first, consent=True)
        threading.Timer(0.3, lambda: service.table.cancel(id)).start()
        with pytest.raises(EditFailed) as caught:
            client.wait(id)
        assert caught.value.reason == "cancelled"
        assert client.cancel(id) is None
        assert service.stored() == []


def test_an_upload_whose_answer_was_lost_makes_one_edit(service, cut, form):
    cut.cuts = [0, 1]
    before = len(http.get(f"{service.url}/v1/edits?limit=100").json()["edits"])
    with Client(cut.url) as client:
        id = client.submit(form.source, form.first, consent=True, seed=77)
    assert cut.made == 3
    ours = http.get(f"{service.url}/v1/edits?limit=100").json()["edits"]
    assert len(ours) == before + 1
    assert ours[0]["id"] == id


def test_waiting_goes_on_over_broken_streams(service, cut, form):
    with Client(service.url) as direct:
        id = direct.submit(form.source, form.first, consent=True, prompt="stub pause_s=0.2 steps=8")
    cut.cuts = [1500, 700, 2000, 0]
    with Client(cut.url) as client:
        views = list(client.events(id))
    assert cut.made >= 5
    assert views[-1].state is State.SUCCEEDED
    shown = [view.model_dump_json() for view in views]
    assert len(set(shown)) == len(shown)  # nothing twice, though it came back four times


def test_waiting_asks_now_and_then_where_streams_do_not_come_through(service, form, monkeypatch):
    monkeypatch.setattr("serve.client.POLL_S", 0.05)
    with Client(service.url) as client:
        id = client.submit(form.source, form.first, consent=True)
        monkeypatch.setattr(client, "_stream", lambda *_: iter(()))  # a proxy that answers and passes nothing on
        assert client.wait(id).seed == 0


def test_a_video_is_taken_up_where_it_broke(service, cut, form, tmp_path):
    with Client(service.url) as direct:
        id = direct.submit(form.source, form.first, consent=True, seed=3, steps=1)
        direct.wait(id)
    cut.cuts = [1500] * 100  # the head of an answer and a part of the file: begun anew each time, it would never end
    with Client(cut.url) as client:
        client.video(id, tmp_path / "out.mp4")
    assert 2 <= cut.made <= 6
    assert (tmp_path / "out.mp4").read_bytes() == video(3, 1)
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]


def test_a_full_queue_is_waited_for_and_not_for_ever(tmp_path, form):
    with Local(tmp_path, max_queued=1) as service:
        with Client(service.url, patience_s=0.2) as hasty:
            first = hasty.submit(form.source, form.first, consent=True)
            with pytest.raises(EditFailed) as caught:
                hasty.submit(form.source, form.first, consent=True)
            assert (caught.value.reason, caught.value.status) == ("queue_full", 429)
        http.delete(f"{service.url}/v1/edits/{first}")
        with Client(service.url) as patient:
            assert patient.submit(form.source, form.first, consent=True) != first


def test_nobody_there(form):
    with Client("http://127.0.0.1:9", patience_s=0.1) as client, pytest.raises(EditFailed) as caught:
        client.submit(form.source, form.first, consent=True)
    assert (caught.value.reason, caught.value.status) == ("unreachable", 0)


def test_keys_come_from_the_argument_or_the_environment(tmp_path, form, monkeypatch):
    ring, who = ring_of(tmp_path, anna={})
    secret = who["anna"]["authorization"].removeprefix("Bearer ")
    with Local(tmp_path, ring) as service:
        with Client(service.url, secret) as client:
            id = client.submit(form.source, form.first, consent=True)
        monkeypatch.setenv("SYNCLORA_KEY", secret)
        with Client(service.url) as client:
            assert client.get(id).request.consent.by == "anna"
        monkeypatch.delenv("SYNCLORA_KEY")
        with Client(service.url) as client, pytest.raises(EditFailed, match="unauthorized"):
            client.get(id)


def test_another_service_is_noticed():
    transport = httpx.MockTransport(lambda _: httpx.Response(404, text="<html>nginx"))
    with Client("http://127.0.0.1") as client:
        client._patient.http = client._http = httpx.Client(transport=transport, base_url="http://x/")
        with pytest.raises(EditFailed, match=r"is this the service\?"):
            client.adapters()


def test_events_are_parsed_as_browsers_do():
    text = ": hello\n\nevent: progress\nid: 1\ndata: a\ndata: b\n\nretry: 5\n\ndata:c\n\nevent: end\ndata: cut off"
    assert list(parse_events(iter(text.split("\n")))) == [("progress", "1", "a\nb"), ("message", "1", "c")]


def test_the_command_line(service, form, tmp_path, capsys):
    out = tmp_path / "out.mp4"
    words = [str(form.source), str(form.first), "--out", str(out), "--url", service.url, "--seed", "4", "--steps", "2"]
    assert main([*words, "--consent", "--key-frame", f"2={form.first}"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == f"{out}: 9 frames, sync 0.900 (kept), edit strength 0.2"
    assert "succeeded" in said.err
    assert out.read_bytes() == video(4, 2)
    assert main(words) == 2
    assert "no_consent" in capsys.readouterr().err
    with contextlib.suppress(SystemExit):
        main([*words, "--key-frame", "x.png"])
    assert "is not FRAME=PICTURE" in capsys.readouterr().err


def test_a_restarted_service_is_waited_for(tmp_path, form):
    """The address stays, the process goes: what was accepted is still there, and the waiting client finds it."""
    with Local(tmp_path) as service:
        with Client(service.url) as client:
            id = client.submit(form.source, form.first, consent=True)
        way = Cut(service.port, [])
    done: list[Path] = []

    def wait() -> None:
        with Client(way.url) as client:
            client.wait(id)
            done.append(client.video(id, tmp_path / "out.mp4"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    with Local(tmp_path) as service:
        way._to = service.port
        service.work()
        waiting.join(20)
    way.close()
    until(lambda: not waiting.is_alive())
    assert done
    assert done[0].read_bytes() == video(0, 3)
