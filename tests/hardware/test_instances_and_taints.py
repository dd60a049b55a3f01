"""Machine types, and the taints of platforms."""

from __future__ import annotations

import pytest

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.hardware.instances import instance_type, instance_types_of, instance_types_of_label
from vllmlint.hardware.taints import (
    adds_resource_tolerations,
    default_taints,
    known_taints,
    platform_taints,
    toleration_is_added,
)
from vllmlint.kube.node import Taint


def test_a_machine_type_says_what_is_in_it() -> None:
    one = instance_type("p4de.24xlarge")
    assert one is not None
    assert (one.cloud, one.platform, one.gpus, one.count) == ("aws", "eks", ("nvidia-a100-80gb-sxm",), 8)
    assert (one.cpu, one.memory_gib, one.arch, one.links) == (96, 1152, "amd64", "nvlink")
    assert dict(one.resources)["nvidia.com/gpu"] == 8
    assert not one.is_allocatable


def test_allocatable_that_was_read_replaces_the_machines_figures() -> None:
    one = instance_type("g4-standard-48")
    assert one is not None
    assert (one.cpu, one.memory_gib, one.is_allocatable) == (47.2, 169.03, True)


def test_a_label_may_stand_for_several_sizes() -> None:
    assert instance_type("gpu-h100-sxm") is None
    assert {one.count for one in instance_types_of_label("gpu-h100-sxm")} == {1, 8}
    assert instance_type("gpu-h100-sxm_8gpu-128vcpu-1600gb") is not None
    assert instance_type("m5.large") is None


def test_every_machine_type_names_gpus_that_exist() -> None:
    rows = hardware_table("instance_types")["instances"]
    assert len(rows) > 290
    for row in rows:
        assert row["source"], row["type"]
        assert row["gpus"], row["type"]
        assert all(gpu_by_id(one) is not None for one in row["gpus"]), row["type"]


def test_the_machine_types_of_a_platform() -> None:
    assert {one.cloud for one in instance_types_of("gke")} == {"gcp"}
    assert not instance_types_of("somewhere")


TAINT = Taint("nvidia.com/gpu", "present", "NoSchedule")
GPU = frozenset({"nvidia.com/gpu"})


@pytest.mark.parametrize(
    ("taint", "requested", "platform", "added"),
    [
        (TAINT, GPU, "gke", True),
        (TAINT, GPU, "eks", False),
        (TAINT, GPU, "aks", False),
        (TAINT, GPU, "doks", None),
        (TAINT, GPU, None, None),
        (TAINT, frozenset(), "gke", False),
        (TAINT, frozenset({"google.com/tpu"}), "gke", False),
        (Taint("nvidia.com/gpu", "present", "NoExecute"), GPU, "gke", False),
        (Taint("sku", "gpu", "NoSchedule"), GPU, "gke", False),
    ],
)
def test_who_adds_a_toleration(
    taint: Taint, requested: frozenset[str], platform: str | None, added: bool | None
) -> None:
    assert toleration_is_added(taint, requested, platform) is added


def test_default_taints_of_gpu_nodes() -> None:
    assert default_taints("gke", "nvidia.com/gpu") == (TAINT,)
    assert default_taints("gke", "google.com/tpu") == (Taint("google.com/tpu", "present", "NoSchedule"),)
    assert default_taints("doks", "amd.com/gpu") == (Taint("amd.com/gpu", "", "NoSchedule"),)
    assert default_taints("aks", "nvidia.com/gpu") == ()
    assert default_taints("eks", "nvidia.com/gpu") == ()


def test_what_is_known_of_a_taint() -> None:
    (sku,) = known_taints("sku")
    assert (sku.platform, sku.by, sku.added_by) == ("aks", "convention", None)
    (eks,) = known_taints("nvidia.com/gpu", "eks")
    assert eks.any_value
    (ready,) = known_taints("node.kubernetes.io/not-ready", "gke")
    assert [taint.effect for taint in ready.taints] == ["NoExecute", "NoSchedule"]
    assert ready.by == "condition"
    assert all(row.source and row.effects for row in platform_taints())
    assert adds_resource_tolerations(None) is None
