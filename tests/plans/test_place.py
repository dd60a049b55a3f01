"""`vllmlint place`: which pools take a server, and every reason against the others."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from vllmlint.cli.app import app

CONTRACT = """
nodePools:
  a100:
    labels: {gpu.example.com/type: nvidia-a100}
    taints: [{key: gpu.example.com/only, value: "true", effect: NoSchedule}]
    gpu: nvidia-a100-80gb-sxm
    gpusPerNode: 8
    nodes: 2
    spareGpus: 0
    cpu: "96"
    memory: 1Ti
  h100:
    labels: {gpu.example.com/type: nvidia-h100}
    gpu: nvidia-h100-80gb-sxm
    gpusPerNode: 8
    cpu: "96"
    memory: 1Ti
  web: {labels: {role: web}, nodes: 3, cpu: "16", memory: 64Gi, gpusPerNode: 0}
"""
SERVER = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama}
spec:
  replicas: REPLICAS
  selector: {matchLabels: {app: llama}}
  template:
    metadata: {labels: {app: llama}}
    spec:
      nodeSelector: {gpu.example.com/type: TYPE}
      TOLERATIONS
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.11.0
        args: [--model, Qwen/Qwen3-8B, --tensor-parallel-size, "GPUS"]
        resources: {limits: {nvidia.com/gpu: GPUS, cpu: 8, memory: 64Gi}}
"""
TOLERATED = 'tolerations: [{key: gpu.example.com/only, operator: Equal, value: "true", effect: NoSchedule}]'


def server(kind: str = "nvidia-a100", gpus: int = 4, replicas: int = 1, tolerations: str = TOLERATED) -> str:
    """The Deployment with its blanks filled in."""
    text = SERVER.replace("TYPE", kind).replace("GPUS", str(gpus)).replace("REPLICAS", str(replicas))
    return text.replace("TOLERATIONS", tolerations or "restartPolicy: Always")


def run(directory: Path, manifest: str, *more: str, contract: str = CONTRACT) -> Result:
    """Place a manifest under a contract, as JSON."""
    (directory / ".git").mkdir(exist_ok=True)
    (directory / "vllmlint.yaml").write_text(contract, "utf-8")
    (directory / "server.yaml").write_text(manifest, "utf-8")
    arguments = ["place", str(directory / "server.yaml"), "--format", "json", *more]
    return CliRunner().invoke(app, arguments, catch_exceptions=False)


def pools(result: Result) -> dict[str, dict[str, Any]]:
    """The pools of the first server by name."""
    return {pool["pool"]: pool for pool in json.loads(result.stdout)["servers"][0]["pools"]}


def test_a_pool_that_takes_the_pod(tmp_path: Path) -> None:
    result = run(tmp_path, server())
    assert result.exit_code == 0
    assert {name: pool["fits"] for name, pool in pools(result).items()} == {
        "a100": "yes",
        "h100": "no",
        "web": "no",
    }


def test_the_toleration_that_nearly_matches_is_pointed_at(tmp_path: Path) -> None:
    manifest = server(tolerations=TOLERATED.replace('"true"', '"yes"'))
    result = run(tmp_path, manifest)
    assert result.exit_code == 1
    pool = pools(result)["a100"]
    assert pool["reasons"] == [
        "had untolerated taint {gpu.example.com/only: true}: toleration has the value 'yes', the taint 'true'"
    ]
    near = pool["details"][0]["near_miss"]
    line = manifest.splitlines()[near["line"] - 1]
    assert line[near["column"] - 1 :].startswith('yes"')


@pytest.mark.parametrize(
    ("toleration", "flaw"),
    [
        (TOLERATED.replace("NoSchedule", "NoExecute"), "has the effect NoExecute, the taint NoSchedule"),
        (TOLERATED.replace("example.com/only", "example.com/onl"), "is for 'gpu.example.com/onl'"),
        (TOLERATED.replace(', value: "true"', ""), "has no value, the taint 'true'"),
    ],
)
def test_other_near_misses(tmp_path: Path, toleration: str, flaw: str) -> None:
    pool = pools(run(tmp_path, server(tolerations=toleration)))["a100"]
    assert flaw in pool["details"][0]["near_miss"]["flaw"]


