"""What `inspect` says of a server: the shape of the design page, and the facts in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from upgrade_runs import world_of

from vllmlint.contract.settings import Contract, Environment, NodePool
from vllmlint.plans.inspect import inspect_world

#: The keys of the design page; `simulator` was added to it.
SERVER_KEYS = {
    *("file", "document", "object", "container", "simulator", "group", "image", "entrypoint", "model"),
    *("settings", "unknown_flags", "env", "gpu", "node", "parallelism", "probes", "port", "shm_bytes"),
    *("mounts", "replicas", "strategy", "memory"),
}
DEPLOYMENT = """\
apiVersion: v1
kind: Service
metadata: {name: s}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: llama, namespace: llm}
spec:
  replicas: 2
  strategy: {type: Recreate}
  template:
    spec:
      nodeSelector: {gpu: a100}
      containers:
        - name: vllm
          image: vllm/vllm-openai:v0.33.0
          args: [org/m, --revision=abc, -tp=2, "--max-model-len=$(LEN)", --port, "9000", --no-such-flag]
          env:
            - {name: TOKEN, valueFrom: {secretKeyRef: {name: s, key: k}}}
            - {name: LEN, valueFrom: {secretKeyRef: {name: s, key: l}}}
            - {name: HF_HOME, value: /models}
          resources: {limits: {nvidia.com/gpu: 2}}
          startupProbe: {httpGet: {path: /health, port: http}, failureThreshold: 60}
          livenessProbe: {exec: {command: [x]}}
          volumeMounts:
            - {name: shm, mountPath: /dev/shm}
            - {name: gone, mountPath: /a}
      volumes: [{name: shm, emptyDir: {medium: Memory, sizeLimit: 1Gi}}]
