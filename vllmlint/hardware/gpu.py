"""One kind of GPU, as software on the node sees it."""

from __future__ import annotations

from typing import Literal

from vllmlint.record import record

#: How the GPUs of a node talk to each other; None where it is not known.
Interconnect = Literal[
    "nvlink", "nvlink-bridge", "pcie", "infinity-fabric", "on-chip-ethernet", "ici", "neuronlink", "none"
]


@record
class Gpu:
    """A GPU (or a slice of one); None: not known.

    `memory_gib` is the total that CUDA reports to torch, not the figure on the box; `memory_certainty` says
    whether it was read (`measured`), worked out from the driver's figure or from a card with the same memory
    (`derived`), given in the contract (`stated`) or is not known. `compute_capability` is (major, minor),
    None for other vendors; `device_name` is what the driver calls it (`NVIDIA A100-SXM4-80GB`), `products`
    the values of the label `nvidia.com/gpu.product`. `interconnect_gb_s` is what one GPU's links carry, both
    directions; `nvlink_domain_gpus` how many GPUs its NVLink switches join. `bf16`, `fp8` and `fp4` say
    whether the tensor cores compute in that format (vLLM may still store weights in it). A MIG slice names
    its card (`slice_of`) and its `mig_profile`; slices have no links to each other (scheduling.md 6.2).
    """

    id: str
    device_name: str
    vendor: str
    memory_gib: float | None
    compute_capability: tuple[int, int] | None = None
    sm_count: int | None = None
    memory_bandwidth_gb_s: float | None = None
    unified_memory: bool = False
    source: str = ""
    memory_certainty: Literal["measured", "derived", "stated", "unknown"] = "unknown"
    driver_memory_mib: int | None = None
    name: str = ""
    products: tuple[str, ...] = ()
    architecture: str | None = None
    form_factor: str | None = None
    interconnect: Interconnect | None = None
    interconnect_gb_s: float | None = None
    nvlink_domain_gpus: int | None = None
    bf16: bool | None = None
    fp8: bool | None = None
    fp4: bool | None = None
    host_arch: Literal["amd64", "arm64"] | None = None
    mig_geometry: str | None = None
    slice_of: str | None = None
    mig_profile: str | None = None
