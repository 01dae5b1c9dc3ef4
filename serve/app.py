"""The Serve application: door, dispatcher, editors and captions, wired.

    serve run serve.app:app                                              # the embedded model, on http://127.0.0.1:8000
    serve run serve.app:app backbone=Lightricks/LTX-Video-0.9.5 edit.steps=8 max_replicas=4
    serve run serve/config.yaml                                          # the same as a file; on a cluster: serve deploy

Arguments are `ServiceSettings`; a dot reaches into a group of them. This file imports neither torch nor a model: only what needs them does.
"""

import warnings
from pathlib import Path
from typing import Any

import click
from ray import serve
from ray.serve.config import AutoscalingConfig
from ray.serve.handle import DeploymentHandle

from serve.captions import Captions
from serve.dispatcher import Dispatcher
from serve.replica import Editor
from serve.settings import ServiceSettings
from synclora.backbone.folder import EMBEDDED
from synclora.errors import SyncLoraError
from synclora.settings import RecipeError

SMALL = {"num_cpus": 0}
"""Of door, dispatcher and captions, which wait most of the time: a share of a core would keep them off a machine that editors fill, and editors
wait for captions."""
STREAMS = 1000
"""Calls that a door answers at the same time; each open event stream is one, and costs a coroutine."""
LAST_STEP_S = 60.0
"""Until an edit that is to be given back hears of it: a step, or the decoding of a window."""


HEALTH_S = 2.0
"""Between two health checks: a dead process is seen, and started anew, so soon."""


def app(arguments: dict[str, Any]) -> serve.Application:
    """What `serve run` and a config file build.

    Raises:
        SyncLoraError: a setting breaks its rule, or the service would be open to others without keys. `serve run` is given its one line.
    """
    try:
        settings = read_settings(arguments)
        check_open(settings, http_host())
    except SyncLoraError as error:
        if click.get_current_context(silent=True) is None:
            raise
        raise click.ClickException(str(error)) from None
    return build(settings)


def build(settings: ServiceSettings) -> serve.Application:
    """The application of these settings.

    Settings go to the replicas as JSON: equal ones are then equal bytes to Serve, and deploying them again restarts nothing.
    """
    text = settings.model_dump_json()
    captions = deployment(
        Captions,
        max_ongoing_requests=64,
        ray_actor_options=SMALL | {"num_gpus": settings.captions_gpus},
        autoscaling_config=scaling(0, 1, settings.idle_s, 64),
    ).bind(text)
    editors = deployment(
        Editor,
        max_ongoing_requests=1,
        ray_actor_options={"num_cpus": settings.editor_cpus, "num_gpus": settings.editor_gpus},
        autoscaling_config=scaling(settings.min_replicas, settings.max_replicas, settings.idle_s, 1),
        graceful_shutdown_timeout_s=settings.drain_s + LAST_STEP_S,
    ).bind(text, captions)
    dispatcher = deployment(Dispatcher, max_ongoing_requests=STREAMS, ray_actor_options=SMALL).bind(text, editors)
    ingress = serve.ingress()(Door)
    door = deployment(
        ingress,
        num_replicas=settings.door_replicas,
        max_ongoing_requests=STREAMS,
        ray_actor_options=SMALL,
        max_constructor_retry_count=3,
    )
    return door.bind(text, dispatcher)


def deployment(of: Any, **options: Any) -> serve.Deployment:
    """Serve's decorator, called."""
    made: serve.Deployment = serve.deployment(health_check_period_s=HEALTH_S, **options)(of)
    return made


def scaling(at_least: int, at_most: int, idle_s: float, each: int) -> AutoscalingConfig:
    """Serve's autoscaling: a replica for every `each` calls under way or waiting. From none to one at once, else after three seconds upwards, so
    that a call which passes from waiting to running is not counted as two; after `idle_s` downwards.

    Serve's callers report every `metrics_interval_s`. At its default of ten seconds the first job of an idle service waits for as long, because
    the report that Serve sends ahead at zero replicas holds old samples. The field is deprecated in favour of variables that 2.60 does not read.
    """
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        return AutoscalingConfig(
            min_replicas=at_least,
            max_replicas=at_most,
            target_ongoing_requests=each,
            upscale_delay_s=3.0,  # longer than the look back
            downscale_delay_s=idle_s,
            metrics_interval_s=1.0,
            look_back_period_s=2.5,
        )


class Door:
    """The HTTP deployment: `create_api` in a replica."""

    def __init__(self, settings: str, dispatcher: "DeploymentHandle[Any]") -> None:
        self._settings = ServiceSettings.model_validate_json(settings)
        self._dispatcher = dispatcher
        check_open(self._settings, http_host())

    def __serve_build_asgi_app__(self) -> Any:
        from serve import api, door
        from serve.files import FileStore
        from serve.jobs import JobTable
        from serve.keys import KeyRing

        settings = self._settings
        return api.create_api(
            door.Door(
                settings=settings,
                table=JobTable(settings.database_url),
                files=FileStore(settings.files_root),
                ring=None if settings.keys is None else KeyRing(settings.keys),
                library=settings.library,
                wake=self._wake,
            )
        )

    def _wake(self) -> None:
        self._dispatcher.wake.remote()


def read_settings(arguments: dict[str, Any]) -> ServiceSettings:
    """Settings from `name=value` words or a config file's `args`, paths made absolute: replicas have another working directory.

    Raises:
        RecipeError: a field breaks its rule.
    """
    settings = ServiceSettings.from_values(nested(arguments), "arguments")
    paths = {name: value.absolute() for name in ("data", "keys", "adapters") if (value := getattr(settings, name)) is not None}
    if settings.backbone != EMBEDDED and Path(settings.backbone).is_dir():
        paths["backbone"] = str(Path(settings.backbone).absolute())
    if settings.keys is not None and not settings.keys.is_file():
        raise RecipeError(f"keys = {settings.keys}: no such file; make one with python -m serve.keys add NAME")
    return settings.model_copy(update=paths)


def nested(arguments: dict[str, Any]) -> dict[str, Any]:
    """`{"edit.steps": "8"}` as `{"edit": {"steps": "8"}}`."""
    values: dict[str, Any] = {}
    for name, value in arguments.items():
        *groups, last = name.split(".")
        at = values
        for group in groups:
            at = at.setdefault(group, {})
            if not isinstance(at, dict):
                raise RecipeError(f"arguments: {group} is given as a value and as a group; give one of them")
        at[last] = value
    return values


def check_open(settings: ServiceSettings, host: str) -> None:
    """A service that others can reach has keys.

    Raises:
        SyncLoraError: it would not.
    """
    if settings.keys is None and host not in LOOPBACK:
        raise SyncLoraError(
            f"HTTP would listen on {host} for anybody; give keys=FILE (python -m serve.keys add NAME makes it), or listen on 127.0.0.1"
        )


LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1", ""})


def http_host() -> str:
    """Where Serve's proxies listen; before Serve runs, where they will. Empty when they do not."""
    import ray
    from ray.serve._private.constants import RAY_SERVE_ENABLE_HA_PROXY
    from ray.serve.config import HTTPOptions
    from ray.serve.context import _get_global_client

    if RAY_SERVE_ENABLE_HA_PROXY:
        return "0.0.0.0"
    client = _get_global_client(raise_if_no_controller_running=False) if ray.is_initialized() else None
    options = HTTPOptions() if client is None else client.http_config
    return options.host or ""
