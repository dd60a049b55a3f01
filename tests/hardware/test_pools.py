"""Node profiles from a contract's pools."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.contract.settings import NodePool, Sharing, Taint
from vllmlint.hardware.pools import pool_profile, pool_profiles
from vllmlint.hardware.profile import GpuFacts, NodeProfile

A100S = ["nvidia-a100-40gb-pcie", "nvidia-a100-40gb-sxm", "nvidia-a100-80gb-pcie", "nvidia-a100-80gb-sxm"]


def profile(**settings: Any) -> NodeProfile:
    """The profile of one pool."""
    return pool_profile("pool", NodePool(**settings))


def gpu(**settings: Any) -> GpuFacts:
    """The GPUs of one pool."""
    found = profile(**settings).gpu
    assert found is not None
    return found


def test_a_pool_as_the_design_page_has_it() -> None:
    made = profile(
        labels={"accelerator.platform.example.com/type": "nvidia-a100"},
        taints=(Taint("accelerator.platform.example.com/gpu", "true"),),
        gpu="nvidia-a100-80gb-sxm",
        gpus_per_node=8,
        nodes=4,
        spare_gpus=8,
        cpu="96",
        memory="1Ti",
        ephemeral_storage="2Ti",
        driver="550.90.07",
        kubernetes="1.34",
    )
    node = made.node
    assert (made.name, made.origin, made.spare_gpus, node.count) == ("pool", "contract", 8, 4)
    assert [str(taint) for taint in node.taints] == ["accelerator.platform.example.com/gpu=true:NoSchedule"]
    assert node.allocatable_of("nvidia.com/gpu") == 8
    assert node.allocatable_of("cpu") == 96
    assert node.allocatable_of("memory") == 2**40
    assert node.upper_bounds == {"cpu", "memory", "ephemeral-storage"}
    assert node.kubernetes_version == (1, 34)
    assert made.gpu is not None
    assert made.gpu.one is not None
    assert (made.gpu.one.id, made.gpu.one.memory_gib, made.gpu.certainty) == (
        "nvidia-a100-80gb-sxm",
        79.25,
        "stated",
    )
    assert (made.gpu.driver, made.gpu.devices, made.gpu.mig_strategy) == ("550.90.07", 8, "none")
    assert made.gpus_for("nvidia.com/gpu") == made.gpu.candidates


def test_what_such_nodes_surely_lack_and_what_cannot_be_told() -> None:
    node = profile(gpu="nvidia-l4", gpus_per_node=4).node
    for resource in ("amd.com/gpu", "google.com/tpu", "nvidia.com/gpu.shared", "nvidia.com/mig-1g.5gb"):
        assert node.allocatable_of(resource) == 0, resource
    for resource in ("cpu", "memory", "rdma/ib", "nvidia.com/gpumem"):
        assert node.allocatable_of(resource) is None, resource
    assert profile(gpu="nvidia-l4", resources={"rdma/ib": "8"}).node.allocatable_of("rdma/ib") == 8


def test_a_pool_without_gpus() -> None:
    made = profile(gpus_per_node=0)
    assert made.gpu is None
    assert made.node.allocatable_of("nvidia.com/gpu") == 0
    assert made.node.allocatable_of("nvidia.com/mig-1g.5gb") == 0


def test_a_pool_that_says_nothing_of_gpus_leaves_them_open() -> None:
    made = profile(labels={"team": "x"})
    assert made.gpu is None
    assert made.node.allocatable_of("nvidia.com/gpu") is None


@pytest.mark.parametrize(
    ("settings", "ids"),
    [
        ({"gpu": "A100"}, A100S),
        ({"gpu": "A100", "gpu_memory_gib": 79.25}, A100S[2:]),
        ({"gpu": "A100", "gpu_memory_gib": 40.0}, A100S[:2]),
        ({"gpu": "A100", "labels": {"cloud.google.com/gke-accelerator": "nvidia-tesla-a100"}}, [A100S[1]]),
        ({"gpu": "A100", "instance_type": "p4de.24xlarge"}, [A100S[3]]),
        ({"instance_type": "p4de.24xlarge"}, [A100S[3]]),
        ({"labels": {"nvidia.com/gpu.product": "NVIDIA-L4"}}, ["nvidia-l4"]),
        ({"labels": {"accelerator.platform.example.com/type": "nvidia-a100"}}, A100S),
        # a statement that contradicts the labels stands
        ({"gpu": "nvidia-l4", "labels": {"nvidia.com/gpu.product": "Tesla-T4"}}, ["nvidia-l4"]),
        ({"gpu": "custom card", "gpu_memory_gib": 24.0, "gpus_per_node": 2}, ["custom card"]),
    ],
)
def test_every_card_that_is_possible_stays(settings: dict[str, Any], ids: list[str]) -> None:
    assert [card.id for card in gpu(**settings).candidates] == ids


def test_a_stated_memory_is_every_candidates() -> None:
    cards = gpu(gpu="A100", gpu_memory_gib=78.0).candidates
    assert {(card.memory_gib, card.memory_certainty) for card in cards} == {(78.0, "stated")}


def test_a_card_that_nobody_knows_has_the_memory_that_is_stated() -> None:
    made = profile(gpu="custom card", gpu_memory_gib=24.0, gpus_per_node=2)
    assert made.gpu is not None
    assert made.gpu.one is not None
    assert (made.gpu.one.memory_gib, made.gpu.one.vendor, made.gpu.devices) == (24.0, "", 2)
    assert made.node.allocatable_of("nvidia.com/gpu") is None  # whose card it is does not follow
    assert profile(gpu="custom card").gpu is None


def test_a_stated_interconnect_is_the_cards() -> None:
    (card,) = gpu(gpu="nvidia-h100-80gb-pcie", interconnect="nvlink").candidates
    assert card.interconnect == "nvlink"


def test_a_machine_type_fills_what_is_unset() -> None:
    node = profile(instance_type="p4de.24xlarge", platform="eks").node
    assert node.labels["node.kubernetes.io/instance-type"] == "p4de.24xlarge"
    assert node.labels["kubernetes.io/arch"] == "amd64"
    assert (node.allocatable_of("nvidia.com/gpu"), node.allocatable_of("cpu")) == (8, 96)
    assert node.allocatable_of("memory") == 1152 * 2**30
    assert {"cpu", "memory"} <= node.upper_bounds
    assert node.extended_resource_toleration is False
    read = profile(instance_type="g4-standard-48").node
    assert "cpu" not in read.upper_bounds
    assert read.extended_resource_toleration is True  # its cloud's Kubernetes
    assert profile(instance_type="p4de.24xlarge", cpu="90", gpus_per_node=4).node.allocatable_of("cpu") == 90


def test_slices_of_the_single_strategy_stand_for_gpus() -> None:
    made = profile(gpu="nvidia-a100-80gb-sxm", gpus_per_node=8, mig="3g.40gb", mig_strategy="single")
    assert made.node.allocatable_of("nvidia.com/gpu") == 16
    assert made.node.allocatable_of("nvidia.com/mig-3g.40gb") == 0
    assert [card.id for card in made.gpus_for("nvidia.com/gpu")] == ["nvidia-a100-80gb-sxm/3g.40gb"]
    assert made.node.label_options["nvidia.com/gpu.product"] == (
        "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb",
        "A100-SXM4-80GB-MIG-3g.40gb",
    )


def test_slices_of_the_mixed_strategy_have_names_of_their_own() -> None:
    made = profile(gpu="nvidia-a100-80gb-sxm", gpus_per_node=8, mig="1g.10gb+me", mig_strategy="mixed")
    assert made.node.allocatable_of("nvidia.com/gpu") == 0
    assert made.node.allocatable_of("nvidia.com/mig-1g.10gb.me") == 8
    assert made.node.allocatable_of("nvidia.com/mig-3g.40gb") == 0
    (part,) = made.gpus_for("nvidia.com/mig-1g.10gb.me")
    assert (part.id, part.memory_gib) == ("nvidia-a100-80gb-sxm/1g.10gb+me", 9.5)
    assert made.node.label_options["nvidia.com/gpu.product"][0] == "NVIDIA-A100-SXM4-80GB"


def test_slices_whose_strategy_is_unset_cannot_be_counted() -> None:
    made = profile(gpu="nvidia-a100-80gb-sxm", gpus_per_node=8, mig="3g.40gb")
    assert made.node.allocatable_of("nvidia.com/gpu") is None
    assert made.node.allocatable_of("nvidia.com/mig-3g.40gb") is None


def test_sharing_multiplies_what_is_advertised() -> None:
    shared = profile(gpu="nvidia-l4", gpus_per_node=2, sharing=Sharing("time-slicing", 4))
    assert shared.node.allocatable_of("nvidia.com/gpu") == 8
    assert shared.node.label_options["nvidia.com/gpu.product"] == ("NVIDIA-L4-SHARED",)
    assert shared.gpu is not None
    assert (shared.gpu.devices, shared.gpu.replicas, shared.gpu.max_per_container) == (2, 4, None)
    renamed = profile(
        gpu="nvidia-l4",
        gpus_per_node=2,
        sharing=Sharing("mps", 4, rename_by_default=True, fail_requests_greater_than_one=True),
    )
    assert renamed.node.allocatable_of("nvidia.com/gpu") == 0
    assert renamed.node.allocatable_of("nvidia.com/gpu.shared") == 8
    assert renamed.node.label_options["nvidia.com/gpu.product"] == ("NVIDIA-L4",)
    assert [card.id for card in renamed.gpus_for("nvidia.com/gpu.shared")] == ["nvidia-l4"]
    assert renamed.gpu is not None
    assert renamed.gpu.max_per_container == 1


@pytest.mark.parametrize(
    ("card", "resource"),
    [
        ("amd-mi300x", "amd.com/gpu"),
        ("intel-gaudi3", "habana.ai/gaudi"),
        ("google-tpu-v5e", "google.com/tpu"),
        ("aws-trainium2", "aws.amazon.com/neuron"),
    ],
)
def test_each_vendor_has_its_resource(card: str, resource: str) -> None:
    node = profile(gpu=card, gpus_per_node=8).node
    assert node.allocatable_of(resource) == 8
    assert node.allocatable_of("nvidia.com/gpu") == 0


def test_labels_that_are_not_stated_may_be_there() -> None:
    node = profile(gpu="nvidia-a100-80gb-sxm", labels={"example.com/type": "a100"}).node
    assert node.label_values("example.com/type") == frozenset({"a100"})
    assert node.label_values("nvidia.com/gpu.product") == frozenset(
        {None, "NVIDIA-A100-SXM4-80GB", "A100-SXM4-80GB"}
    )
    assert node.label_values("cloud.google.com/gke-accelerator") == frozenset({None, "nvidia-a100-80gb"})
    assert node.label_values("nvidia.com/gpu.family") == frozenset({None, "ampere"})
    assert node.label_values("kubernetes.io/os") == frozenset({"linux"})
    assert node.label_values("topology.kubernetes.io/zone") is None
    assert node.label_values("example.com/other") is None


def test_a_guess_from_words_narrows_no_label() -> None:
    node = profile(labels={"example.com/gpu-type": "a100"}).node
    assert node.label_values("nvidia.com/gpu.product") is None


def test_arm_hosts_are_known_by_their_card() -> None:
    assert profile(gpu="nvidia-gb200").node.label_values("kubernetes.io/arch") == frozenset({None, "arm64"})


def test_a_vocabulary_that_one_pool_uses_is_absent_from_the_others() -> None:
    pools = {
        "a100": NodePool(labels={"example.com/type": "a100", "nvidia.com/gpu.present": "true"}),
        "cpu": NodePool(labels={"example.com/role": "cpu"}),
        "unsaid": NodePool(gpu="nvidia-l4"),
    }
    a100, cpu, unsaid = pool_profiles(pools)
    assert a100.node.label_values("example.com/role") == frozenset({None})
    assert cpu.node.label_values("example.com/type") == frozenset({None})
    assert cpu.node.label_values("nvidia.com/gpu.present") is None
    assert unsaid.node.label_values("example.com/type") is None
    assert a100.node.absent_labels == {"example.com/role"}
    assert not a100.node.label_options.keys() & a100.node.labels.keys()


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "gpu": st.sampled_from(["A100", "nvidia-t4", "amd-mi300x", "intel-max-1550", "none such"]),
            "gpu_memory_gib": st.floats(1, 300),
            "gpus_per_node": st.integers(0, 16),
            "nodes": st.integers(0, 5),
            "instance_type": st.sampled_from(["p5.48xlarge", "g6f.2xlarge", "gpu-h100-sxm", "m5.large"]),
            "mig": st.sampled_from(["1g.10gb", "3g.40gb", "7g.80gb", "9g.9gb"]),
            "mig_strategy": st.sampled_from(["single", "mixed"]),
            "sharing": st.builds(
                Sharing,
                st.sampled_from(["mps", "time-slicing"]),
                st.integers(1, 9),
                st.booleans(),
                st.booleans(),
            ),
            "labels": st.dictionaries(
                st.sampled_from(["nvidia.com/gpu.product", "x/gpu"]),
                st.sampled_from(["NVIDIA-L4", "a100", ""]),
            ),
            "cpu": st.sampled_from(["96", "500m"]),
        },
    )
)
def test_any_pool_has_a_profile(settings: dict[str, Any]) -> None:
    made = profile(**settings)
    assert all(amount >= 0 for amount in made.node.allocatable.values())
    if settings.get("gpus_per_node") == 0:
        assert made.gpu is None
    if made.gpu is not None and made.gpu.devices is not None and made.gpu.mig_strategy in {"none", "single"}:
        units = made.gpu.devices * made.gpu.replicas
        name = made.gpu.resource
        if name is not None and name.startswith("nvidia.com"):
            assert made.node.allocatable[f"{name}.shared" if made.gpu.renamed else name] == units
    for resource in made.node.allocatable:
        if resource.startswith("nvidia.com/mig-") and made.gpu is not None:
            assert made.gpu.mig_strategy == "mixed"
