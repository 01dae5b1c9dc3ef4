"""What can be known of the cluster files without a cloud: they parse, and they agree with the repository and with each other."""

import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.kuberay.autoscaling_config import _get_custom_resources
from ray.autoscaler._private.util import prepare_config, validate_config

from synclora.curation.recipe import CurateRecipe
from synclora.pairs.diffusion.settings import GenerateSettings, Stage
from synclora.train.loop import check_sharing
from synclora.train.recipe import TrainRecipe

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
KUBERAY = CLUSTER / "kuberay"
CLOUDS = ("aws.yaml", "gcp.yaml")
SERVE_PORT = 8000
"""Serve's own default, and what KubeRay's service leads to."""
JOBS = ("curate", "train")
GiB = 2**30
SCHEDULABLE = 0.7
"""Ray's default: 30 % of a node's memory is its object store, the rest may be promised to tasks and actors."""
NODE_OVERHEAD_BYTES = GiB
"""Raylet and agents of a worker node; three processes of 80-120 MB were seen, the rest is reserve."""
TEXT_ENCODER_BYTES = 10e9
"""T5-XXL, 4.8 billion weights in bf16, the largest thing that passes through a GPU pod's own memory."""
WORKER_BYTES = 3e9
"""A training process: 1.3 GB were seen on a CPU, CUDA's libraries and context come on top."""


def load(path: Path) -> dict[str, Any]:
    (document,) = yaml.safe_load_all(path.read_text())
    return document


def clusters() -> dict[str, dict[str, Any]]:
    """The spec of each Ray cluster among the manifests."""
    return {
        "raycluster": load(KUBERAY / "raycluster.yaml")["spec"],
        "rayjob": load(KUBERAY / "rayjob-curate.yaml")["spec"]["rayClusterSpec"],
        "trainjob": load(KUBERAY / "rayjob-train.yaml")["spec"]["rayClusterSpec"],
        "generatejob": load(KUBERAY / "rayjob-generate.yaml")["spec"]["rayClusterSpec"],
        "rayservice": load(KUBERAY / "rayservice.yaml")["spec"]["rayClusterConfig"],
    }


def pods() -> dict[str, dict[str, Any]]:
    """The pod spec of each head and worker group, by a readable name."""
    found = {}
    for name, spec in clusters().items():
        found[f"{name} head"] = spec["headGroupSpec"]["template"]["spec"]
        found |= {f"{name} {group['groupName']}": group["template"]["spec"] for group in spec["workerGroupSpecs"]}
    return found


PODS = pods()
every_pod = pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())
every_cluster = pytest.mark.parametrize("spec", clusters().values(), ids=clusters().keys())
every_cloud = pytest.mark.parametrize("cloud", CLOUDS)


def gpu_pods() -> dict[str, dict[str, Any]]:
    """The pods that have a card."""
    return {name: pod for name, pod in PODS.items() if gpus(pod)}


def training_pods() -> dict[str, dict[str, Any]]:
    """Those that training runs in, too: all but what generating has for each of its models."""
    return {name: pod for name, pod in gpu_pods().items() if not name.startswith("generatejob")}


def gpus(pod: dict[str, Any]) -> int:
    return int(container(pod)["resources"]["limits"].get("nvidia.com/gpu", 0))


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return only


