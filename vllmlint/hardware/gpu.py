"""One kind of GPU, as software on the node sees it."""

from __future__ import annotations

from vllmlint.record import record


@record
class Gpu:
    """A GPU (or a slice of one).

    `memory_gib` is the total that CUDA reports to torch, not the figure on the box;
    `compute_capability` is (major, minor), None for other vendors; `device_name` is what the driver
    calls it (`NVIDIA A100-SXM4-80GB`). None: not known.
    """

    id: str
    device_name: str
    vendor: str
    memory_gib: float
    compute_capability: tuple[int, int] | None = None
    sm_count: int | None = None
    memory_bandwidth_gb_s: float | None = None
    unified_memory: bool = False
    source: str = ""