def test_every_reason_is_given_with_its_place(tmp_path: Path) -> None:
    manifest = server(gpus=16, tolerations="")
    result = run(tmp_path, manifest)
    assert result.exit_code == 1
    found = pools(result)["a100"]["details"]
    assert [one["message"] for one in found] == [
        "node(s) had untolerated taint(s)",
        "Insufficient nvidia.com/gpu",
    ]
    line = manifest.splitlines()[found[1]["line"] - 1]
    assert line[found[1]["column"] - 1 :].startswith("16,")
    assert found[1]["node_fact"] == "nvidia.com/gpu: 8 allocatable"


def test_replicas_beyond_the_nodes_of_the_pool(tmp_path: Path) -> None:
    result = run(tmp_path, server(gpus=8, replicas=3))
    assert result.exit_code == 1
    rooms = {one["kind"]: one for one in json.loads(result.stdout)["servers"][0]["capacity"]}
    assert (rooms["replicas"]["pods"], rooms["replicas"]["room"], rooms["replicas"]["fits"]) == (3, 2, "no")


def test_surge_needs_spare_gpus(tmp_path: Path) -> None:
    result = run(tmp_path, server(gpus=8, replicas=2))
    assert result.exit_code == 0
    rooms = {one["kind"]: one for one in json.loads(result.stdout)["servers"][0]["capacity"]}
    assert rooms["replicas"]["fits"] == "yes"
    assert (rooms["surge"]["pods"], rooms["surge"]["room"], rooms["surge"]["fits"]) == (3, 2, "no")


def test_the_maximum_of_an_autoscaler(tmp_path: Path) -> None:
    scaler = """
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: llama}
spec: {scaleTargetRef: {kind: Deployment, name: llama}, minReplicas: 1, maxReplicas: 9}
"""
    result = run(tmp_path, server(gpus=8) + scaler)
    rooms = {one["kind"]: one for one in json.loads(result.stdout)["servers"][0]["capacity"]}
    assert (rooms["autoscaler"]["pods"], rooms["autoscaler"]["room"]) == (9, 2)


def test_a_group_counts_as_a_whole(tmp_path: Path) -> None:
    manifest = """
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {name: big}
spec:
  replicas: 1
  leaderWorkerTemplate:
    size: 3
    workerTemplate:
      spec:
        nodeSelector: {gpu.example.com/type: nvidia-a100}
        tolerations: [{key: gpu.example.com/only, operator: Exists}]
        containers:
        - name: vllm
          image: vllm/vllm-openai:v0.11.0
          args: [--model, Qwen/Qwen3-8B, --tensor-parallel-size, "8", --pipeline-parallel-size, "3"]
          resources: {limits: {nvidia.com/gpu: 8}}
"""
    result = run(tmp_path, manifest)
    assert result.exit_code == 1
    rooms = {one["kind"]: one for one in json.loads(result.stdout)["servers"][0]["capacity"]}
    assert (rooms["group"]["pods"], rooms["group"]["room"], rooms["group"]["fits"]) == (3, 2, "no")


def test_a_leader_and_its_workers_share_a_group(tmp_path: Path) -> None:
    template = """
      spec:
        nodeSelector: {gpu.example.com/type: nvidia-a100}
        tolerations: [{key: gpu.example.com/only, operator: Exists}]
        containers:
        - name: vllm
          image: vllm/vllm-openai:v0.11.0
          args: [--model, Qwen/Qwen3-8B, --tensor-parallel-size, "8", --pipeline-parallel-size, "2"]
          resources: {limits: {nvidia.com/gpu: 8}}"""
    manifest = f"""
apiVersion: leaderworkerset.x-k8s.io/v1
kind: LeaderWorkerSet
metadata: {{name: big}}
spec:
  replicas: 1
  leaderWorkerTemplate:
    size: 2
    leaderTemplate: {template}
    workerTemplate: {template}
"""
    result = run(tmp_path, manifest)
    assert result.exit_code == 0
    servers = json.loads(result.stdout)["servers"]
    assert [(one["role"], one["capacity"][0]["pods"]) for one in servers] == [("leader", 1), ("worker", 1)]