"""


A100S = ("40gb-pcie", "40gb-sxm", "80gb-pcie", "80gb-sxm")


def inspected(text: str, contract: Contract | None = None, **options: Any) -> list[dict[str, Any]]:
    """The servers of one file, as JSON gives them."""
    plan = inspect_world(world_of({"m.yaml": text}, contract), **options)
    again = json.loads(json.dumps(plan))
    assert again == plan
    assert set(again) == {"schema_version", "servers"}
    servers: list[dict[str, Any]] = again["servers"]
    return servers


def test_the_shape() -> None:
    (server,) = inspected(DEPLOYMENT)
    assert set(server) == SERVER_KEYS
    assert {
        key: set(server[key]) for key in ("object", "image", "model", "gpu", "node", "parallelism", "probes")
    } == {
        "object": {"apiVersion", "kind", "namespace", "name"},
        "image": {"reference", "tag", "digest", "release", "release_certainty"},
        "model": {"id", "revision", "source"},
        "gpu": {"resource", "count"},
        "node": {"selectors", "candidates"},
        "parallelism": {"tensor", "pipeline", "data", "expert", "world_size"},
        "probes": {"startup", "readiness", "liveness"},
    }
    setting = {"value", "certainty", "reason", "origin", "origin_name", "file", "line", "column"}
    assert all(set(one) == setting for one in server["settings"].values())
    assert set(server["unknown_flags"][0]) == {"flag", "line", "suggestion"}
    assert set(server["probes"]["startup"]) == {"type", "path", "port", "budget_seconds"}
    assert all(set(mount) == {"path", "kind"} for mount in server["mounts"])


def test_the_facts() -> None:
    (server,) = inspected(DEPLOYMENT)
    facts = {key: server[key] for key in ("file", "document", "container", "entrypoint", "port", "replicas")}
    assert facts == {
        "file": "m.yaml",
        "document": 1,
        "container": "vllm",
        "entrypoint": "serve",
        "port": 9000,
        "replicas": 2,
    }
    assert server["object"] == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "namespace": "llm",
        "name": "llama",
    }
    assert server["image"] == {
        "reference": "vllm/vllm-openai:v0.33.0",
        "tag": "v0.33.0",
        "digest": None,
        "release": "0.33.0",
        "release_certainty": "certain",
    }
    assert server["model"] == {"id": "org/m", "revision": "abc", "source": "positional"}
    assert server["gpu"] == {"resource": "nvidia.com/gpu", "count": 2}
    assert server["parallelism"] == {
        "tensor": 2,
        "pipeline": 1,
        "data": 1,
        "expert": False,
        "world_size": 2,
    }
    assert server["probes"] == {
        "startup": {"type": "httpGet", "path": "/health", "port": "http", "budget_seconds": 600},
        "readiness": None,
        "liveness": {"type": "exec", "path": None, "port": None, "budget_seconds": 30},
    }
    assert (server["shm_bytes"], server["strategy"], server["group"]) == (2**30, "Recreate", None)
    assert server["mounts"] == [{"path": "/a", "kind": None}, {"path": "/dev/shm", "kind": "emptyDir"}]
    assert server["env"] == {
        "HF_HOME": {"value": "/models", "source": "value"},
        "LEN": {"value": None, "source": "secret"},
        "TOKEN": {"value": None, "source": "secret"},
    }
    assert server["unknown_flags"][0]["flag"] == "--no-such-flag"
    assert server["unknown_flags"][0]["line"] == 17


def test_settings_have_origin_and_place() -> None:
    (server,) = inspected(DEPLOYMENT)
    settings = server["settings"]
    assert list(settings) == sorted(settings)
    assert settings["tensor_parallel_size"] == {
        "value": 2,
        "certainty": "certain",
        "reason": None,
        "origin": "args",
        "origin_name": "-tp",
        "file": "m.yaml",
        "line": 17,
        "column": 45,
    }
    assert (settings["model"]["value"], settings["model"]["column"]) == ("org/m", 18)
    length = settings["max_model_len"]
    assert (length["value"], length["certainty"]) == (None, "unknown")
    assert length["reason"]
    assert "pipeline_parallel_size" not in settings


def test_defaults_on_demand() -> None:
    (server,) = inspected(DEPLOYMENT, defaults=True)
    default = server["settings"]["pipeline_parallel_size"]
    assert (default["value"], default["origin"], default["origin_name"]) == (1, "default", "vLLM 0.33.0")
    assert (default["file"], default["line"], default["column"]) == (None, None, None)
    assert server["settings"]["tensor_parallel_size"]["origin"] == "args"


def test_pools_that_a_node_selector_allows() -> None:
    pools = {
        "one": NodePool(labels={"gpu": "a100", "zone": "x"}, gpu="nvidia-a100-80gb-sxm"),
        "two": NodePool(labels={"gpu": "l4"}),
        "three": NodePool(labels={"gpu": "a100"}),
    }
    (server,) = inspected(DEPLOYMENT, Contract(node_pools=pools))
    assert server["node"] == {
        "selectors": {"gpu": "a100"},
        "candidates": [
            {"pool": "one", "gpu": "nvidia-a100-80gb-sxm"},
            # its labels leave four cards open
            *({"pool": "three", "gpu": f"nvidia-a100-{card}"} for card in A100S),
        ],
    }
    environments = {"all": Environment(paths=("*.yaml",), node_pools=("three", "two"))}
    (server,) = inspected(DEPLOYMENT, Contract(node_pools=pools, environments=environments))
    assert {one["pool"] for one in server["node"]["candidates"]} == {"three"}


def test_an_environment_that_names_no_pools_allows_all() -> None:
    pools = {"one": NodePool(labels={"gpu": "a100"})}
    environments = {"all": Environment(paths=("*.yaml",))}
    (server,) = inspected(DEPLOYMENT, Contract(node_pools=pools, environments=environments))
    assert {one["pool"] for one in server["node"]["candidates"]} == {"one"}


@pytest.mark.parametrize(("size", "expected"), [("size: 4\n", 4), ("", 1)])
def test_a_group(size: str, expected: int) -> None:
    text = (
        "apiVersion: leaderworkerset.x-k8s.io/v1\nkind: LeaderWorkerSet\nmetadata: {name: big}\n"
        f"spec:\n  leaderWorkerTemplate:\n    {size or 'x: 1'}\n"
        "    workerTemplate:\n      spec:\n        containers:\n"
        "          - {name: w, image: 'vllm/vllm-openai:v0.33.0', args: [m]}\n"
    )
    (server,) = inspected(text)
    assert server["group"] == {"name": "big", "role": "worker", "size": expected}


def test_a_simulator_is_told() -> None:
    text = (
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n"
        "spec: {containers: [{name: s, image: 'ghcr.io/llm-d/llm-d-inference-sim:v1', args: [--model, m]}]}\n"
    )
    assert [one["simulator"] for one in inspected(text)] == [True]


def test_nothing_found() -> None:
    assert inspected("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n") == []
