"""GPUs by id and by the names people give them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.facts.hardware import hardware_table
from vllmlint.hardware.gpus import (
    find_gpu,
    gpu_by_id,
    gpu_ids,
    gpus_of_product,
    mig_profiles,
    mig_slice,
    nearest_gpu,
    split_product,
)


def ids(name: str) -> list[str]:
    """The ids that a name may stand for."""
    return [gpu.id for gpu in find_gpu(name)]


A100_40 = ["nvidia-a100-40gb-pcie", "nvidia-a100-40gb-sxm"]
A100_80 = ["nvidia-a100-80gb-pcie", "nvidia-a100-80gb-sxm"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("nvidia-a100-80gb-sxm", ["nvidia-a100-80gb-sxm"]),
        ("NVIDIA-A100-SXM4-80GB", ["nvidia-a100-80gb-sxm"]),
        ("NVIDIA A100-SXM4-80GB", ["nvidia-a100-80gb-sxm"]),
        ("NVIDIA-A100-SXM4-80GB-SHARED", ["nvidia-a100-80gb-sxm"]),
        ("NVIDIA-A100-SXM4-80GB-MIG-3g.40gb", ["nvidia-a100-80gb-sxm/3g.40gb"]),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb-SHARED", ["nvidia-a100-80gb-sxm/1g.10gb"]),
        ("NVIDIA-A100-SXM4-80GB-MIG-INVALID", []),
        ("A100", A100_40 + A100_80),
        ("nvidia-a100", A100_40 + A100_80),
        ("a100-80gb", A100_80),
        ("A100 80G", A100_80),
        ("A100_40", A100_40),
        ("A100 SXM", ["nvidia-a100-40gb-sxm", "nvidia-a100-80gb-sxm"]),
        ("A100-PCIE-80GB", ["nvidia-a100-80gb-pcie"]),
        ("H100_NVLINK_80GB", ["nvidia-h100-80gb-sxm"]),
        ("NVIDIA H100 80GB HBM3", ["nvidia-h100-80gb-sxm"]),
        ("H200", ["nvidia-h200-141gb-sxm", "nvidia-h200-141gb-nvl"]),
        ("l40", ["nvidia-l40"]),
        ("L40S", ["nvidia-l40s"]),
        ("Tesla T4", ["nvidia-t4"]),
        ("nvidia-tesla-t4", ["nvidia-t4"]),
        ("RTX 3090", ["nvidia-rtx-3090"]),
        ("3090", ["nvidia-rtx-3090"]),
        ("rtx4090", ["nvidia-rtx-4090"]),
        ("rtx-5090", ["nvidia-rtx-5090"]),
        ("RTX 5090 D", ["nvidia-rtx-5090-d"]),
        ("mi300x", ["amd-mi300x"]),
        ("Gaudi 2", ["intel-gaudi2"]),
        ("tpu v5e", ["google-tpu-v5e"]),
        ("A100/3g.40gb", ["nvidia-a100-80gb-pcie/3g.40gb", "nvidia-a100-80gb-sxm/3g.40gb"]),
        ("80gb", []),
        ("nvidia", []),
        ("pcie", []),
        ("gpu", []),
        ("", []),
        ("a100-48gb", []),
        ("v9000", []),
    ],
)
def test_a_name_gives_every_card_it_may_stand_for(name: str, expected: list[str]) -> None:
    assert ids(name) == expected


def test_a_bare_family_name_is_the_family_for_people_and_one_card_on_a_node() -> None:
    assert {"nvidia-h100-80gb-sxm", "nvidia-h100-94gb-sxm"} <= set(ids("NVIDIA-H100"))
    assert [gpu.id for gpu in gpus_of_product("NVIDIA-H100")] == ["nvidia-h100-94gb-sxm"]


@pytest.mark.parametrize("gpu_id", gpu_ids())
def test_every_card_is_found_by_its_id_and_labels(gpu_id: str) -> None:
    gpu = gpu_by_id(gpu_id)
    assert gpu is not None
    assert find_gpu(gpu_id) == (gpu,)
    assert gpu.source
    assert (gpu.memory_gib is None) == (gpu.memory_certainty == "unknown")
    assert all(gpu in find_gpu(product) for product in (*gpu.products, gpu.device_name))


@pytest.mark.parametrize(
    ("gpu_id", "memory_gib", "certainty"),
    [
        ("nvidia-a100-80gb-sxm", 79.25, "measured"),  # vllm-memory.md 2.7
        ("nvidia-h100-80gb-sxm", 79.1, "measured"),
        ("nvidia-h20-141gb", 139.91, "derived"),  # the driver's 143771 MiB less 0.49 GiB
        ("nvidia-h800-80gb", 79.1, "derived"),  # as the H100
        ("amd-mi350x", 287.98, "derived"),  # as the MI355X
        ("intel-gaudi2", 96.0, "derived"),  # its runtime reports the driver's figure
        ("nvidia-a100-40gb-sxm/1g.5gb", 4.75, "measured"),
        ("nvidia-h200-141gb-sxm/1g.35gb", 32.5, "measured"),  # as 2g.35gb: same memory
        ("nvidia-gb200/3g.93gb", 92.27, "derived"),  # four eighths
        ("nvidia-rtx-pro-6000-server/1g.24gb-me", 23.77, "derived"),  # a quarter
        ("nvidia-gh200-144gb/1g.18gb", None, "unknown"),
        ("google-tpu-v5e", None, "unknown"),
    ],
)
def test_memory_is_what_torch_sees(gpu_id: str, memory_gib: float | None, certainty: str) -> None:
    gpu = gpu_by_id(gpu_id)
    assert gpu is not None
    assert (gpu.memory_gib, gpu.memory_certainty) == (memory_gib, certainty)


def test_the_driver_keeps_a_part_of_every_nvidia_card() -> None:
    reserve = hardware_table("gpus")["driver_reserve_gib"]
    for gpu_id in gpu_ids():
        gpu = gpu_by_id(gpu_id)
        assert gpu is not None
        if gpu.vendor == "nvidia" and gpu.memory_gib is not None and gpu.driver_memory_mib is not None:
            assert 0.2 < gpu.driver_memory_mib / 1024 - gpu.memory_gib < 0.8, gpu_id
            assert abs(gpu.driver_memory_mib / 1024 - gpu.memory_gib - reserve) < 0.3, gpu_id


def test_slices_are_smaller_than_their_card_and_have_no_links() -> None:
    for gpu_id in gpu_ids():
        card = gpu_by_id(gpu_id)
        assert card is not None
        for profile, count in mig_profiles(card).items():
            part = mig_slice(card, profile)
            assert part is not None
            assert gpu_by_id(part.id) == part
            assert (part.slice_of, part.mig_profile, part.interconnect) == (card.id, profile, "none")
            if part.memory_gib is not None and card.memory_gib is not None:
                assert part.memory_gib * min(count, 7) <= card.memory_gib * 1.03, part.id


def test_a_resource_name_spells_profiles_with_a_dot() -> None:
    card = gpu_by_id("nvidia-a100-40gb-sxm")
    assert card is not None
    assert mig_slice(card, "1g.5gb.me") == mig_slice(card, "1g.5gb+me") != mig_slice(card, "1g.5gb")
    assert mig_slice(card, "3g.40gb") is None
    plain = gpu_by_id("nvidia-t4")
    assert plain is not None
    assert mig_profiles(plain) == {}
    assert mig_slice(plain, "1g.5gb") is None


def test_what_the_rules_ask_of_a_card() -> None:
    sxm, pcie, gb200, t4 = (
        gpu_by_id(name)
        for name in ("nvidia-a100-80gb-sxm", "nvidia-a100-80gb-pcie", "nvidia-gb200", "nvidia-t4")
    )
    assert sxm is not None
    assert pcie is not None
    assert gb200 is not None
    assert t4 is not None
    assert (sxm.interconnect, sxm.interconnect_gb_s, sxm.nvlink_domain_gpus) == ("nvlink", 600, 8)
    assert (pcie.interconnect, pcie.nvlink_domain_gpus, pcie.form_factor) == ("pcie", None, "PCIe")
    assert (gb200.nvlink_domain_gpus, gb200.host_arch, gb200.fp4) == (72, "arm64", True)
    assert (sxm.compute_capability, sxm.bf16, sxm.fp8) == ((8, 0), True, False)
    assert (t4.compute_capability, t4.bf16) == ((7, 5), False)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("NVIDIA-L4", ("NVIDIA-L4", None, False)),
        ("NVIDIA-L4-SHARED", ("NVIDIA-L4", None, True)),
        ("NVIDIA-H100-80GB-HBM3-MIG-1g.10gb", ("NVIDIA-H100-80GB-HBM3", "1g.10gb", False)),
        ("NVIDIA-H100-80GB-HBM3-MIG-INVALID", ("NVIDIA-H100-80GB-HBM3", "INVALID", False)),
        ("", ("", None, False)),
    ],
)
def test_product_labels_in_parts(text: str, parts: tuple[str, str | None, bool]) -> None:
    assert split_product(text) == parts


def test_the_nearest_id_for_a_typing_error() -> None:
    assert nearest_gpu("nvidia-a100-80gb-smx") == "nvidia-a100-80gb-sxm"
    assert nearest_gpu("something else entirely") is None


@given(st.text(max_size=60))
def test_no_name_raises(name: str) -> None:
    assert all(gpu.id for gpu in find_gpu(name))
    nearest_gpu(name)