@pytest.mark.parametrize(
    ("workers", "autoscaled", "expected"),
    [
        ("replicas: 3", "", (4, 2, "no")),
        ("replicas: 1", "", (2, 2, "yes")),
        ("replicas: 1\n    numOfHosts: 2", "", (3, 2, "no")),
        ("replicas: 3", "enableInTreeAutoscaling: true", None),
        ("minReplicas: 3", "", None),
    ],
)
def test_a_ray_cluster_counts_as_a_whole(
    tmp_path: Path, workers: str, autoscaled: str, expected: tuple[int, int, str] | None
) -> None:
    serve = "[vllm, serve, Qwen/Qwen3-8B, --distributed-executor-backend, ray]"
    template = f"""
      spec:
        nodeSelector: {{gpu.example.com/type: nvidia-a100}}
        tolerations: [{{key: gpu.example.com/only, operator: Exists}}]
        containers:
        - name: ray
          image: vllm/vllm-openai:v0.20.0
          command: {serve}
          resources: {{limits: {{nvidia.com/gpu: 8}}}}"""
    manifest = f"""
apiVersion: ray.io/v1
kind: RayCluster
metadata: {{name: big}}
spec:
  {autoscaled or "rayVersion: 2.46.0"}
  headGroupSpec:
    template: {template}
  workerGroupSpecs:
  - groupName: workers
    {workers}
    template: {template.replace(serve, "[ray, start]")}
"""
    result = run(tmp_path, manifest)
    (head, *_) = json.loads(result.stdout)["servers"]
    rooms = [(one["pods"], one["room"], one["fits"]) for one in head["capacity"] if one["kind"] == "group"]
    assert rooms == ([expected] if expected is not None else [])
    assert result.exit_code == (1 if expected is not None and expected[2] == "no" else 0)


def test_what_a_pool_does_not_say_is_not_known(tmp_path: Path) -> None:
    contract = CONTRACT.replace('    cpu: "96"\n', "")
    pool = pools(run(tmp_path, server(), contract=contract))["a100"]
    assert pool["fits"] == "unknown"
    assert pool["reasons"] == ["cannot tell: how much cpu the nodes offer is not known"]


def test_a_placeholder_leaves_the_question_open(tmp_path: Path) -> None:
    found = pools(run(tmp_path, server(kind='"${GPU_TYPE}"')))
    assert {name: pool["fits"] for name, pool in found.items()}["a100"] == "unknown"


def test_a_refused_pod_has_no_place(tmp_path: Path) -> None:
    wrong = TOLERATED.replace("Equal", "Exists")
    result = run(tmp_path, server(tolerations=wrong))
    assert result.exit_code == 1
    refused = json.loads(result.stdout)["servers"][0]["refused"]
    assert [one["detail"] for one in refused] == ["refused by the API server: operator Exists takes no value"]


def node_list(*nodes: dict[str, Any], more: tuple[dict[str, Any], ...] = ()) -> str:
    """A file as kubectl prints it."""
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": [*nodes, *more]})


def real_node(name: str, labels: dict[str, str], gpus: int) -> dict[str, Any]:
    """A node with GPUs."""
    offers = {"cpu": "95", "memory": "1000Gi", "ephemeral-storage": "1000Gi", "pods": "110"}
    if gpus:
        offers["nvidia.com/gpu"] = str(gpus)
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "spec": {},
        "status": {"allocatable": offers},
    }


