"""A hub's model from a server that speaks its API: looked up without a weight, fetched once by however many processes, kept for offline use."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace

import huggingface_hub.constants
import pytest

from synclora.pairs.diffusion.find import ModelError, fetch, look_up, look_up_for_plan
from synclora.pairs.diffusion.hub import cached_folder, fetch_repository
from synclora.pairs.diffusion.settings import Stage
from tests.pairs.diffusion.hub_stub import COMMIT, Hub, serving
from tests.pairs.diffusion.models import FLUX, copied

NAME = "someone/small-flux"
ON_HUB = FLUX.model_copy(update={"model": NAME})
_FETCH_AT_ONCE = """
import json, os, sys
name, commit, files = json.loads(sys.argv[1])
for _ in range(3):
    if not os.fork():
        try:
            from synclora.pairs.diffusion.hub import fetch_repository  # after the fork: what it imports has threads
            said = fetch_repository(name, commit, files)
        except BaseException as error:
            said = error
        os.write(1, f"{said}\\n".encode())  # in one piece, where `print` may write two
        os._exit(0)
for _ in range(3):
    if status := os.wait()[1]:
        sys.exit(f"a process ended with {status}")
"""


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    folder = copied("flux", tmp_path / "repository")
    (folder / "flux1-dev.safetensors").write_bytes(b"a whole model in one file")
    (folder / "text_encoder" / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "run.py").write_text("raise SystemExit('code of a model was run')")
    with serving(Hub(NAME, folder, ("main", "v2"))) as one:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", one.url)
        monkeypatch.setattr(
            huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", one.url + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        yield one


def weights(hub: Hub) -> dict[str, int]:
    return {file: count for file, count in hub.asked.items() if file.endswith(".safetensors")}


def test_looked_up_without_its_weights(hub):
    found = look_up(Stage.PORTRAIT, ON_HUB)
    small = look_up(Stage.PORTRAIT, FLUX.model_copy(update={"model": str(hub.folder)}))
    assert (found.revision, found.folder, found.pipeline, found.random) == (COMMIT, None, "FluxPipeline", False)
    assert (found.parameters, found.bytes) == (small.parameters, small.bytes)
    assert weights(hub) == {}
    assert re.fullmatch("[0-9a-f]{12}", found.identity)
    assert not [
        file
        for file in found.files
        if not file.endswith((".json", ".txt", ".jinja", ".safetensors")) or file == "flux1-dev.safetensors"
    ]


def test_processes_at_once_fetch_each_file_once(hub, tmp_path):
    found = look_up(Stage.PORTRAIT, ON_HUB)
    hub.asked.clear()
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_HUB_OFFLINE": "0"}
    told = subprocess.run(
        [sys.executable, "-c", _FETCH_AT_ONCE, json.dumps([NAME, COMMIT, found.files])],
        **{"env": environment, "capture_output": True, "text": True, "timeout": 120, "check": False},
    )
    assert (told.returncode, told.stderr) == (0, "")
    folders = told.stdout.split()
    assert len(folders) == 3
    assert set(folders) == {str(fetch(found))}
    assert weights(hub) == {file: 1 for file in found.files if file.endswith(".safetensors")}
    assert max(hub.asked.values()) == 1
    there = {file.relative_to(folders[0]).as_posix() for file in fetch(found).rglob("*") if file.is_file()}
    assert there == set(found.files)
    assert look_up(Stage.PORTRAIT, ON_HUB) == replace(found, folder=fetch(found))


def test_a_revision(hub):
    assert look_up(Stage.PORTRAIT, ON_HUB.model_copy(update={"revision": "v2"})).revision == COMMIT
    with pytest.raises(ModelError, match=f"^model {NAME}: the hub has no revision v3 of it; correct `revision`$"):
        look_up(Stage.PORTRAIT, ON_HUB.model_copy(update={"revision": "v3"}))


def test_terms_that_were_not_accepted(hub):
    hub.is_gated = True
    with pytest.raises(ModelError, match=f"^model {NAME}: the hub gives it only to who accepted its terms; accept them there"):
        look_up(Stage.PORTRAIT, ON_HUB)


def test_a_name_that_the_hub_does_not_know():
    with pytest.raises(ModelError, match=r"^model someone/else: no such folder, and no such model on the hub; "):
        look_up(Stage.PORTRAIT, FLUX.model_copy(update={"model": "someone/else"}))


def test_a_fetch_that_was_cut_off_goes_on(hub, monkeypatch):
    found = look_up(Stage.PORTRAIT, ON_HUB)
    hub.cut = {"transformer/diffusion_pytorch_model.safetensors"}
    monkeypatch.setattr("huggingface_hub.file_download.http_get", _impatient())
    with pytest.raises(ModelError, match=f"^model {NAME}: the hub does not give it"):
        fetch(found)
    hub.cut = set()
    hub.asked.clear()
    kept = {file for file in found.files if (cached_folder(NAME, COMMIT) / file).is_file()}
    folder = fetch(found)
    assert all((folder / file).stat().st_size == (hub.folder / file).stat().st_size for file in found.files)
    assert set(hub.asked) - {"the list"} == set(found.files) - kept
    assert "model_index.json" in kept


def _impatient():
    """Without the library's five tries, each a second later."""
    from huggingface_hub import file_download

    true = file_download.http_get
    return lambda *args, **rest: true(*args, **rest, _nb_retries=0)


def test_without_the_hub_a_whole_copy_will_do(hub, monkeypatch):
    online = look_up(Stage.PORTRAIT, ON_HUB)
    folder = fetch(online)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    hub.refuse = 503
    offline = look_up(Stage.PORTRAIT, ON_HUB)
    assert offline == replace(online, folder=folder)
    assert fetch(offline) == folder


def test_without_the_hub_and_without_a_copy(hub, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelError, match=rf"^model {NAME}: the hub does not give it, and no whole copy lies in its cache \(.*\); give a local"
    ):
        look_up(Stage.PORTRAIT, ON_HUB)
    with pytest.raises(ModelError, match=f"^model {NAME}: the hub does not give it"):
        fetch_repository(NAME, COMMIT, ["model_index.json"])


def test_a_plan_goes_without_the_hub_but_not_against_what_it_says(hub, monkeypatch):
    assert look_up_for_plan(Stage.PORTRAIT, ON_HUB) == look_up(Stage.PORTRAIT, ON_HUB)
    with pytest.raises(ModelError, match="no such model on the hub"):
        look_up_for_plan(Stage.PORTRAIT, FLUX.model_copy(update={"model": "someone/else"}))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    found = look_up_for_plan(Stage.PORTRAIT, FLUX.model_copy(update={"model": "someone/else"}))
    assert (found.name, found.pipeline, found.parameters, found.bytes) == ("someone/else", "", 0, 0)


def test_without_the_hub_half_a_copy_names_what_is_missing(hub, monkeypatch):
    (fetch(look_up(Stage.PORTRAIT, ON_HUB)) / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=f"^model {NAME}: vae has no weights; "):
        look_up(Stage.PORTRAIT, ON_HUB)


@pytest.mark.parametrize("status", [401, 403, 500])
def test_a_server_that_refuses_is_one_line(hub, status):
    hub.refuse = status
    with pytest.raises(ModelError, match=f"^model {NAME}: ") as caught:
        look_up(Stage.PORTRAIT, ON_HUB)
    assert "\n" not in str(caught.value)
