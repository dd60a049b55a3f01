"""Total memory of a GPU as CUDA reports it."""

from __future__ import annotations

from vllmlint.hardware.gpu import Gpu
from vllmlint.memory.band import Band, exact

#: A total that was worked out from the driver's figure: what the driver keeps for itself differs by that
#: much between cards (79.19 of 79.65 GiB are left on an H100, 44.4 to 44.5 of 44.99 on an L40S).
_DERIVED_SHARE = 0.004


def total_memory(gpu: Gpu) -> Band:
    """What `torch.cuda` reports for a GPU whose memory is known, in GiB."""
    assert gpu.memory_gib is not None
    if gpu.memory_certainty != "derived":
        return exact(gpu.memory_gib)
    share = gpu.memory_gib * _DERIVED_SHARE
    reason = "the total is worked out from what the driver reports"
    return Band(gpu.memory_gib - share, gpu.memory_gib, gpu.memory_gib + share, reason)