def test_real_nodes_are_asked_before_the_contract(tmp_path: Path) -> None:
    labels = {"gpu.example.com/type": "nvidia-a100"}
    nodes = tmp_path / "nodes.json"
    nodes.write_text(node_list(*(real_node(f"n{i}", labels, 4) for i in range(3))), "utf-8")
    result = run(tmp_path, server(gpus=8), "--nodes", str(nodes))
    assert result.exit_code == 1
    found = json.loads(result.stdout)["servers"][0]
    assert found["nodes_from"] == "nodes-file"
    assert [(pool["nodes"], pool["fits"]) for pool in found["pools"]] == [(3, "no")]
    assert run(tmp_path, server(gpus=4), "--nodes", str(nodes)).exit_code == 0


def test_pods_in_the_file_of_nodes_use_resources_up(tmp_path: Path) -> None:
    labels = {"gpu.example.com/type": "nvidia-a100"}
    running = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "x"},
        "spec": {
            "nodeName": "n0",
            "containers": [{"name": "c", "resources": {"limits": {"nvidia.com/gpu": "6"}}}],
        },
    }
    nodes = tmp_path / "nodes.json"
    nodes.write_text(node_list(real_node("n0", labels, 8), more=(running,)), "utf-8")
    result = run(tmp_path, server(gpus=4), "--nodes", str(nodes))
    reasons = json.loads(result.stdout)["servers"][0]["pools"][0]["reasons"]
    assert reasons == ["Insufficient nvidia.com/gpu: asks for 4, 2 of 8 are free"]


def test_a_host_name_tells_equal_nodes_apart(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.json"
    nodes.write_text(node_list(*(real_node(f"n{i}", {}, 8) for i in range(3))), "utf-8")
    manifest = server().replace("gpu.example.com/type: nvidia-a100", "kubernetes.io/hostname: n1")
    assert run(tmp_path, manifest, "--nodes", str(nodes)).exit_code == 0
    assert run(tmp_path, manifest.replace("n1", "n7"), "--nodes", str(nodes)).exit_code == 1


def test_the_machines_that_a_selector_names(tmp_path: Path) -> None:
    manifest = server(gpus=2, tolerations="").replace(
        "gpu.example.com/type: nvidia-a100", "cloud.google.com/gke-accelerator: nvidia-l4"
    )
    result = run(tmp_path, manifest, contract="vllm: {release: 0.33.0}\n")
    found = json.loads(result.stdout)["servers"][0]
    assert (found["nodes_from"], found["fits"]) == ("platform", "yes")
    fits = {pool["pool"]: pool["fits"] for pool in found["pools"]}
    assert fits["g2-standard-24"] == "yes"
    assert fits["g2-standard-8"] == "no"


def test_nothing_is_known_of_the_nodes(tmp_path: Path) -> None:
    result = run(tmp_path, server(), contract="vllm: {release: 0.33.0}\n")
    found = json.loads(result.stdout)["servers"][0]
    assert (found["nodes_from"], found["fits"], found["pools"]) == ("nothing", "unknown", [])
    assert result.exit_code == 0


def test_a_controller_may_add_what_the_manifest_leaves_out(tmp_path: Path) -> None:
    manifest = server(tolerations="").replace(
        "metadata: {name: llama}\n", "metadata: {name: llama, labels: {kueue.x-k8s.io/queue-name: q}}\n"
    )
    assert pools(run(tmp_path, manifest))["a100"]["fits"] == "unknown"


def test_text(tmp_path: Path) -> None:
    run(tmp_path, server(gpus=16))
    result = CliRunner().invoke(app, ["place", str(tmp_path / "server.yaml")], env={"COLUMNS": "200"})
    assert result.exit_code == 1
    assert "does not fit; nodes from: the contract's node pools" in result.stdout
    assert "Insufficient nvidia.com/gpu: asks for 16, the node has 8 in all [line 17]" in result.stdout


def test_wrong_usage(tmp_path: Path) -> None:
    assert run(tmp_path, server(), "--format", "yaml").exit_code == 2
    assert run(tmp_path, server(), "--nodes", str(tmp_path / "none.json")).exit_code == 2


def test_claims_of_the_run_are_joined(tmp_path: Path) -> None:
    manifest = textwrap.dedent(
        """
        apiVersion: resource.k8s.io/v1
        kind: ResourceClaimTemplate
        metadata: {name: gpus}
        spec: {spec: {devices: {requests: [{name: g, exactly: {deviceClassName: gpu.nvidia.com, count: 2}}]}}}
        ---
        apiVersion: v1
        kind: Pod
        metadata: {name: llama}
        spec:
          resourceClaims: [{name: gpu, resourceClaimTemplateName: gpus}]
          containers:
          - name: vllm
            image: vllm/vllm-openai:v0.11.0
            args: [--model, Qwen/Qwen3-8B]
            resources: {claims: [{name: gpu}]}
        """
    )
    slices = [
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceSlice",
            "metadata": {"name": f"s{count}"},
            "spec": {
                "driver": "gpu.nvidia.com",
                "nodeName": f"n{count}",
                "pool": {"name": f"n{count}", "generation": 1, "resourceSliceCount": 1},
                "devices": [{"name": f"gpu-{i}"} for i in range(count)],
            },
        }
        for count in (1, 2)
    ]
    kind = {"apiVersion": "resource.k8s.io/v1", "kind": "DeviceClass", "metadata": {"name": "gpu.nvidia.com"}}
    nodes = tmp_path / "nodes.json"
    real = [real_node("n1", {}, 0), real_node("n2", {}, 0)]
    nodes.write_text(node_list(*real, more=(*slices, {**kind, "spec": {}})), "utf-8")
    found = pools(run(tmp_path, manifest, "--nodes", str(nodes)))
    assert {name: pool["fits"] for name, pool in found.items()} == {"n1": "no", "n2": "yes"}
    assert found["n1"]["reasons"][0].startswith("cannot allocate all claims")
    # without slices nothing is known of devices
    nodes.write_text(node_list(*real), "utf-8")
    assert {one["fits"] for one in pools(run(tmp_path, manifest, "--nodes", str(nodes))).values()} == {
        "unknown"
    }


