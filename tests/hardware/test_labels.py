"""What labels say of platforms and GPUs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.hardware.labels import candidates_of, is_known_label, label_meaning, platform_of

PRODUCT = "nvidia.com/gpu.product"
GKE = "cloud.google.com/gke-accelerator"
TYPE = "node.kubernetes.io/instance-type"
KARPENTER = "karpenter.k8s.aws/instance-gpu-name"


@pytest.mark.parametrize(
    ("labels", "gpus", "certainty"),
    [
        ({PRODUCT: "NVIDIA-A100-SXM4-80GB"}, ["nvidia-a100-80gb-sxm"], "exact"),
        ({PRODUCT: "NVIDIA-A100-SXM4-80GB-SHARED"}, ["nvidia-a100-80gb-sxm"], "exact"),
        ({PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"}, ["nvidia-a100-40gb-sxm/1g.5gb"], "exact"),
        ({PRODUCT: "NVIDIA-H100-SXM5-80GB"}, ["nvidia-h100-80gb-sxm"], "likely"),
        ({PRODUCT: "NVIDIA-H100"}, ["nvidia-h100-94gb-sxm"], "exact"),
        ({GKE: "nvidia-tesla-a100"}, ["nvidia-a100-40gb-sxm"], "exact"),
        ({GKE: "nvidia-a100-80gb"}, ["nvidia-a100-80gb-sxm"], "exact"),
        ({KARPENTER: "a100"}, ["nvidia-a100-40gb-sxm", "nvidia-a100-80gb-sxm"], "exact"),
        ({KARPENTER: "a100", TYPE: "p4de.24xlarge"}, ["nvidia-a100-80gb-sxm"], "exact"),
        (
            {KARPENTER: "a100", "karpenter.k8s.aws/instance-gpu-memory": "40960"},
            ["nvidia-a100-40gb-sxm"],
            "exact",
        ),
        ({TYPE: "Standard_NC24ads_A100_v4"}, ["nvidia-a100-80gb-pcie"], "exact"),
        ({"beta.kubernetes.io/instance-type": "g2-standard-8"}, ["nvidia-l4"], "exact"),
        ({TYPE: "gpu-h100-sxm"}, ["nvidia-h100-80gb-sxm"], "exact"),  # Nebius: eight sizes of one platform
        ({"gpu.nvidia.com/class": "A100_NVLINK_80GB"}, ["nvidia-a100-80gb-sxm"], "exact"),
        ({"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM"}, ["amd-mi300x"], "exact"),
        ({"skypilot.co/accelerator": "l4"}, ["nvidia-l4"], "likely"),
        # the cluster's own vocabulary: the words are looked up, and both sizes stay
        (
            {"accelerator.platform.example.com/type": "nvidia-a100"},
            [
                "nvidia-a100-40gb-pcie",
                "nvidia-a100-40gb-sxm",
                "nvidia-a100-80gb-pcie",
                "nvidia-a100-80gb-sxm",
            ],
            "guess",
        ),
        (
            {"cloud.google.com/compute-class": "gpu-a100-40gb-x2"},
            ["nvidia-a100-40gb-pcie", "nvidia-a100-40gb-sxm"],
            "guess",
        ),
        # what is known counts before what is guessed
        ({"example.com/gpu": "h100", PRODUCT: "NVIDIA-L4"}, ["nvidia-l4"], "exact"),
        # a contradiction leaves nothing
        ({GKE: "nvidia-l4", PRODUCT: "Tesla-T4"}, [], "exact"),
        ({"nvidia.com/gpu.memory": "81559", PRODUCT: "NVIDIA-H100-PCIe"}, ["nvidia-h100-80gb-pcie"], "exact"),
        # on sliced nodes the memory is a slice's
        (
            {PRODUCT: "NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", "nvidia.com/gpu.memory": "40192"},
            ["nvidia-a100-80gb-sxm/3g.40gb"],
            "exact",
        ),
    ],
)
def test_labels_leave_gpus_possible(labels: dict[str, str], gpus: list[str], certainty: str) -> None:
    found = candidates_of(labels)
    assert found is not None
    assert [gpu.id for gpu in found.gpus] == gpus
    assert found.certainty == certainty


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"kubernetes.io/arch": "amd64"},
        {"cloud.google.com/gke-spot": "true"},
        {"example.com/team": "a100"},  # a key that does not speak of GPUs
        {"example.com/gpu": "yes"},
        {"cloud.google.com/compute-class": "inference"},
        {"amd.com/gpu.family": "AI"},
        {TYPE: "m5.large"},
        {PRODUCT: "something-new"},
        {"nvidia.com/gpu.memory": "12"},
    ],
)
def test_labels_that_name_no_gpu(labels: dict[str, str]) -> None:
    assert candidates_of(labels) is None


def test_several_values_of_one_requirement() -> None:
    both = candidates_of({PRODUCT: ["NVIDIA-L4", "NVIDIA-L40S"]})
    assert both is not None
    assert [gpu.id for gpu in both.gpus] == ["nvidia-l4", "nvidia-l40s"]
    assert both.one is None
    assert candidates_of({PRODUCT: ["NVIDIA-L4", "something-new"]}) is None


@pytest.mark.parametrize(
    ("keys", "instance_type", "platform"),
    [
        (["cloud.google.com/gke-nodepool"], None, "gke"),
        (["eks.amazonaws.com/nodegroup"], None, "eks"),
        (["karpenter.k8s.aws/instance-family"], None, "eks"),
        (["kubernetes.azure.com/agentpool"], None, "aks"),
        (["node.coreweave.cloud/cpu", "gpu.nvidia.com/class"], None, "coreweave"),
        (["oci.oraclecloud.com/fault-domain"], None, "oke"),
        (["kubernetes.io/arch"], "p5.48xlarge", "eks"),
        (["kubernetes.io/arch"], "gpu_8x_v100", None),  # Lambda: no managed Kubernetes that is known
        (["kubernetes.io/arch"], None, None),
        (["cloud.google.com/gke-nodepool", "eks.amazonaws.com/nodegroup"], None, None),
    ],
)
def test_the_platform_of_a_node(keys: list[str], instance_type: str | None, platform: str | None) -> None:
    assert platform_of(keys, instance_type) == platform


def test_every_id_in_the_table_exists() -> None:
    for row in hardware_table("node_labels")["labels"]:
        assert row["source"], row["key"]
        for gpus in row.get("values", {}).values():
            assert all(gpu_by_id(one) is not None for one in gpus), row["key"]


def test_what_is_known_of_a_label() -> None:
    meaning = label_meaning("cloud.google.com/gke-spot", "true")
    assert meaning is not None
    assert (meaning.by, meaning.gpus) == ("gke", None)
    assert is_known_label("beta.kubernetes.io/instance-type")
    assert not is_known_label("example.com/gpu")
    assert label_meaning("example.com/team", "research") is None


@given(
    st.dictionaries(
        st.sampled_from([PRODUCT, GKE, TYPE, "nvidia.com/gpu.memory", "x/gpu"]), st.text(max_size=30)
    )
)
def test_no_label_raises(labels: dict[str, str]) -> None:
    candidates_of(labels)
