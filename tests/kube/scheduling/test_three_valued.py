"""What the API server refuses, what platforms add, and what cannot be told (scheduling.md 4.3, 4.4, 5.2)."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import pytest

from vllmlint.kube.node import Node, Taint
from vllmlint.kube.scheduling.admission import refusals
from vllmlint.kube.scheduling.attempt import Attempt
from vllmlint.kube.scheduling.cluster import Cluster, parse_version, read_cluster
from vllmlint.kube.scheduling.kubelet import check_kubelet
from vllmlint.kube.scheduling.read_pod import read_pod
from vllmlint.kube.scheduling.records import Verdict

GPU_TAINT = Taint("nvidia.com/gpu", "present", "NoSchedule")


def pod(spec: dict[str, Any] | None = None, **resources: Any) -> dict[str, Any]:
    """A pod with one container."""
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", **resources}], **(spec or {})}}


def asking(gpus: int) -> dict[str, Any]:
    """A pod that asks for GPUs."""
    return pod(resources={"limits": {"nvidia.com/gpu": gpus}})


def verdict(data: dict[str, Any], node: Node) -> Verdict:
    """The verdict where nothing is known of what runs."""
    return Attempt(read_pod(data), Cluster([node])).verdicts()[0]


@pytest.mark.parametrize(
    ("toleration", "flaw"),
    [
        ({"key": "k", "operator": "Exists", "value": "x"}, "operator Exists takes no value"),
        ({"key": "k", "operator": "Exists", "value": ""}, None),
        ({"operator": "Equal", "value": "x"}, "a toleration without a key needs operator Exists"),
        ({"value": "x"}, "a toleration without a key needs operator Exists"),
        ({"key": "k", "operator": "Like"}, "'Like' is not an operator"),
        ({"key": "k", "effect": "NoRun"}, "'NoRun' is not an effect"),
        (
            {"key": "k", "operator": "Gt", "value": "1"},
            "operator Gt needs the gate TaintTolerationComparisonOperators",
        ),
        (
            {"key": "k", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 5},
            "tolerationSeconds goes with the effect NoExecute only",
        ),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}, None),
        ({"key": "${KEY}", "operator": "Exists", "value": "x"}, None),
    ],
)
def test_tolerations_that_are_refused(toleration: dict[str, Any], flaw: str | None) -> None:
    found = [one.detail for one in refusals(pod({"tolerations": [toleration]}))]
    assert found == ([] if flaw is None else [f"refused by the API server: {flaw}"])


def test_a_comparison_needs_a_whole_number_where_the_gate_is_on() -> None:
    wrong = pod({"tolerations": [{"key": "k", "operator": "Lt", "value": "high"}]})
    right = pod({"tolerations": [{"key": "k", "operator": "Lt", "value": "3"}]})
    assert "needs a whole number" in next(refusals(wrong, comparisons=True)).detail
    assert not list(refusals(right, comparisons=True))


@pytest.mark.parametrize(
    ("resources", "flaw"),
    [
        ({"limits": {"nvidia.com/gpu": 1}}, None),
        ({"requests": {"nvidia.com/gpu": 1}}, "nvidia.com/gpu needs a limit that equals its request"),
        (
            {"requests": {"nvidia.com/gpu": 1}, "limits": {"nvidia.com/gpu": 2}},
            "request and limit of nvidia.com/gpu must be equal",
        ),
        ({"limits": {"nvidia.com/gpu": "500m"}}, "nvidia.com/gpu comes in whole numbers"),
        ({"requests": {"cpu": "500m"}}, None),
        ({"requests": {"hugepages-2Mi": "2Mi"}}, "hugepages-2Mi needs a limit that equals its request"),
        ({"limits": {"nvidia.com/gpu": "{{ .Values.gpus }}"}}, None),
    ],
)
def test_resources_that_are_refused(resources: dict[str, Any], flaw: str | None) -> None:
    found = [one.detail for one in refusals(pod(resources=resources))]
    assert found == ([] if flaw is None else [f"refused by the API server: {flaw}"])


def test_extended_resources_of_the_pod_as_a_whole_are_refused() -> None:
    found = list(refusals(pod({"resources": {"limits": {"nvidia.com/gpu": 1}}})))
    assert [one.route for one in found] == [("spec", "resources", "limits", "nvidia.com/gpu")]


@pytest.mark.parametrize(("added", "answer"), [(True, "yes"), (False, "no"), (None, "unknown")])
def test_a_platform_adds_the_toleration_of_the_resource(added: bool | None, answer: str) -> None:
    node = Node("n", taints=(GPU_TAINT,), allocatable={"nvidia.com/gpu": 8, "pods": 110})
    assert verdict(asking(1), replace(node, extended_resource_toleration=added)).answer == answer


def test_the_platform_adds_it_for_that_resource_and_effect_only() -> None:
    node = Node("n", allocatable={"nvidia.com/gpu": 8, "pods": 110}, extended_resource_toleration=True)
    for taint in (Taint("nvidia.com/gpu", "present", "NoExecute"), Taint("sku", "gpu", "NoSchedule")):
        assert verdict(asking(1), replace(node, taints=(taint,))).answer == "no"
    assert verdict(pod(), replace(node, taints=(GPU_TAINT,))).answer == "no"


def test_what_a_described_node_does_not_say() -> None:
    node = Node(
        "n", {"a": "1"}, labels_complete=False, allocatable_complete=False, absent_labels=frozenset("b")
    )
    assert verdict(pod({"nodeSelector": {"a": "1"}}), node).answer == "yes"
    assert verdict(pod({"nodeSelector": {"a": "2"}}), node).answer == "no"
    assert verdict(pod({"nodeSelector": {"b": "1"}}), node).answer == "no"
    assert verdict(pod({"nodeSelector": {"c": "1"}}), node).answer == "unknown"
    assert verdict(asking(1), node).answer == "unknown"


def test_labels_with_few_possible_values() -> None:
    options = {"gpu": ("NVIDIA-L4", "NVIDIA-L4-SHARED")}
    node = Node("n", allocatable={"pods": 110}, labels_complete=False, label_options=options)
    assert verdict(pod({"nodeSelector": {"gpu": "NVIDIA-L4"}}), node).answer == "unknown"
    assert verdict(pod({"nodeSelector": {"gpu": "Tesla-T4"}}), node).answer == "no"


def test_capacity_is_more_than_pods_get() -> None:
    node = Node("n", allocatable={"memory": 100 * 2**30}, upper_bounds=frozenset({"memory"}))
    for asked, answer in (("60Gi", "yes"), ("99Gi", "unknown"), ("101Gi", "no")):
        data = pod(resources={"requests": {"memory": asked}})
        found = verdict(data, replace(node, allocatable={**node.allocatable, "pods": 110}))
        assert found.answer == answer


def test_pods_that_are_not_known_leave_affinity_open() -> None:
    node = Node("n", {"zone": "a"}, allocatable={"pods": 110})
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "cache"}}}
    required = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    assert verdict(pod({"affinity": {"podAffinity": required}}), node).answer == "unknown"
    assert verdict(pod({"affinity": {"podAntiAffinity": required}}), node).answer == "yes"


def test_devices_that_are_not_known() -> None:
    node = Node("n", allocatable={"pods": 110})
    assert (
        verdict(pod({"resourceClaims": [{"name": "g", "resourceClaimName": "g"}]}), node).answer == "unknown"
    )


def test_a_resource_of_a_third_party_scheduler() -> None:
    node = Node("n", allocatable={"nvidia.com/gpumem": 9, "pods": 110})
    assert verdict(pod(resources={"limits": {"nvidia.com/gpumem": 3}}), node).answer == "unknown"


def test_more_shared_replicas_than_a_container_gets() -> None:
    node = Node("n", allocatable={"nvidia.com/gpu": 4})
    most = {"nvidia.com/gpu": 1}
    (reason,) = check_kubelet(read_pod(asking(2)), node, most)
    assert reason.route == ("spec", "containers", 0, "resources", "limits", "nvidia.com/gpu")
    assert not list(check_kubelet(read_pod(asking(1)), node, most))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("1.36", (1, 36)),
        ("v1.33.2-gke.1240000", (1, 33)),
        ("1.31+", (1, 31)),
        (None, (1, 37)),
        ("x", (1, 37)),
    ],
)
def test_versions(text: str | None, version: tuple[int, int]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize("spelling", ["deviceClasses", "device_classes", "deviceclasses"])
def test_lists_of_a_cluster_in_any_spelling(spelling: str) -> None:
    assert read_cluster({spelling: [{"metadata": {"name": "gpu"}}]}).devices.classes == {
        "gpu": {"metadata": {"name": "gpu"}}
    }


@pytest.mark.parametrize(("slices", "answer"), [(True, "yes"), (False, "unknown")])
def test_device_allocation_before_its_release(slices: bool, answer: str) -> None:
    node = {"metadata": {"name": "n"}, "status": {"allocatable": {"pods": "110"}}}
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    offered = {"driver": "d", "nodeName": "n", "pool": pool, "devices": [{"name": "g", "basic": {}}]}
    request = {"name": "g", "deviceClassName": "any"}
    cluster = read_cluster(
        {
            "version": "1.32",
            "nodes": [node],
            "slices": [{"spec": offered}] if slices else [],
            "deviceClasses": [{"metadata": {"name": "any"}, "spec": {}}],
            "claims": [{"metadata": {"name": "g"}, "spec": {"devices": {"requests": [request]}}}],
        }
    )
    claiming = read_pod(pod({"resourceClaims": [{"name": "g", "resourceClaimName": "g"}]}), cluster.version)
    assert Attempt(claiming, cluster).verdicts()[0].answer == answer


def test_without_the_evaluator_a_selector_cannot_be_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celpy", None)
    pool = {"name": "n", "generation": 1, "resourceSliceCount": 1}
    offered = {"driver": "d", "nodeName": "n", "pool": pool, "devices": [{"name": "g"}]}
    selectors = [{"cel": {"expression": "true"}}]
    request = {"name": "g", "exactly": {"deviceClassName": "any", "selectors": selectors}}
    cluster = read_cluster(
        {
            "nodes": [{"metadata": {"name": "n"}, "status": {"allocatable": {"pods": "110"}}}],
            "slices": [{"spec": offered}],
            "deviceClasses": [{"metadata": {"name": "any"}, "spec": {}}],
            "claims": [{"metadata": {"name": "g"}, "spec": {"devices": {"requests": [request]}}}],
        }
    )
    claiming = read_pod(pod({"resourceClaims": [{"name": "g", "resourceClaimName": "g"}]}), cluster.version)
    (found,) = Attempt(claiming, cluster).verdicts()
    assert found.answer == "unknown"
    assert "pip install cel-python" in found.reasons[0].detail