@pytest.mark.parametrize(
    ("memory", "fits", "members"), [("99Gi", "yes", None), ("104857590Ki", "yes", 1), ("101Gi", "no", None)]
)
def test_nodes_that_differ_by_some_kib_are_one_kind(
    tmp_path: Path, memory: str, fits: str, members: int | None
) -> None:
    def node(name: str, kib: int) -> dict[str, Any]:
        offers = {"cpu": "8", "memory": f"{kib}Ki", "pods": "110", "nvidia.com/gpu": "1"}
        return {"kind": "Node", "metadata": {"name": name}, "status": {"allocatable": offers}}

    nodes = tmp_path / "nodes.json"
    listed = [node("a", 100 * 2**20), node("b", 100 * 2**20 - 40), node("c", 100 * 2**20 - 400)]
    nodes.write_text(json.dumps({"kind": "List", "items": listed}), "utf-8")
    manifest = server(gpus=1).replace("memory: 64Gi", f"memory: {memory}")
    manifest = manifest.replace("nodeSelector: {gpu.example.com/type: nvidia-a100}", "hostNetwork: false")
    found = pools(run(tmp_path, manifest, "--nodes", str(nodes)))
    assert [(pool["fits"], pool["nodes"]) for pool in found.values()] == [(fits, 3)]
    plan = json.loads(
        run(tmp_path, manifest.replace("replicas: 1", "replicas: 2"), "--nodes", str(nodes)).stdout
    )
    room = plan["servers"][0]["capacity"]
    assert [one["room"] for one in room[:1]] == ([] if fits == "no" else [members or 3])
