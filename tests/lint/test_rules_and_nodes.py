"""Rules that hold the manifests against nodes: real ones, and objects of other files of the run."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from vllmlint.lint.result import RunResult
from vllmlint.lint.run import RunOptions, run_check
from vllmlint.resources import resource
from vllmlint.sources.files import Input

DEPLOYMENT = resource("rules", "base", "deployment.yaml").read_text("utf-8")
AUTOSCALER = """\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: llama}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: llama}
  maxReplicas: 21
  metrics: []
"""


def node(name: str, gpus: int, product: str, **labels: str) -> dict[str, Any]:
    """A node as `kubectl get nodes -o json` prints it."""
    gpu = {"nvidia.com/gpu.product": product, "nvidia.com/gpu.count": str(gpus)} if gpus else {}
    amounts = {"cpu": "40", "memory": "200Gi", "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **gpu, **labels}},
        "spec": {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}] if gpus else []},
        "status": {"allocatable": {**amounts, **({"nvidia.com/gpu": str(gpus)} if gpus else {})}},
    }


def checked(
    tmp_path: Path, nodes: list[dict[str, Any]], *changes: tuple[str, str], more: str = ""
) -> RunResult:
    """The base manifest with some texts replaced, on real nodes."""
    text = DEPLOYMENT
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (tmp_path / "nodes.json").write_text(json.dumps({"kind": "List", "items": nodes}), "utf-8")
    inputs = [Input(str(tmp_path / "deployment.yaml"), text.encode())]
    if more:
        inputs.append(Input(str(tmp_path / "autoscaler.yaml"), more.encode()))
    options = RunOptions(
        inputs, today=datetime.date(2026, 11, 23), jobs=1, node_files=[str(tmp_path / "nodes.json")]
    )
    return run_check(options)


SELECT_T4 = ("accelerator.platform.example.com/type: nvidia-a100", "nvidia.com/gpu.product: Tesla-T4")
TOLERATE = ("- key: accelerator.platform.example.com/gpu\n", "- key: gpu\n")
AS_TAINTED = ('value: "true"', 'value: "yes"')
T4 = [node("t4", 4, "Tesla-T4"), node("cpu", 0, "")]


def rules(result: RunResult) -> set[str]:
    """The rules that found something."""
    assert not result.internal_errors
    return {one.name for one in result.findings}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ([SELECT_T4, TOLERATE], "gpu-toleration-missing"),
        ([SELECT_T4, TOLERATE, AS_TAINTED, ('cpu: "8"', 'cpu: "41"')], "no-pool-fits"),
        ([TOLERATE, AS_TAINTED], "no-pool-fits"),
        ([SELECT_T4, TOLERATE, AS_TAINTED, ("replicas: 1", "replicas: 5")], "gpu-pool-capacity"),
    ],
)
def test_real_nodes(tmp_path: Path, changes: list[tuple[str, str]], expected: str) -> None:
    about_nodes = {"gpu-toleration-missing", "no-pool-fits", "gpu-pool-capacity"}
    assert rules(checked(tmp_path, T4, *changes)) & about_nodes == {expected}


def test_nodes_that_take_the_pods(tmp_path: Path) -> None:
    found = rules(checked(tmp_path, T4, SELECT_T4, TOLERATE, AS_TAINTED, ("replicas: 1", "replicas: 4")))
    assert not found & {"gpu-toleration-missing", "no-pool-fits", "gpu-pool-capacity"}


def test_a_driver_that_a_node_states(tmp_path: Path) -> None:
    driver = {"nvidia.com/cuda.driver-version.full": "550.90.07", "nvidia.com/cuda.driver.major": "550"}
    old = [node("t4", 4, "Tesla-T4", **driver)]
    assert "cuda-driver-mismatch" in rules(checked(tmp_path, old, SELECT_T4, TOLERATE, AS_TAINTED))
    assert "cuda-driver-mismatch" not in rules(checked(tmp_path, T4, SELECT_T4, TOLERATE, AS_TAINTED))


def test_an_autoscaler_in_another_file(tmp_path: Path) -> None:
    result = checked(tmp_path, T4, SELECT_T4, TOLERATE, AS_TAINTED, more=AUTOSCALER)
    (found,) = [one for one in result.findings if one.name == "autoscaler-max-above-capacity"]
    assert found.spot.file.endswith("autoscaler.yaml")
    assert found.spot.place.text == "21"
