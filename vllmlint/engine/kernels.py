"""Which GPUs an image of vLLM has kernels for (vllm-memory.md 4.4)."""

from __future__ import annotations

import re
from typing import Literal

from vllmlint.facts.cuda_builds import image_rows, kernel_rows, lowest_driver
from vllmlint.hardware.gpu import Gpu
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.release import Release

#: The CUDA version in a tag: `v0.33.0-cu129`, `v0.11.0-x86_64-cu128`, `v0.5.4+cu118`.
_VARIANT = regex(r"(?:^|[-_.+])cu(?:da)?-?(?P<major>1[0-9])\.?(?P<minor>[0-9])(?![0-9])")
Version = tuple[int, int]


@record
class CudaBuild:
    """The CUDA build of a vLLM release: it has kernels for compute capabilities `lowest` to `highest`.

    `by` says whether the tag named the CUDA version or it is the release's default.
    """

    release: Release
    cuda: Version
    lowest: Version
    highest: Version
    by: Literal["tag", "default"]

    def lacks(self, capability: Version) -> bool:
        """Whether there are surely no kernels for a GPU: code for a capability runs on later ones of the same
        generation too (CUDA programming guide, binary compatibility)."""
        return capability < self.lowest or capability[0] > self.highest[0]

    @property
    def words(self) -> str:
        """The build for a message: `vLLM 0.33.0 for CUDA 13.0`."""
        return f"vLLM {self.release} for CUDA {shown(self.cuda)}"


def cuda_build(release: Release, suffix: str | None = None) -> CudaBuild | None:
    """The CUDA build in vLLM's own image or wheel of a release; None for releases before the table.

    `suffix` is what an image tag has behind the release (`cu129`); where it names no CUDA version, the build
    is the default variant.
    """
    match = _VARIANT.search(release.suffix if suffix is None else suffix)
    cuda = (int(match["major"]), int(match["minor"])) if match is not None else None
    by: Literal["tag", "default"] = "tag" if cuda is not None else "default"
    if cuda is None:
        cuda = next((_pair(row["cuda"]) for row in image_rows() if release.at_least(row["release"])), None)
    if cuda is None:
        return None
    row = next(
        row for row in kernel_rows() if release.at_least(row["release"]) and cuda >= _pair(row["cuda"])
    )
    return CudaBuild(release, cuda, _pair(row["lowest"]), _pair(row["highest"]), by)


def kernels_missing(gpu: Gpu, build: CudaBuild | None) -> str:
    """Why a build cannot run on a GPU; empty where it can, or where that is not known."""
    capability = gpu.compute_capability
    if build is None or gpu.vendor != "nvidia" or capability is None or not build.lacks(capability):
        return ""
    older = capability < build.lowest
    bound = f"start at {shown(build.lowest)}" if older else f"end at {shown(build.highest)}"
    return (
        f"{build.words} has no kernels for the {gpu.name or gpu.id} (compute capability {shown(capability)}; "
        f"they {bound})"
    )


def driver_too_old(driver: str, build: CudaBuild) -> str | None:
    """The oldest driver that a build's CUDA version runs on, where this driver is older; else None.

    A driver runs programs of every CUDA version of its major version (CUDA compatibility guide).
    """
    lowest = lowest_driver(build.cuda[0])
    branch = re.match(r"[0-9]{3}", driver.strip())
    if lowest is None or branch is None or int(branch[0]) >= int(lowest):
        return None
    return lowest


def shown(version: Version) -> str:
    """A version as it is written: `13.0`."""
    return f"{version[0]}.{version[1]}"


def _pair(text: str) -> Version:
    major, _, minor = text.partition(".")
    return int(major), int(minor)
