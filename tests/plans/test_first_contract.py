"""The first contract that `init` writes is valid and says what the manifests promise."""

from __future__ import annotations

import pytest
from upgrade_runs import world_of

from vllmlint.contract.load import parse_contract
from vllmlint.contract.settings import Contract
from vllmlint.plans.first_contract import first_contract


def pod(name: str, image: str, args: str, spec: str = "", container: str = "") -> str:
    """A Pod with one server."""
    return (
        f"apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n{spec}  containers:\n"
        f"    - {{name: vllm, image: '{image}', args: {args}{container}}}\n"
    )


def contract_of(*texts: str) -> tuple[str, Contract]:
    """The first contract for some files, and what it says."""
    text = first_contract(world_of({f"{number}.yaml": one for number, one in enumerate(texts)}))
    loaded = parse_contract("vllmlint.yaml", text.encode(), lambda _path: None)
    assert loaded.problems == []
    assert loaded.contract is not None
    return text, loaded.contract


def test_without_servers() -> None:
    _, contract = contract_of()
    assert contract.models == ()
    assert contract.images.pin == "release"
    assert "model" in contract.serving.require_explicit


def test_models_and_revisions() -> None:
    text, contract = contract_of(
        pod("a", "vllm/vllm-openai:v0.33.0", "[org/b, --revision=abc]"),
        pod("b", "vllm/vllm-openai:v0.33.0", "[org/b]"),
        pod("c", "vllm/vllm-openai:v0.33.0", "[org/a]"),
        pod("d", "vllm/vllm-openai:v0.33.0", "[/models/x]"),
        pod("e", "vllm/vllm-openai:v0.33.0", "['${MODEL}']"),
    )
    assert [(one.id, one.revision) for one in contract.models] == [("org/a", None), ("org/b", "abc")]
    assert "# revision: <the commit" in text


def test_images() -> None:
    _, contract = contract_of(
        pod("a", "registry.example.com/ai/vllm:stable", "[--model, m]"),
        pod("b", "vllm/vllm-openai:latest", "[m]"),
        pod("c", "r.io/x/vllm:v0.9.0", "[--model, m]"),
        pod("d", "r.io/x/vllm:${TAG}", "[--model, m]"),
    )
    assert set(contract.images.allowed_registries) == {"registry.example.com", "r.io", "docker.io"}
    assert [one.match for one in contract.images.releases] == ["registry.example.com/ai/vllm:stable"]


def test_pools() -> None:
    spec = """\
  nodeSelector: {example.com/gpu: "A100 80GB", on: "true"}
  tolerations:
    - {key: gpu, operator: Equal, value: "true", effect: NoSchedule}
    - {key: other, operator: Exists, effect: NoExecute}
    - {operator: Exists}
"""
    gpu = ", resources: {limits: {nvidia.com/gpu: 1}}"
    _, contract = contract_of(
        pod("a", "vllm/vllm-openai:v0.33.0", "[m]", spec, gpu),
        pod("b", "vllm/vllm-openai:v0.33.0", "[m]", spec, gpu),
        pod("c", "vllm/vllm-openai:v0.33.0", "[m]", "  nodeSelector: {cpu: only}\n"),
        pod("d", "vllm/vllm-openai:v0.33.0", "[m]", "", gpu),
    )
    (pool,) = contract.node_pools.values()
    assert pool.labels == {"example.com/gpu": "A100 80GB", "on": "true"}
    assert [(one.key, one.value, one.effect) for one in pool.taints] == [
        ("gpu", "true", "NoSchedule"),
        ("other", "", "NoExecute"),
    ]


@pytest.mark.parametrize("odd", ['a"b', "a: b", "#x", "- y", "é日本", "a\\b", "yes", "{x}"])
def test_odd_texts_stay_what_they_are(odd: str) -> None:
    quoted = odd.replace("'", "''")
    spec = f"  nodeSelector: {{k: '{quoted}'}}\n"
    _, contract = contract_of(
        pod("a", "vllm/vllm-openai:v0.33.0", "[m]", spec, ", resources: {limits: {nvidia.com/gpu: 1}}")
    )
    (pool,) = contract.node_pools.values()
    assert pool.labels == {"k": odd}


def test_a_simulator_promises_nothing() -> None:
    _, contract = contract_of(pod("a", "ghcr.io/llm-d/llm-d-inference-sim:v1", "[--model, org/m]"))
    assert contract.models == ()
