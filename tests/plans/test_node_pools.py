"""Pools of a contract from real nodes: what comes out says of the nodes what they say themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from upgrade_runs import world_of

from vllmlint.contract.load import parse_contract
from vllmlint.contract.settings import Contract, NodePool, Sharing, Taint
from vllmlint.hardware.pools import pool_profiles
from vllmlint.hardware.profile import NodeProfile
from vllmlint.hardware.real_nodes import node_profiles
from vllmlint.kube.node import Node
from vllmlint.kube.node import Taint as NodeTaint
from vllmlint.plans.first_contract import first_contract
from vllmlint.plans.node_pools import pool_drafts, pools_text
from vllmlint.sources.nodes import read_node_files

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "nodes"
NAMES = sorted(path.stem for path in FIXTURES.glob("*.yaml"))


def profiles(name: str) -> tuple[NodeProfile, ...]:
    """The profiles of a file of nodes."""
    return node_profiles(read_node_files([str(FIXTURES / f"{name}.yaml")]).nodes)


def contract_of(nodes: tuple[NodeProfile, ...]) -> Contract:
    """The first contract for some nodes, read back."""
    text = first_contract(world_of({}), nodes)
    loaded = parse_contract("vllmlint.yaml", text.encode(), lambda _path: None)
    assert loaded.problems == []
    assert loaded.contract is not None
    return loaded.contract


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_says_of_the_nodes_what_they_say_themselves(name: str) -> None:
    nodes = [one for one in profiles(name) if one.gpu is not None]
    pools = {one.name: one for one in pool_profiles(contract_of(profiles(name)).node_pools)}
    drafts = {draft.name: draft for draft in pool_drafts(nodes)}
    assert drafts.keys() == pools.keys()
    assert sum(len(draft.members) for draft in drafts.values()) == len(nodes)
    for pool_name, draft in drafts.items():
        pool = pools[pool_name]
        assert pool.node.count == sum(member.node.count or 1 for member in draft.members)
        for member in draft.members:
            _says_the_same(pool, member)


def _says_the_same(pool: NodeProfile, member: NodeProfile) -> None:
    assert pool.node.labels.items() - {("kubernetes.io/os", "linux")} <= member.node.labels.items()
    assert pool.node.taints == member.node.taints
    assert pool.platform == member.platform
    assert pool.node.kubernetes_version == member.node.kubernetes_version
    assert pool.gpu is not None
    assert member.gpu is not None
    invalid = "INVALID" in member.node.labels.get("nvidia.com/gpu.product", "")
    if not invalid:  # of such nodes the contract says the card only
        assert [card.id for card in pool.gpu.candidates] == [card.id for card in member.gpu.candidates]
        assert pool.gpu.devices == member.gpu.devices
        assert (pool.gpu.sharing, pool.gpu.replicas) == (member.gpu.sharing, member.gpu.replicas)
    for resource, amount in member.node.allocatable.items():
        told = pool.node.allocatable_of(resource)
        if "/" in resource and told is not None and not invalid:
            assert told == amount, resource
        elif told is not None and resource in {"cpu", "memory", "ephemeral-storage"}:
            assert amount * 99 // 100 <= told <= amount, resource


def test_a_pool_of_gke() -> None:
    pool = contract_of(profiles("gke")).node_pools["l4-pool"]
    assert pool == NodePool(
        labels={
            "cloud.google.com/gke-accelerator": "nvidia-l4",
            "cloud.google.com/gke-accelerator-count": "4",
            "cloud.google.com/gke-nodepool": "l4-pool",
            "kubernetes.io/arch": "amd64",
            "node.kubernetes.io/instance-type": "g2-standard-48",
        },
        taints=(Taint("nvidia.com/gpu", "present"),),
        gpu="nvidia-l4",
        gpus_per_node=4,
        nodes=3,  # two zones, one of the nodes cordoned
        cpu="47200m",
        memory="173076Mi",
        ephemeral_storage="369966Mi",
        platform="gke",
        kubernetes="1.33",
    )


def test_slices_and_shares_are_written_as_the_contract_has_them() -> None:
    mig = contract_of(profiles("mig")).node_pools
    single = mig["nvidia-a100-80gb-sxm-3g-40gb"]
    assert (single.gpu, single.gpus_per_node, single.mig, single.mig_strategy) == (
        "nvidia-a100-80gb-sxm",
        8,
        "3g.40gb",
        "single",
    )
    mixed = mig["nvidia-h100-80gb-sxm"]
    assert (mixed.mig, mixed.gpus_per_node) == (None, 4)
    assert mixed.resources == {"nvidia.com/mig-1g.10gb": "14", "nvidia.com/mig-3g.40gb": "4"}
    shared = contract_of(profiles("shared")).node_pools
    assert shared["nvidia-l4-2"].sharing == Sharing("time-slicing", 4, rename_by_default=True)
    assert (shared["nvidia-t4"].sharing, shared["nvidia-t4"].gpu_memory_gib) == (Sharing("mps", 2), 15.51)


def test_a_card_that_no_label_names_is_left_to_a_person() -> None:
    text = pools_text(pool_drafts(profiles("custom-labels")))
    assert "# gpu: one of nvidia-a100-40gb-pcie, nvidia-a100-40gb-sxm," in text
    pool = contract_of(profiles("custom-labels")).node_pools["nvidia-a100"]
    assert (pool.gpu, pool.gpus_per_node, pool.nodes) == (None, 8, 3)
    assert pool.labels == {
        "accelerator.platform.example.com/type": "nvidia-a100",
        "kubernetes.io/arch": "amd64",
    }
    assert pool.resources == {"rdma/ib": "8"}


def test_the_state_of_a_node_is_not_the_pools() -> None:
    taints = (
        NodeTaint("node.kubernetes.io/unschedulable", "", "NoSchedule"),
        NodeTaint("gpu", "yes", "NoExecute"),
    )
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4", "on": "y", "feature.node.kubernetes.io/x": "1"}
    node = Node("n", labels=labels, taints=taints, allocatable={"nvidia.com/gpu": 1}, names=("n",))
    (pool,) = contract_of(node_profiles([node])).node_pools.values()
    assert pool.taints == (Taint("gpu", "yes", "NoExecute"),)
    assert pool.labels == {"nvidia.com/gpu.product": "NVIDIA-L4", "on": "y"}


def test_nodes_without_gpus_make_no_pool() -> None:
    assert pools_text(pool_drafts(node_profiles([Node("n", names=("n",))]))) == ""


def test_a_pool_promises_what_its_smallest_node_has() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    amounts = [{"nvidia.com/gpu": 1, "cpu": cpu, "memory": 2**30 + cpu} for cpu in (16, 8, 12)]
    nodes = [
        Node(name, labels=labels, names=(name,), allocatable=one)
        for name, one in zip("abc", amounts, strict=True)
    ]
    (pool,) = contract_of(node_profiles(nodes)).node_pools.values()
    assert (pool.nodes, pool.cpu, pool.memory) == (3, "8", "1024Mi")


def test_what_the_pool_cannot_name_is_offered_by_its_resource() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-X900-FOO", "kubernetes.io/arch": "amd64"}
    unknown = node_profiles([Node("a", labels, allocatable={"nvidia.com/gpu": 4})], "nodes.json")
    text = pools_text(pool_drafts(unknown))
    assert 'nvidia.com/gpu.product: "NVIDIA-X900-FOO"' in text
    assert "resources: {nvidia.com/gpu: 4}" in text
    guessed = Node("b", {"amd.com/gpu.product-name": "AMD_Instinct_MI300X"}, allocatable={"amd.com/gpu": 8})
    text = pools_text(pool_drafts(node_profiles([guessed], "nodes.json")))
    assert 'amd.com/gpu.product-name: "AMD_Instinct_MI300X"' in text
    assert "# gpu: amd-mi300x  # by the words of a label" in text
    assert "resources" not in text
