"""Profiles of real nodes: GPUs, sharing, MIG, platform, and equal nodes as one."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.contract.settings import NodePool
from vllmlint.hardware.pools import pool_profiles
from vllmlint.hardware.profile import GpuFacts, NodeProfile
from vllmlint.hardware.real_nodes import group_nodes, narrowed_by_pools, node_profile, node_profiles
from vllmlint.kube.node import Node
from vllmlint.sources.nodes import read_node_files

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "nodes"


def profiles(name: str) -> dict[str, NodeProfile]:
    """The profiles of a file of nodes, by name."""
    found = node_profiles(read_node_files([str(FIXTURES / f"{name}.yaml")]).nodes, f"{name}.yaml")
    return {profile.name: profile for profile in found}


def gpu(profile: NodeProfile) -> GpuFacts:
    """The GPUs of a profile that has some."""
    assert profile.gpu is not None
    return profile.gpu


def of(labels: dict[str, str], **allocatable: int) -> GpuFacts | None:
    """The GPU facts of one node."""
    amounts = {name.replace("__", "/").replace("_", "."): amount for name, amount in allocatable.items()}
    return node_profile(Node("n", labels=labels, allocatable=amounts)).gpu


def test_a_gke_cluster() -> None:
    found = profiles("gke")
    assert list(found) == ["l4-pool", "l4-pool-2", "default"]
    pool = found["l4-pool"]
    assert (pool.node.count, pool.platform, pool.origin) == (2, "gke", "nodes-file")
    assert pool.node.extended_resource_toleration is True
    assert pool.source == "2 nodes such as gke-main-l4-pool-0a1b2c3d-7xkq of gke.yaml"
    assert [card.id for card in gpu(pool).candidates] == ["nvidia-l4"]
    assert (gpu(pool).devices, gpu(pool).resource, gpu(pool).certainty) == (4, "nvidia.com/gpu", "exact")
    assert found["l4-pool-2"].node.unschedulable
    assert found["default"].gpu is None
    assert found["default"].node.allocatable_of("nvidia.com/gpu") == 0
    assert found["default"].node.kubernetes_version == (1, 33)


def test_an_eks_cluster() -> None:
    found = profiles("eks")
    pool = found["p4de"]
    assert (pool.node.count, pool.platform, pool.node.extended_resource_toleration) == (2, "eks", False)
    assert (gpu(pool).driver, gpu(pool).cuda) == ("570.86.15", "12.8")
    fresh = gpu(found["gpu"])  # labels name the card, nothing is advertised yet
    assert ([card.id for card in fresh.candidates], fresh.devices) == (["nvidia-l40s"], None)


def test_a_vocabulary_of_ones_own_needs_the_contract() -> None:
    found = profiles("custom-labels")
    node = found["gpu-1"]
    assert node.node.count == 3
    assert set(node.node.varying_labels) == {"kubernetes.io/hostname", "platform.example.com/asset"}
    assert (len(gpu(node).candidates), gpu(node).certainty) == (4, "guess")
    labels = {"accelerator.platform.example.com/type": "nvidia-a100"}
    pools = pool_profiles({"a100": NodePool(labels=labels, gpu="nvidia-a100-80gb-sxm", gpus_per_node=8)})
    told = gpu(narrowed_by_pools(node, pools))
    assert ([card.id for card in told.candidates], told.certainty) == (["nvidia-a100-80gb-sxm"], "stated")
    assert told.devices == 8
    other = pool_profiles({"x": NodePool(labels={"a": "b"}, gpu="nvidia-l4"), "y": NodePool(gpu="nvidia-l4")})
    assert narrowed_by_pools(node, other) == node
    assert narrowed_by_pools(found["cpu-1"], pools) == found["cpu-1"]


def test_mig() -> None:
    found = profiles("mig")
    single, mixed, invalid = (gpu(found[name]) for name in ("mig-single", "mig-mixed", "mig-invalid"))
    assert [card.id for card in single.candidates] == ["nvidia-a100-80gb-sxm/3g.40gb"]
    assert (single.mig_strategy, dict(single.mig_profiles)) == ("single", {"3g.40gb": 16})
    assert [card.id for card in mixed.candidates] == ["nvidia-h100-80gb-sxm"]
    assert (mixed.mig_strategy, mixed.devices) == ("mixed", 4)
    assert dict(mixed.mig_profiles) == {"1g.10gb": 14, "3g.40gb": 4}
    (part,) = found["mig-mixed"].gpus_for("nvidia.com/mig-3g.40gb")
    assert (part.id, part.memory_gib) == ("nvidia-h100-80gb-sxm/3g.40gb", 39.5)
    assert (invalid.devices, dict(invalid.mig_profiles)) == (0, {})


def test_sharing() -> None:
    found = profiles("shared")
    sliced, renamed, mps = (gpu(found[name]) for name in ("sliced", "renamed", "mps"))
    assert (sliced.sharing, sliced.replicas, sliced.devices) == ("time-slicing", 4, 2)
    assert (renamed.sharing, renamed.replicas, renamed.devices) == ("time-slicing", 4, 2)
    assert [card.id for card in found["renamed"].gpus_for("nvidia.com/gpu.shared")] == ["nvidia-l4"]
    assert (mps.sharing, mps.replicas, mps.devices) == ("mps", 2, 1)
    (card,) = mps.candidates  # its ECC is off: the label says more than the table
    assert (card.id, card.memory_gib, card.memory_certainty) == ("nvidia-t4", 15.51, "derived")


@pytest.mark.parametrize(
    ("labels", "sharing"),
    [
        ({"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}, "unknown"),
        ({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.replicas": "2"}, "unknown"),
        ({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.replicas": "1"}, "none"),
        ({"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.sharing-strategy": "none"}, "none"),
    ],
)
def test_sharing_without_its_label(labels: dict[str, str], sharing: str) -> None:
    facts = of(labels, nvidia_com__gpu=2)
    assert facts is not None
    assert facts.sharing == sharing


def test_a_node_with_devices_whose_labels_say_nothing() -> None:
    facts = of({}, nvidia_com__gpu=4)
    assert facts is not None
    assert (facts.candidates, facts.certainty, facts.resource, facts.devices) == (
        (),
        "unknown",
        "nvidia.com/gpu",
        4,
    )
    assert of({}, nvidia_com__gpu=0) is None
    assert of({"kubernetes.io/arch": "amd64"}) is None


def test_partitions_of_amd_cards_are_no_cards() -> None:
    labels = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}
    whole, parts = of(labels, amd_com__gpu=8), of(labels, amd_com__gpu=64)
    assert whole is not None
    assert parts is not None
    assert [card.id for card in whole.candidates] == ["amd-mi300x"]
    assert (parts.candidates, parts.certainty, parts.devices) == ((), "unknown", 64)


def test_what_differs_keeps_nodes_apart() -> None:
    base = Node("a", labels={"x": "1", "kubernetes.io/hostname": "a"}, allocatable={"cpu": 8}, names=("a",))
    nodes = [
        base,
        Node("b", labels={"x": "1", "kubernetes.io/hostname": "b"}, allocatable={"cpu": 8}, names=("b",)),
        Node("c", labels={"x": "2", "kubernetes.io/hostname": "c"}, allocatable={"cpu": 8}, names=("c",)),
        Node("d", labels={"x": "1", "kubernetes.io/hostname": "d"}, allocatable={"cpu": 4}, names=("d",)),
    ]
    groups = group_nodes(nodes)
    assert [(one.name, one.count) for one in groups] == [("a", 2), ("c", 1), ("d", 1)]
    assert groups[0].names == ("a", "b")
    assert [one.labels for one in groups[0].members()] == [nodes[0].labels, nodes[1].labels]


def test_labels_with_a_known_meaning_never_vary_within_a_group() -> None:
    cards = ["NVIDIA-L4", "NVIDIA-A10", "Tesla-T4"]
    nodes = [
        Node(f"n{i}", labels={"nvidia.com/gpu.product": one}, names=(f"n{i}",)) for i, one in enumerate(cards)
    ]
    assert len(group_nodes(nodes)) == 3


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("xyz"), st.sampled_from("12"), max_size=3),
            st.integers(1, 2),
            st.booleans(),
        ),
        max_size=8,
    )
)
def test_groups_lose_no_node_and_no_label(rows: list[tuple[dict[str, str], int, bool]]) -> None:
    nodes = [
        Node(
            f"n{i}",
            labels={**labels, "kubernetes.io/hostname": f"n{i}"},
            allocatable={"cpu": cpu},
            unschedulable=off,
            names=(f"n{i}",),
        )
        for i, (labels, cpu, off) in enumerate(rows)
    ]
    members = [member for group in group_nodes(nodes) for member in group.members()]
    expected = {node.name: next(node.members()) for node in nodes}
    assert {member.name: member for member in members} == expected
    assert len(members) == len(nodes)
