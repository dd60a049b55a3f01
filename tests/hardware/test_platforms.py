"""The machines that a platform has for what a pod selects."""

from __future__ import annotations

import pytest

from vllmlint.hardware.platforms import platform_profiles
from vllmlint.hardware.real_nodes import node_profile
from vllmlint.kube.node import Node

GKE = "cloud.google.com/gke-accelerator"
COUNT = "cloud.google.com/gke-accelerator-count"
TYPE = "node.kubernetes.io/instance-type"
KARPENTER = "karpenter.k8s.aws/instance-gpu-name"


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ({GKE: ["nvidia-l4"], COUNT: ["4"]}, ["g2-standard-48"]),
        ({GKE: ["nvidia-l4", "nvidia-a100-80gb"], COUNT: ["8"]}, ["a2-ultragpu-8g", "g2-standard-96"]),
        ({TYPE: ["p4d.24xlarge", "p5.48xlarge"]}, ["p4d.24xlarge", "p5.48xlarge"]),
        ({TYPE: ["g2-standard-48"], GKE: ["nvidia-a100-80gb"]}, []),
        ({KARPENTER: ["l40s"], "karpenter.k8s.aws/instance-gpu-count": ["8"]}, ["g6e.48xlarge"]),
        ({"eks.amazonaws.com/instance-gpu-name": ["a100"]}, ["p4d.24xlarge", "p4de.24xlarge"]),
        ({"gpu.nvidia.com/class": ["H100_NVLINK_80GB"]}, ["gd-8xh100ib-i128"]),
        ({GKE: ["nvidia-tesla-t4"]}, ["gke nodes with nvidia-t4"]),  # attached to machines of any size
        ({"nvidia.com/gpu.product": ["NVIDIA-L4"]}, []),  # no platform
        ({TYPE: ["m5.large"]}, []),
        ({}, []),
    ],
)
def test_machines_for_labels(wanted: dict[str, list[str]], names: list[str]) -> None:
    assert [profile.name for profile in platform_profiles(wanted)] == names


def test_a_machine_of_gke() -> None:
    (one,) = platform_profiles({GKE: ["nvidia-l4"], COUNT: ["4"]})
    node = one.node
    assert (one.origin, one.platform, node.count) == ("platform", "gke", None)
    assert one.gpu is not None
    assert ([card.id for card in one.gpu.candidates], one.gpu.devices) == (["nvidia-l4"], 4)
    assert node.labels[GKE] == "nvidia-l4"
    assert node.labels[COUNT] == "4"
    assert [str(taint) for taint in node.taints] == ["nvidia.com/gpu=present:NoSchedule"]
    assert node.extended_resource_toleration is True
    assert (node.allocatable_of("nvidia.com/gpu"), node.allocatable_of("cpu")) == (4, 48)
    assert node.upper_bounds == {"cpu", "memory"}
    assert not any((node.taints_complete, node.labels_complete, node.allocatable_complete))
    assert node.label_values("team") is None


def test_a_machine_of_aws_has_no_taint_of_its_own() -> None:
    (one,) = platform_profiles({TYPE: ["p5.48xlarge"]})
    assert one.node.taints == ()
    assert one.node.extended_resource_toleration is False
    assert one.node.label_values(KARPENTER) == frozenset({None, "h100"})
    assert one.node.label_values("karpenter.k8s.aws/instance-gpu-count") == frozenset({None, "8"})


def test_a_part_of_a_card_has_a_part_of_its_memory() -> None:
    (one,) = platform_profiles({TYPE: ["g6f.2xlarge"]})
    assert one.gpu is not None
    (card,) = one.gpu.candidates
    assert (card.memory_gib, card.memory_certainty, one.gpu.devices) == (5.5, "derived", None)


def test_a_platform_may_be_given() -> None:
    l40s = {"nvidia.com/gpu.product": ["NVIDIA-L40S"]}
    assert {one.name.split(".")[0] for one in platform_profiles(l40s, "eks")} == {"g6e"}


def test_gke_says_in_labels_of_its_own_how_gpus_are_shared_and_cut() -> None:
    labels = {GKE: "nvidia-l4", "cloud.google.com/gke-gpu-sharing-strategy": "time-sharing"}
    labels["cloud.google.com/gke-max-shared-clients-per-gpu"] = "3"
    shared = node_profile(Node("n", labels=labels, allocatable={"nvidia.com/gpu": 6})).gpu
    assert shared is not None
    assert (shared.sharing, shared.replicas, shared.devices, shared.max_per_container) == (
        "time-slicing",
        3,
        2,
        1,
    )
    labels = {GKE: "nvidia-a100-80gb", "cloud.google.com/gke-gpu-partition-size": "3g.40gb"}
    cut = node_profile(Node("n", labels=labels, allocatable={"nvidia.com/gpu": 16})).gpu
    assert cut is not None
    assert [card.id for card in cut.candidates] == ["nvidia-a100-80gb-sxm/3g.40gb"]
    assert (cut.mig_strategy, dict(cut.mig_profiles)) == ("single", {"3g.40gb": 16})


def test_names_of_one_card_on_different_machines() -> None:
    key = "cloud.google.com/gke-accelerator"
    plain = {one.name: one.node.labels[key] for one in platform_profiles({key: ("nvidia-h100-80gb",)})}
    assert plain["a3-highgpu-8g"] == "nvidia-h100-80gb"
    assert "a3-megagpu-8g" not in plain
    mega = platform_profiles({key: ("nvidia-h100-mega-80gb",)})
    assert [one.name for one in mega] == ["a3-megagpu-8g"]


def test_what_the_platform_writes_itself_is_there() -> None:
    (tpu, *_) = platform_profiles({"cloud.google.com/gke-tpu-accelerator": ("tpu-v5-lite-podslice",)})
    assert tpu.node.labels["cloud.google.com/gke-tpu-accelerator"] == "tpu-v5-lite-podslice"
    (model, *_) = platform_profiles({"gpu.nvidia.com/model": ("H200",)})
    assert model.node.labels["gpu.nvidia.com/model"] == "H200"
