"""Prometheus' text, read with Prometheus' own parser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from synclora.errors import Reason
from tests.serve.local import Form, Local, events, http, until


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Local]:
    with Local(tmp_path / "service", max_queued=3) as one:
        yield one


def scrape(service: Local) -> dict[tuple[str, ...], float]:
    answer = http.get(f"{service.url}/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    samples = [sample for family in text_string_to_metric_families(answer.text) for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def by_state(found: dict[tuple[str, ...], float]) -> dict[tuple[str, ...], float]:
    return {tuple(sorted(key[1:])): value for key, value in found.items() if key[0] == "synclora_jobs" and value}


def test_the_table_in_numbers(service, tmp_path):
    form = Form(tmp_path / "form")
    empty = scrape(service)
    assert (empty["synclora_queue_length",], empty["synclora_queue_oldest_seconds",]) == (0, 0)
    assert by_state(empty) == {}
    form.post(service, prompt="stub raise=MediaError")
    id = form.post(service).json()["id"]
    until(lambda: scrape(service)["synclora_queue_oldest_seconds",] > 0.05)
    assert scrape(service)["synclora_queue_length",] == 2
    service.work()
    until(lambda: scrape(service)["synclora_queue_length",] == 0)
    until(lambda: http.get(f"{service.url}/v1/edits/{id}").json()["state"] == "succeeded")
    assert by_state(scrape(service)) == {("", "succeeded"): 1, ("failed", "misaligned"): 1}


def test_refusals_are_counted_by_reason(service, tmp_path):
    form = Form(tmp_path / "form")
    for _ in range(2):
        form.post(service, consent="false")
    form.post(service, seed="x")
    found = scrape(service)
    assert found["synclora_edits_refused_total", Reason.NO_CONSENT.value] == 2
    assert found["synclora_edits_refused_total", Reason.BAD_REQUEST.value] == 1
    for seed in range(4):
        form.post(service, seed=str(seed))
    assert scrape(service)["synclora_edits_refused_total", Reason.QUEUE_FULL.value] == 1


def test_open_streams_are_counted(service, tmp_path):
    id = Form(tmp_path / "form").post(service).json()["id"]
    stream = events(f"{service.url}/v1/edits/{id}/events")
    next(stream)
    until(lambda: scrape(service)["synclora_event_streams",] == 1)
    stream.close()
    until(lambda: scrape(service)["synclora_event_streams",] == 0)
