"""What pools of a contract say of shares, ambiguous cards and devices, in `place` and `inspect`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from vllmlint.cli.app import app

CONTRACT = """
nodePools:
  any: {labels: {role: any}, gpu: A100, gpusPerNode: 4, nodes: 1}
  small: {labels: {role: small}, gpu: nvidia-a100-40gb-sxm, gpusPerNode: 4, nodes: 1}
  renamed:
    gpu: nvidia-l4
    gpusPerNode: 4
    nodes: 1
    sharing: {strategy: time-slicing, replicas: 2, renameByDefault: true, failRequestsGreaterThanOne: true}
  slices:
    gpu: nvidia-a100-80gb-sxm
    gpusPerNode: 2
    nodes: 1
    mig: 3g.40gb
    migStrategy: mixed
    sharing: {strategy: time-slicing, replicas: 2, failRequestsGreaterThanOne: true}
  web: {gpusPerNode: 0, nodes: 1}
"""
POD = """
apiVersion: v1
kind: Pod
metadata: {name: llama}
spec:
  SELECTOR
  containers:
  - name: vllm
    image: vllm/vllm-openai:v0.11.0
    args: [--model, Qwen/Qwen3-8B]
    resources: {limits: {RESOURCE}}
"""


def run(directory: Path, command: str, resource: str, selector: str = "", fmt: str = "json") -> str:
    """What a command prints of the pod."""
    (directory / ".git").mkdir(exist_ok=True)
    (directory / "vllmlint.yaml").write_text(CONTRACT, "utf-8")
    text = POD.replace("RESOURCE", resource).replace("SELECTOR", selector or "restartPolicy: Always")
    (directory / "pod.yaml").write_text(text, "utf-8")
    arguments = [command, str(directory / "pod.yaml"), "--format", fmt]
    return CliRunner().invoke(app, arguments, catch_exceptions=False).stdout


def pools(directory: Path, resource: str, selector: str = "") -> dict[str, dict[str, Any]]:
    """The verdicts of `place` by pool."""
    servers = json.loads(run(directory, "place", resource, selector))["servers"]
    return {pool["pool"]: pool for pool in servers[0]["pools"]}


@pytest.mark.parametrize(
    ("resource", "pool", "fits"),
    [
        ("nvidia.com/gpu.shared: 1", "renamed", "yes"),
        ("nvidia.com/gpu.shared: 2", "renamed", "no"),
        ("nvidia.com/mig-3g.40gb: 1", "slices", "yes"),
        ("nvidia.com/mig-3g.40gb: 2", "slices", "no"),
    ],
)
def test_a_container_gets_one_share(tmp_path: Path, resource: str, pool: str, fits: str) -> None:
    verdict = pools(tmp_path, resource)[pool]
    assert verdict["fits"] == fits
    assert [one.partition(":")[0] for one in verdict["reasons"]] == (
        [] if fits == "yes" else ["UnexpectedAdmissionError"]
    )


@pytest.mark.parametrize(
    "resource",
    ["nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb.shared", "amd.com/cpx_nps4", "habana.ai/gaudi"],
)
def test_nodes_without_gpus_offer_no_part_of_one(tmp_path: Path, resource: str) -> None:
    found = pools(tmp_path, f"{resource}: 1")
    assert found["web"]["fits"] == "no"
    if not resource.startswith("nvidia.com/"):
        assert found["any"]["fits"] == "no"


def test_a_product_label_narrows_the_cards_of_a_pool(tmp_path: Path) -> None:
    selector = "nodeSelector: {nvidia.com/gpu.product: NVIDIA-A100-SXM4-80GB}"
    found = pools(tmp_path, "nvidia.com/gpu: 1", selector)
    assert (found["any"]["fits"], found["any"]["gpus"]) == ("unknown", ["nvidia-a100-80gb-sxm"])
    assert found["small"]["fits"] == "no"
    assert (
        "the nodes can have nvidia.com/gpu.product=A100-SXM4-40GB, NVIDIA-A100-SXM4-40GB only"
        in (found["small"]["reasons"][0])
    )
    server = json.loads(run(tmp_path, "inspect", "nvidia.com/gpu: 1", selector))["servers"][0]
    assert {"pool": "any", "gpu": "nvidia-a100-80gb-sxm"} in server["node"]["candidates"]
    assert "nvidia-a100-40gb-sxm" not in [one["gpu"] for one in server["node"]["candidates"]]
    assert server["memory"]["gpu"]["id"] == "nvidia-a100-80gb-sxm"


def test_the_text_says_for_which_cards_a_verdict_is(tmp_path: Path) -> None:
    text = run(tmp_path, "place", "nvidia.com/gpu: 1", "nodeSelector: {role: any}", "text")
    joined = " ".join(text.split())
    assert "any (1) fits (nvidia-a100-40gb-pcie or nvidia-a100-40gb-sxm or" in joined
    assert "small (1) does not fit didn't match" in joined
    shown = run(tmp_path, "inspect", "nvidia.com/gpu: 1", "nodeSelector: {role: any}", "text")
    assert "may run on       any (nvidia-a100-40gb-pcie or nvidia-a100-40gb-sxm or" in shown
