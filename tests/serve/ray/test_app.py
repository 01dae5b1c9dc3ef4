"""The application before Ray: its arguments, what it refuses, what it imports."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from serve.app import app, build, check_open, nested, read_settings, scaling
from serve.settings import ServiceSettings
from synclora.errors import SyncLoraError

ROOT = Path(__file__).parents[3]


def test_arguments_are_settings_and_dots_reach_into_groups() -> None:
    settings = read_settings({"edit.steps": "8", "max_replicas": "3", "media.max_seconds": "20"})
    assert (settings.edit.steps, settings.max_replicas, settings.media.max_seconds) == (8, 3, 20.0)
    assert nested({"edit": {"steps": 8}, "edit.schedule": "distilled"}) == {"edit": {"steps": 8, "schedule": "distilled"}}


def test_paths_hold_in_replicas_which_run_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys.yaml").touch()
    (tmp_path / "model").mkdir()
    settings = read_settings({"data": "mine", "keys": "keys.yaml", "backbone": "model"})
    assert (settings.data, settings.keys, settings.backbone) == (
        tmp_path / "mine",
        tmp_path / "keys.yaml",
        str(tmp_path / "model"),
    )
    assert read_settings({"backbone": "Lightricks/LTX-Video-0.9.5"}).backbone == "Lightricks/LTX-Video-0.9.5"
    Path("embedded").mkdir()
    assert read_settings({"backbone": "embedded"}).backbone == "embedded"  # a name, whatever lies where one works


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"colour": "red"}, "colour: no such setting"),
        ({"edit.steps": "0"}, "edit.steps = '0': input should be greater than or equal to 1"),
        ({"edit": "8", "edit.steps": "8"}, "edit is given as a value and as a group"),
        ({"keys": "nowhere.yaml"}, "no such file; make one"),
    ],
)
def test_a_wrong_setting_is_one_line(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(SyncLoraError) as raised:
        app(arguments)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    with click.Context(click.Command("run")), pytest.raises(click.ClickException) as shown:  # as `serve run` calls it
        app(arguments)
    assert shown.value.message == str(raised.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "example.org"])
def test_without_keys_it_listens_to_this_machine_alone(host: str, tmp_path: Path) -> None:
    with pytest.raises(SyncLoraError, match=r"python -m serve\.keys add"):
        check_open(ServiceSettings(), host)
    check_open(ServiceSettings(keys=tmp_path / "keys.yaml"), host)
    check_open(ServiceSettings(), "127.0.0.1")


def test_equal_settings_are_equal_bytes_to_serve_so_that_deploying_again_restarts_nothing() -> None:
    def argument(settings: ServiceSettings) -> str:
        return build(settings)._bound_deployment.init_args[0]

    one, other = ServiceSettings(max_replicas=3, keep_s=60), ServiceSettings(keep_s=60, max_replicas=3)
    assert argument(one) == argument(other)
    assert ServiceSettings.model_validate_json(argument(one)) == one
    assert argument(one) != argument(ServiceSettings())


def test_scaling_follows_work() -> None:
    rules = scaling(0, 4, 60.0, 1)
    assert (rules.min_replicas, rules.max_replicas, rules.target_ongoing_requests) == (0, 4, 1)
    assert rules.downscale_delay_s == 60
    assert rules.upscale_delay_s > rules.look_back_period_s  # else one call that begins to run counts as two


def test_the_config_file_is_one_that_serve_takes() -> None:
    from ray.serve.schema import ServeDeploySchema

    text = yaml.safe_load((ROOT / "serve" / "config.yaml").read_text(encoding="utf-8"))
    (application,) = ServeDeploySchema.model_validate(text).applications
    assert application.import_path == "serve.app:app"
    check_open(read_settings(application.args), text["http_options"]["host"])


def test_the_application_loads_no_model() -> None:
    code = "import sys, serve.app; print([m for m in ('torch', 'diffusers', 'transformers', 'mediapipe', 'cv2') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=os.environ, check=True)
    assert done.stdout.strip() == "[]"