def size(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(Mi|Gi)", text).groups()
    return int(number) * {"Mi": 2**20, "Gi": GiB}[unit]


def ray_pin() -> str:
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    (pin,) = (re.search(r"==(.+)", line).group(1) for line in dependencies if line.startswith("ray["))
    return pin


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    return load(ROOT / "jobs" / "recipes" / "curate.yaml")["resources"]


@pytest.fixture(scope="module")
def recipe() -> TrainRecipe:
    """What the training job runs."""
    return TrainRecipe.from_yaml(ROOT / option(commands()["trainjob"], "--recipe"))


@pytest.mark.parametrize(
    ("file", "api", "kind"),
    [
        ("raycluster.yaml", "ray.io/v1", "RayCluster"),
        ("rayjob-curate.yaml", "ray.io/v1", "RayJob"),
        ("rayjob-train.yaml", "ray.io/v1", "RayJob"),
        ("rayjob-generate.yaml", "ray.io/v1", "RayJob"),
        ("rayservice.yaml", "ray.io/v1", "RayService"),
        ("storage.yaml", "v1", "PersistentVolumeClaim"),
        ("token-secret.yaml", "v1", "Secret"),
    ],
)
def test_manifest_is_what_its_name_says(file: str, api: str, kind: str) -> None:
    document = load(KUBERAY / file)
    assert (document["apiVersion"], document["kind"]) == (api, kind)
    assert document["metadata"]["name"].startswith("synclora")


def test_no_manifest_is_left_unread() -> None:
    assert {path.name for path in KUBERAY.glob("*.yaml")} == {
        "raycluster.yaml",
        "rayjob-curate.yaml",
        "rayjob-train.yaml",
        "rayjob-generate.yaml",
        "rayservice.yaml",
        "storage.yaml",
        "token-secret.yaml",
    }
    assert {path.name for path in CLUSTER.glob("*.yaml")} == {*CLOUDS, "serve-vms.yaml"}


def commands() -> dict[str, list[str]]:
    """Every `python jobs/….py --…` line that the manifests, the cloud files and the page tell people to run."""
    lines = {
        "rayjob": load(KUBERAY / "rayjob-curate.yaml")["spec"]["entrypoint"],
        "trainjob": load(KUBERAY / "rayjob-train.yaml")["spec"]["entrypoint"],
        "generatejob": load(KUBERAY / "rayjob-generate.yaml")["spec"]["entrypoint"],
    }
    for path in (*(CLUSTER / name for name in CLOUDS), CLUSTER / "README.md"):
        for index, found in enumerate(re.finditer(r"python jobs/\w+\.py (--[^\n`…]+)", path.read_text())):
            lines[f"{path.name} {index}"] = found.group(0)
    return {name: shlex.split(line, comments=True) for name, line in lines.items()}


def option(words: list[str], flag: str) -> str:
    return words[words.index(flag) + 1]


@pytest.mark.parametrize("words", commands().values(), ids=commands().keys())
def test_entry_points_and_recipes_exist(words: list[str]) -> None:
    assert (ROOT / words[1]).is_file()
    recipes = [value for flag, value in pairwise(words) if flag == "--recipe"]
    assert all((ROOT / recipe).is_file() for recipe in recipes)


@pytest.mark.parametrize("job", JOBS)
def test_entry_point_takes_the_flags(job: str) -> None:
    done = subprocess.run([sys.executable, f"jobs/{job}.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    of_this = [words for words in commands().values() if words[1] == f"jobs/{job}.py"]
    flags = {word for words in of_this for word in words if word.startswith("--")}
    assert {"--set" if job == "train" else "--input", "--out", "--recipe"} <= flags
    assert [flag for flag in sorted(flags) if not re.search(rf"{flag}\b", done.stdout)] == []


@pytest.mark.parametrize(
    ("name", "flags"),
    [("rayjob cpu", ("--input", "--out")), ("trainjob gpu", ("--set", "--out")), ("generatejob video", ("--out",))],
)
def test_job_works_on_the_shared_volume(name: str, flags: tuple[str, ...]) -> None:
    words = commands()[name.split()[0]]
    mounts = {mount["mountPath"] for mount in container(PODS[name])["volumeMounts"] if mount["name"] == "data"}
    for path in (option(words, flag) for flag in flags):
        assert Path(path).is_absolute()
        assert any(Path(path).is_relative_to(mount) for mount in mounts)


def test_training_takes_what_curation_left() -> None:
    curated, trained = commands()["rayjob"], commands()["trainjob"]
    assert option(trained, "--set") == option(curated, "--out")
    assert option(trained, "--out") != option(curated, "--out")


@every_pod
def test_pods_share_the_volume(pod: dict[str, Any]) -> None:
    claim = load(KUBERAY / "storage.yaml")
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    (volume,) = (volume for volume in pod["volumes"] if "persistentVolumeClaim" in volume)
    assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert [mount["name"] for mount in container(pod)["volumeMounts"]] == [volume["name"] for volume in pod["volumes"]]


@every_pod
def test_pods_have_the_token(pod: dict[str, Any]) -> None:
    secret = load(KUBERAY / "token-secret.yaml")
    env = {entry["name"]: entry for entry in container(pod)["env"]}
    assert env["RAY_AUTH_MODE"]["value"] == "token"
    reference = env["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert reference["name"] == secret["metadata"]["name"]
    assert reference["key"] in secret["stringData"]


@every_cluster
def test_operator_has_the_token(spec: dict[str, Any]) -> None:
    assert spec["authOptions"] == {"mode": "token", "secretName": load(KUBERAY / "token-secret.yaml")["metadata"]["name"]}


def test_no_secret_is_in_the_files() -> None:
    assert set(load(KUBERAY / "token-secret.yaml")["stringData"].values()) == {""}
    for path in CLUSTER.rglob("*"):
        if path.is_file():
            assert not re.search(r"\b[0-9a-f]{32,}\b", path.read_text()), path


def test_secret_command_of_the_page_makes_that_secret() -> None:
    secret = load(KUBERAY / "token-secret.yaml")
    (key,) = secret["stringData"]
    assert f"create secret generic {secret['metadata']['name']} --from-file={key}=" in (CLUSTER / "README.md").read_text()


@every_pod
def test_pods_run_unprivileged(pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container(pod)["securityContext"]["allowPrivilegeEscalation"] is False


@every_pod
def test_images_are_pinned(pod: dict[str, Any]) -> None:
    assert re.fullmatch(rf"synclora:\d+\.\d+\.\d+-ray{re.escape(ray_pin())}-py311", container(pod)["image"])


def test_ray_is_the_same_everywhere() -> None:
    pin = ray_pin()
    assert {spec["rayVersion"] for spec in clusters().values()} == {pin}
    assert re.search(r"^FROM (\S+)$", (KUBERAY / "Dockerfile").read_text(), re.M).group(1) == f"rayproject/ray:{pin}-py311"
    for cloud in CLOUDS:
        assert set(re.findall(r"rayproject/ray:(\S+)", (CLUSTER / cloud).read_text())) == {f"{pin}-py311", f"{pin}-py311-gpu"}


def test_dockerfile_copies_what_exists_and_ends_unprivileged() -> None:
    text = (KUBERAY / "Dockerfile").read_text()
    copied = [word for line in re.findall(r"^COPY --chown=\S+ (.+) \S+$", text, re.M) for word in line.split()]
    assert {"pyproject.toml", "synclora", "serve", "jobs"} <= set(copied)
    assert text.index("COPY --chown=ray:users serve ") < text.index(
        "RUN pip install"
    )  # Serve imports it from where it is installed
    assert [name for name in copied if not (ROOT / name).exists()] == []
    assert re.findall(r"^USER (\S+)$", text, re.M)[-1] == "ray"
    let_through = {line[1:] for line in (KUBERAY / "Dockerfile.dockerignore").read_text().split() if line.startswith("!")}
    assert let_through == set(copied)


def held(cpus: int, resources: dict[str, Any]) -> int:
    """Landmark actors that a node of so many CPUs holds: one per CPU by default, and never more than their CPUs allow."""
    room = int(cpus / resources["actor_cpus"])
    return min(room, resources["actors"] or cpus)


def fits(actors: float, memory_bytes: float, resources: dict[str, Any]) -> bool:
    return actors * resources["actor_memory_mb"] * 1e6 <= memory_bytes


@every_cluster
def test_workers_hold_their_actors(spec: dict[str, Any], resources: dict[str, Any]) -> None:
    for group in spec["workerGroupSpecs"]:
        asked = container(group["template"]["spec"])["resources"]
        assert asked["requests"] == asked["limits"]  # Ray plans with the limit; a smaller request would be overbooked
        actors = held(int(asked["limits"]["cpu"]), resources)
        assert actors >= 1
        assert fits(actors, SCHEDULABLE * (size(asked["limits"]["memory"]) - NODE_OVERHEAD_BYTES), resources), group["groupName"]
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@every_cluster
def test_curate_finds_the_gpus_it_asks_for(spec: dict[str, Any], resources: dict[str, Any]) -> None:
    gpus = [
        container(group["template"]["spec"])["resources"]["limits"].get("nvidia.com/gpu", "0")
        for group in spec["workerGroupSpecs"]
    ]
    assert max(map(int, gpus)) >= resources["actor_gpus"]


def test_training_job_has_a_gpu_for_every_worker(recipe: TrainRecipe) -> None:
    spec, workers = clusters()["trainjob"], int(option(commands()["trainjob"], "--workers"))
    (group,) = spec["workerGroupSpecs"]
    assert recipe.parallel.gpus_per_worker >= 1
    assert group["replicas"] * gpus(group["template"]["spec"]) == workers * recipe.parallel.gpus_per_worker
    assert group["minReplicas"] == group["replicas"] == group["maxReplicas"]
    assert "enableInTreeAutoscaling" not in spec  # all at once, from the first step to the last
    check_sharing(recipe, workers)


@pytest.mark.parametrize("pod", training_pods().values(), ids=training_pods().keys())
def test_gpu_pods_hold_training(pod: dict[str, Any], recipe: TrainRecipe) -> None:
    count, limits = gpus(pod), container(pod)["resources"]["limits"]
    encoding = recipe.encode_resources.actor_cpus + 1  # its decoder is a process of its own
    assert int(limits["cpu"]) >= count * max(recipe.parallel.cpus_per_worker, encoding)
    memory = size(limits["memory"])
    assert SCHEDULABLE * (memory - NODE_OVERHEAD_BYTES) >= TEXT_ENCODER_BYTES + count * WORKER_BYTES
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]


@pytest.mark.parametrize("pod", gpu_pods().values(), ids=gpu_pods().keys())
def test_shared_memory_holds_the_object_store(pod: dict[str, Any]) -> None:
    (mounted,) = (mount["name"] for mount in container(pod)["volumeMounts"] if mount["mountPath"] == "/dev/shm")
    (volume,) = (volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == mounted)
    assert volume["medium"] == "Memory"
    memory = size(container(pod)["resources"]["limits"]["memory"])
    assert (1 - SCHEDULABLE) * memory <= size(volume["sizeLimit"]) < memory


def test_training_job_and_standing_cluster_have_the_same_gpu_pods() -> None:
    assert gpu_pods()["trainjob gpu"] == gpu_pods()["raycluster gpu"]


@pytest.fixture(scope="module")
def generating() -> CurateRecipe:
    """What the generating job runs."""
    return CurateRecipe.from_yaml(ROOT / option(commands()["generatejob"], "--recipe"))


def groups(name: str) -> dict[str, dict[str, Any]]:
    """The worker groups of a cluster."""
    return {group["groupName"]: group for group in clusters()[name]["workerGroupSpecs"]}


def of_recipe(recipe: CurateRecipe) -> GenerateSettings:
    assert recipe.generate
    return recipe.generate


def test_generating_job_has_a_group_for_every_model(generating: CurateRecipe) -> None:
    """Named by the resource that the pool asks for, in the words that Ray's own autoscaler reads."""
    pools = {stage.value: of_recipe(generating).stage(stage).pool for stage in Stage}
    offered = {
        name: _get_custom_resources(group.get("resources", {}), group["rayStartParams"], name)
        for name, group in groups("generatejob").items()
    }
    assert offered == {"cpu": {}} | {pool.resource: {pool.resource: 1} for pool in pools.values()}
    assert clusters()["generatejob"]["enableInTreeAutoscaling"] is True


@pytest.mark.parametrize("stage", Stage)
def test_generating_groups_hold_their_pools(stage: Stage, generating: CurateRecipe) -> None:
    pool = of_recipe(generating).stage(stage).pool
    group = groups("generatejob")[pool.resource]
    pod = group["template"]["spec"]
    limits = container(pod)["resources"]["limits"]
    actors = int(gpus(pod) / pool.gpus)  # in one pod
    assert actors >= 1
    assert group["maxReplicas"] * actors == pool.max_actors
    assert group["minReplicas"] * actors <= pool.min_actors  # pods go when their model has no work left
    assert int(limits["cpu"]) >= actors * pool.cpus
    assert SCHEDULABLE * (size(limits["memory"]) - NODE_OVERHEAD_BYTES) >= actors * pool.memory_mb * 2**20
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in pod["tolerations"]


def test_generating_job_checks_and_judges_beside_the_cards(generating: CurateRecipe) -> None:
    group = groups("generatejob")["cpu"]
    limits = container(group["template"]["spec"])["resources"]["limits"]
    assert not gpus(group["template"]["spec"])
    judging = generating.resources.actors * generating.resources.actor_cpus
    assert (
        0 < judging + 2 * of_recipe(generating).checks.cpus <= int(limits["cpu"]) * group["minReplicas"]
    )  # the first pod has room for all
    memory = SCHEDULABLE * (size(limits["memory"]) - NODE_OVERHEAD_BYTES)
    assert generating.resources.actors * generating.resources.actor_memory_mb * 2**20 <= memory


def test_generating_pods_may_fetch_gated_weights() -> None:
    """From one secret, which need not be there; the page says how it is made."""
    pods = [pod for name, pod in PODS.items() if name.startswith("generatejob")]
    references = [
        entry["valueFrom"]["secretKeyRef"] for pod in pods for entry in container(pod)["env"] if entry["name"] == "HF_TOKEN"
    ]
    assert references == [{"name": "synclora-hub", "key": "token", "optional": True}] * len(pods)
    assert "create secret generic synclora-hub --from-literal=token=" in (CLUSTER / "README.md").read_text()


@every_cluster
def test_weights_are_fetched_once_for_all_pods(spec: dict[str, Any]) -> None:
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    pods = [group["template"]["spec"] for group in groups]
    caches = [entry["value"] for pod in pods for entry in container(pod)["env"] if entry["name"] == "HF_HOME"]
    assert caches == (["/data/hf"] * len(pods) if any(map(gpus, pods)) else [])


@every_cluster
def test_head_runs_no_actor(spec: dict[str, Any]) -> None:
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


PORTS = {"gcs-server": 6379, "dashboard": 8265, "client": 10001}


@every_cluster
def test_kubernetes_ports(spec: dict[str, Any]) -> None:
    head = spec["headGroupSpec"]
    ports = container(head["template"]["spec"])["ports"]
    serving = {"serve": SERVE_PORT} if spec == clusters()["rayservice"] else {}
    assert {port["name"]: port["containerPort"] for port in ports} == PORTS | serving
    assert head["serviceType"] == "ClusterIP"
    assert "enableIngress" not in head
    for group in spec["workerGroupSpecs"]:
        assert "ports" not in container(group["template"]["spec"])


def test_page_and_local_cluster_use_the_same_ports() -> None:
    page = (CLUSTER / "README.md").read_text()
    assert set(re.findall(r"(?:localhost|127\.0\.0\.1):(\d+)", page)) == {str(PORTS["dashboard"]), str(SERVE_PORT)}
    defaults = re.findall(r"SYNCLORA_(GCS|DASHBOARD|CLIENT)_PORT:-(\d+)", (CLUSTER / "local.sh").read_text())
    assert {name: int(port) for name, port in defaults} == dict(zip(("GCS", "DASHBOARD", "CLIENT"), PORTS.values(), strict=True))


@every_cloud
def test_cloud_file_passes_rays_schema(cloud: str) -> None:
    validate_config(prepare_config(load(CLUSTER / cloud)))


@every_cloud
def test_cloud_workers_hold_their_actors(cloud: str, resources: dict[str, Any]) -> None:
    config = load(CLUSTER / cloud)
    nodes = config["available_node_types"]
    assert nodes[config["head_node_type"]]["resources"] == {"CPU": 0}
    cpu, gpu = nodes["cpu"], nodes["gpu"]
    assert fits(held(cpu["resources"]["CPU"], resources), cpu["resources"]["memory"], resources)
    assert gpu["resources"]["GPU"] >= max(1, resources["actor_gpus"])
    assert gpu["min_workers"] == 0
    assert cpu["max_workers"] + gpu["max_workers"] <= config["max_workers"]


@every_cloud
def test_cloud_gpu_machines_train(cloud: str, recipe: TrainRecipe) -> None:
    config = load(CLUSTER / cloud)
    gpu = config["available_node_types"]["gpu"]
    assert gpu["resources"]["CPU"] >= gpu["resources"]["GPU"] * (recipe.encode_resources.actor_cpus + 1)
    assert gpu["resources"]["memory"] >= TEXT_ENCODER_BYTES + WORKER_BYTES
    check_sharing(recipe, gpu["max_workers"] * gpu["resources"]["GPU"])


@every_cloud
def test_cloud_folders_of_the_commands_are_made(cloud: str) -> None:
    config = load(CLUSTER / cloud)
    (cache,) = (line.removeprefix("-e HF_HOME=") for line in config["docker"]["run_options"] if line.startswith("-e HF_HOME="))
    (line,) = (line for line in config["initialization_commands"] if "chown 1000" in line)
    made, owned = (set(re.findall(r"/data/\w+", part)) for part in line.split("&&"))
    here = (words for name, words in commands().items() if name != "generatejob")  # on Kubernetes alone
    named = {word for words in here for word in words if word.startswith("/data/")}
    assert named | {cache} <= made == owned


@every_cloud
def test_cloud_ports_and_token(cloud: str) -> None:
    config = load(CLUSTER / cloud)
    (head,) = (line for line in config["head_start_ray_commands"] if "ray start" in line)
    (worker,) = (line for line in config["worker_start_ray_commands"] if "ray start" in line)
    for line in (head, worker):
        assert line.startswith("export RAY_AUTH_MODE=token ")
    for flag, port in zip(("port", "dashboard-port", "ray-client-server-port"), PORTS.values(), strict=True):
        assert f"--{flag}={port}" in head
    assert "--dashboard-host=127.0.0.1" in head
    assert f"--address=$RAY_HEAD_IP:{PORTS['gcs-server']}" in worker
    assert config["file_mounts"]["/home/ray/.ray/auth_token"] == "~/.ray/auth_token"


@every_cloud
def test_cloud_file_installs_the_synced_project_and_mounts_storage(cloud: str) -> None:
    config = load(CLUSTER / cloud)
    (synced,) = (remote for remote, local in config["file_mounts"].items() if local == ".")
    assert f"pip install --no-cache-dir {synced}" in config["setup_commands"]
    assert any("mount -t nfs" in line and line.endswith(" /data)") for line in config["initialization_commands"])
    assert "-v /data:/data" in config["docker"]["run_options"]
