"""The files that serve on a cluster: Serve takes them, the service's settings know their arguments, and what they promise each other holds."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from serve.app import LAST_STEP_S, nested
from serve.database import Database, TableError
from serve.replica import Editor
from serve.settings import ServiceSettings
from tests.cluster.test_manifests import CLUSTER, KUBERAY, SERVE_PORT, container, gpus, load, size

ROOT = Path(__file__).parents[2]
T5_BYTES = 10e9
"""The text encoder of the 2B model in bf16."""


def service() -> dict[str, Any]:
    return load(KUBERAY / "rayservice.yaml")["spec"]


CONFIGS = {
    "vms": yaml.safe_load((CLUSTER / "serve-vms.yaml").read_text()),
    "kuberay": yaml.safe_load(service()["serveConfigV2"]),
    "one machine": yaml.safe_load((ROOT / "serve" / "config.yaml").read_text()),
}
OPEN = {name: CONFIGS[name] for name in ("vms", "kuberay")}
every_config = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
every_open = pytest.mark.parametrize("config", OPEN.values(), ids=OPEN.keys())


def application(config: dict[str, Any]) -> dict[str, Any]:
    (only,) = config["applications"]
    return only


def settings(config: dict[str, Any]) -> ServiceSettings:
    return ServiceSettings.from_values(nested(application(config)["args"]), "args")


@every_config
def test_serve_and_the_service_take_the_file(config: dict[str, Any]) -> None:
    parsed = ServeDeploySchema.model_validate(config)
    assert [one.import_path for one in parsed.applications] == ["serve.app:app"]
    assert parsed.http_options.port == SERVE_PORT
    settings(config)


@every_open
def test_open_service_has_keys_and_what_all_machines_share(config: dict[str, Any]) -> None:
    asked = settings(config)
    assert config["http_options"]["host"] == "0.0.0.0"
    assert asked.keys is not None
    assert asked.keys.is_absolute()
    assert asked.data.is_relative_to("/data")
    assert asked.database.startswith("postgresql+psycopg://")
    assert "password" not in json.dumps(config).lower()
    assert ":" not in asked.database.removeprefix("postgresql+psycopg://")  # user:password


def test_kubernetes_has_a_pod_for_every_editor() -> None:
    asked, groups = settings(CONFIGS["kuberay"]), service()["rayClusterConfig"]["workerGroupSpecs"]
    (gpu,) = (group for group in groups if gpus(group["template"]["spec"]))
    limits = container(gpu["template"]["spec"])["resources"]["limits"]
    assert asked.max_replicas * asked.editor_gpus == gpu["maxReplicas"] * int(limits["nvidia.com/gpu"])
    assert asked.editor_cpus <= int(limits["cpu"])
    assert gpu["minReplicas"] == 0 == asked.min_replicas
    (cpu,) = (group for group in groups if group is not gpu)
    assert cpu["minReplicas"] >= 1  # the doors, without an editor, stay
    assert 0.7 * size(container(cpu["template"]["spec"])["resources"]["limits"]["memory"]) > T5_BYTES


@pytest.mark.parametrize("cloud", ["aws.yaml", "gcp.yaml"])
def test_cloud_has_a_machine_for_every_editor(cloud: str) -> None:
    asked, gpu = settings(CONFIGS["vms"]), load(CLUSTER / cloud)["available_node_types"]["gpu"]
    assert asked.max_replicas * asked.editor_gpus <= gpu["max_workers"] * gpu["resources"]["GPU"]
    assert asked.editor_cpus <= gpu["resources"]["CPU"]
    made = next(line for line in load(CLUSTER / cloud)["initialization_commands"] if "chown 1000" in line)
    assert made.count(f" {asked.data}") == 2  # made and owned


def test_old_cluster_stays_until_its_editors_have_drained() -> None:
    assert service()["rayClusterDeletionDelaySeconds"] >= settings(CONFIGS["kuberay"]).drain_s + LAST_STEP_S


def test_every_pod_has_the_database_and_the_keys() -> None:
    spec, asked = service()["rayClusterConfig"], settings(CONFIGS["kuberay"])
    page = (CLUSTER / "README.md").read_text()
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (source,) = container(pod)["envFrom"]
        assert f"create secret generic {source['secretRef']['name']} --from-literal=PGHOST=" in page
        (keys,) = (volume["secret"]["secretName"] for volume in pod["volumes"] if "secret" in volume)
        assert f"create secret generic {keys} --from-file={asked.keys.name}" in page
        (mount,) = (mount["mountPath"] for mount in container(pod)["volumeMounts"] if mount["name"] == "keys")
        assert asked.keys.parent == Path(mount)
        assert any(asked.data.is_relative_to(mount["mountPath"]) for mount in container(pod)["volumeMounts"])


def test_an_empty_url_is_filled_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What rayservice.yaml relies on: libpq looks for the server where the secret says. There is none here, and it says where it looked."""
    for name, value in {"PGHOST": "127.0.0.1", "PGPORT": "1", "PGUSER": "anna", "PGDATABASE": "edits"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(TableError, match=r"127\.0\.0\.1.*port 1 failed"):
        Database(settings(CONFIGS["kuberay"]).database, patience_s=0.0)


def board() -> dict[str, Any]:
    return json.loads((CLUSTER / "grafana.json").read_text())


def asked_metrics() -> set[str]:
    text = " ".join(target["expr"] for panel in board()["panels"] for target in panel["targets"])
    return set(re.findall(r"\b(?:ray_)?(?:synclora|serve)_\w+", text))


def strings(path: Path) -> list[str]:
    tree = ast.parse(path.read_text())
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def of_the_service() -> set[str]:
    """What its doors and editors count, as Prometheus sees it: counters end in _total, histograms in _bucket, Ray puts ray_ before its own."""
    door = {name for name in strings(ROOT / "serve" / "metrics.py") if name.startswith("synclora_") and name.isidentifier()}
    editor = {name for name in strings(ROOT / "serve" / "replica.py") if name.startswith("synclora_") and name.isidentifier()}
    names = door | {f"ray_{name}" for name in editor}
    return names | {name + ending for name in names for ending in ("_total", "_bucket")}


def of_ray() -> set[str]:
    """What Ray's own code names in Serve."""
    import ray.serve

    private = Path(ray.serve.__file__).parent / "_private"
    text = "".join((private / name).read_text() for name in ("deployment_state.py", "request_ingress_metrics.py"))
    names = {f"ray_{name}" for name in re.findall(r'"(serve_\w+)"', text.replace("{protocol_name}", "http"))}
    return names | {f"{name}_total" for name in names}


def test_dashboard_asks_for_what_is_counted() -> None:
    asked = asked_metrics()
    assert asked - of_the_service() - of_ray() == set()
    wanted = {
        "queue_length",
        "queue_oldest",
        "replica_healthy",
        "step_seconds",
        "sync_score",
        "synclora_jobs",
        "429",
        "edits_refused",
    }
    everything = json.dumps(board())
    assert [word for word in wanted if word not in everything] == []


def test_dashboard_counts_the_deployment_of_that_name() -> None:
    named = set(
        re.findall(r'deployment="(\w+)"', " ".join(target["expr"] for panel in board()["panels"] for target in panel["targets"]))
    )
    assert named == {Editor.__name__}


def test_dashboard_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in board()["panels"]:
        at = panel["gridPos"]
        own = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not own & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= own
    assert len({panel["id"] for panel in board()["panels"]}) == len(board()["panels"])


def test_service_settings_named_on_the_page_exist() -> None:
    page = (CLUSTER / "README.md").read_text().split("## Serving")[1].split("## When")[0]
    named = set(re.findall(r"`(?:args\.)?(\w+)(?:: \d+)?`", page)) & set(re.findall(r"\b[a-z]+_[a-z_]+\b", page))
    known = set(ServiceSettings.model_fields) | {"max_workers", "max_connections"}
    assert {"min_replicas", "max_queued", "keep_s", "drain_s", "idle_s", "editor_gpus"} <= named
    assert named - known == set()
