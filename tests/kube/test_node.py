"""Nodes from API objects, and what described nodes leave open."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.kube.node import Node, NodeError, Taint, minor_version, node_from_object
from vllmlint.kube.quantity import exact_quantity, parse_quantity

OBJECT: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {"name": "a", "labels": {"kubernetes.io/arch": "amd64", "empty": ""}},
    "spec": {"unschedulable": True, "taints": [{"key": "nvidia.com/gpu", "effect": "NoSchedule"}]},
    "status": {
        "capacity": {"cpu": "48", "nvidia.com/gpu": "8"},
        "allocatable": {"cpu": "47200m", "memory": "177230000Ki", "nvidia.com/gpu": "8"},
        "nodeInfo": {"kubeletVersion": "v1.33.2-gke.1240000"},
    },
}


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The object with one part replaced."""

    def put(part: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
        first, *rest = keys
        return {**part, first: put(part[first], tuple(rest)) if rest else to}

    return put(OBJECT, path)


def test_a_node_is_read_with_allocatable_not_capacity() -> None:
    node = node_from_object(OBJECT)
    assert node.name == "a"
    assert node.labels == {"kubernetes.io/arch": "amd64", "empty": ""}
    assert node.taints == (Taint("nvidia.com/gpu", "", "NoSchedule"),)
    assert node.unschedulable
    assert node.allocatable == {"cpu": Fraction(236, 5), "memory": 177230000 * 1024, "nvidia.com/gpu": 8}
    assert node.kubernetes_version == (1, 33)
    assert not node.upper_bounds


def test_capacity_bounds_a_node_that_reports_no_allocatable() -> None:
    node = node_from_object(changed("status", "allocatable", to={}))
    assert node.allocatable == {"cpu": 48, "nvidia.com/gpu": 8}
    assert node.upper_bounds == {"cpu", "nvidia.com/gpu"}


def test_a_node_without_a_status_leaves_its_resources_open() -> None:
    node = node_from_object({"metadata": {"name": "a"}})
    assert node.allocatable_of("cpu") is None
    assert node.kubernetes_version is None
    assert node.label_values("x") == frozenset({None})


@pytest.mark.parametrize(
    ("obj", "message"),
    [
        ({"kind": "Pod", "metadata": {"name": "a"}}, "not Node"),
        ({"metadata": {}}, "metadata.name is missing"),
        ({"metadata": []}, "metadata is not a mapping"),
        (changed("metadata", "labels", to={"x": True}), "metadata.labels: the value of 'x' is not a text"),
        (changed("status", "allocatable", to={"cpu": "many"}), "status.allocatable: the value of 'cpu'"),
        (changed("status", "allocatable", to={"cpu": True}), "status.allocatable: the value of 'cpu'"),
        (changed("spec", "taints", to={"key": "x"}), "spec.taints is not a list"),
        (changed("spec", "taints", to=["x"]), "spec.taints[0] is not a mapping"),
        (changed("spec", "taints", to=[{"key": "x"}]), "spec.taints[0]: key and effect must be texts"),
        (changed("spec", "unschedulable", to="no"), "spec.unschedulable"),
        (changed("status", "nodeInfo", to=[]), "status.nodeInfo is not a mapping"),
    ],
)
def test_what_is_no_node_says_why(obj: dict[str, Any], message: str) -> None:
    with pytest.raises(NodeError) as error:
        node_from_object(obj)
    assert message in str(error.value)


def test_a_described_node_tells_what_a_label_may_be() -> None:
    node = Node(
        "pool",
        labels={"type": "a100"},
        labels_complete=False,
        label_options={"product": ("x", "y")},
        absent_labels=frozenset({"spot"}),
        varying_labels={"zone": ("a", "b")},
        names=("one", "two"),
    )
    assert node.label_values("type") == frozenset({"a100"})
    assert node.label_values("product") == frozenset({None, "x", "y"})
    assert node.label_values("spot") == frozenset({None})
    assert node.label_values("zone") == frozenset({"a", "b"})
    assert node.label_values("anything") is None


def test_a_described_node_tells_which_resources_it_lacks() -> None:
    node = Node(
        "pool",
        allocatable={"nvidia.com/gpu": 8},
        allocatable_complete=False,
        absent_resources=("nvidia.com/mig-",),
    )
    assert node.allocatable_of("nvidia.com/gpu") == 8
    assert node.allocatable_of("nvidia.com/mig-1g.5gb") == 0
    assert node.allocatable_of("rdma/ib") is None
    assert Node("real").allocatable_of("rdma/ib") == 0


def test_members_have_their_own_names_and_labels() -> None:
    node = Node("one", labels={"x": "1"}, varying_labels={"zone": ("a", "b")}, names=("one", "two"), count=2)
    first, second = node.members()
    assert (first.name, first.labels, first.count) == ("one", {"x": "1", "zone": "a"}, 1)
    assert (second.name, second.labels, second.varying_labels) == ("two", {"x": "1", "zone": "b"}, {})
    assert list(Node("pool").members()) == [Node("pool")]


@pytest.mark.parametrize(
    ("text", "version"),
    [("v1.33.2", (1, 33)), ("1.28", (1, 28)), ("v1.30+", (1, 30)), ("", None), ("v1", None), ("vx.y", None)],
)
def test_minor_versions(text: str, version: tuple[int, int] | None) -> None:
    assert minor_version(text) == version


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100m", Fraction(1, 10)),
        ("2000m", 2),
        ("0.5", Fraction(1, 2)),
        ("1.5Gi", 3 * 2**29),
        ("1e3", 1000),
        ("1e-3", Fraction(1, 1000)),
        ("16Gi", 2**34),
        ("", None),
        ("x", None),
        ("1e999999999", None),
        ("9" * 60, None),
        ("1000000E", 2**63 - 1),
    ],
)
def test_exact_quantities(text: str, value: int | Fraction | None) -> None:
    assert exact_quantity(text) == value


@given(
    st.from_regex(r"\A[0-9]{1,12}(\.[0-9]{1,6})?(m|k|M|G|Ki|Mi|Gi|u|n|e3|E)?\Z"),
)
def test_an_exact_quantity_is_the_rounded_one(text: str) -> None:
    exact, rounded = exact_quantity(text), parse_quantity(text)
    assert exact is not None
    assert rounded is not None
    assert abs(float(exact) - float(rounded)) <= 1e-9 * max(1.0, abs(float(rounded)))
