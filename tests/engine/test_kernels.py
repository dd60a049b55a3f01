"""Which builds of vLLM have kernels for which GPUs."""

from __future__ import annotations

import pytest

from vllmlint.engine.kernels import cuda_build, driver_too_old, kernels_missing
from vllmlint.hardware.gpus import gpu_by_id
from vllmlint.serving.release import Release

MISSING = [
    ("v0.33.0", "nvidia-v100-32gb-sxm2", True),
    ("v0.33.0-cu129", "nvidia-v100-32gb-sxm2", True),
    ("v0.20.0", "nvidia-v100-16gb-pcie", True),
    ("v0.19.0", "nvidia-v100-32gb-sxm2", False),
    ("v0.19.0-cu130", "nvidia-v100-32gb-sxm2", True),
    ("v0.19.0", "nvidia-p100-16gb", True),
    ("v0.6.3.post1-cu118", "nvidia-p100-16gb", True),
    ("v0.33.0", "nvidia-t4", False),
    ("v0.33.0", "nvidia-b200", False),
    ("v0.33.0", "nvidia-rtx-5090", False),
    ("v0.9.0", "nvidia-b200", False),
    ("v0.8.5.post1", "nvidia-b200", True),
    ("v0.8.5", "nvidia-rtx-5090", True),
    ("v0.8.5", "nvidia-h100-80gb-sxm", False),
    ("v0.33.0", "amd-mi300x", False),
]


@pytest.mark.parametrize(("tag", "gpu_id", "missing"), MISSING)
def test_kernels(tag: str, gpu_id: str, missing: bool) -> None:
    release, gpu = Release.parse(tag), gpu_by_id(gpu_id)
    assert release is not None
    assert gpu is not None
    assert bool(kernels_missing(gpu, cuda_build(release))) is missing


@pytest.mark.parametrize(
    ("tag", "cuda", "by"),
    [
        ("v0.33.0", (13, 0), "default"),
        ("v0.33.0-cu129", (12, 9), "tag"),
        ("v0.11.0-x86_64-cu128", (12, 8), "tag"),
        ("v0.19.0", (12, 9), "default"),
        ("0.6.3.post1-cu118", (11, 8), "tag"),
        ("v0.33.0-ubuntu2404", (13, 0), "default"),
    ],
)
def test_the_cuda_version_of_a_tag(tag: str, cuda: tuple[int, int], by: str) -> None:
    release = Release.parse(tag)
    assert release is not None
    build = cuda_build(release)
    assert build is not None
    assert (build.cuda, build.by) == (cuda, by)


def test_a_slice_has_the_kernels_of_its_card() -> None:
    gpu, release = gpu_by_id("nvidia-b200/1g.23gb"), Release.parse("0.8.5")
    assert gpu is not None
    assert release is not None
    assert "compute capability 10.0; they end at 9.0" in kernels_missing(gpu, cuda_build(release))


@pytest.mark.parametrize(
    ("driver", "tag", "lowest"),
    [
        ("550.90.07", "v0.33.0", "580"),
        ("580.65.06", "v0.33.0", None),
        ("535", "v0.33.0", "580"),
        ("550.90.07", "v0.33.0-cu129", None),
        ("515.65.01", "v0.19.0", "525"),
        ("latest", "v0.33.0", None),
    ],
)
def test_drivers(driver: str, tag: str, lowest: str | None) -> None:
    release = Release.parse(tag)
    assert release is not None
    build = cuda_build(release)
    assert build is not None
    assert driver_too_old(driver, build) == lowest
