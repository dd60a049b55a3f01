"""What MXFP4 expert kernels add to each expert's sides (vllm-memory.md 1.3)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.record import record


@record
class Padding:
    """A kernel and what it rounds an expert's inner width and hidden size up to.

    `swizzled_scales`: a second copy of the scales, its rows rounded up to so many (0: none), stays beside the
    loaded ones. `fp32_bias`: biases are widened.
    """

    kernel: str
    inner: int
    hidden: int
    swizzled_scales: int = 0
    fp32_bias: bool = False


MARLIN = Padding("Marlin", 128, 256)
CUTLASS = Padding("FlashInfer CUTLASS", 128, 128)
TRTLLM = Padding("FlashInfer TRT-LLM", 128, 256)
TRTLLM_OLD = Padding("FlashInfer TRT-LLM", 256, 256)
#: The Hopper layout of Triton's scales has 32 rows for each of 8 warps; the loader keeps the plain scales too
#: and widens the biases (gpt-oss-120b: 60.8 GiB of tensors, 64.4 logged; gpt-oss-20b 12.8 and 13.5).
TRITON = Padding("Triton", 64, 1, swizzled_scales=256, fp32_bias=True)

#: Environment variables and `--moe-backend` values that choose a kernel by name.
_NAMED = {
    "marlin": MARLIN,
    "triton": TRITON,
    "triton_unfused": TRITON,
    "flashinfer_cutlass": CUTLASS,
    "flashinfer_trtllm": TRTLLM,
}


def mxfp4_paddings(config: EngineConfig) -> tuple[Padding, ...]:
    """The kernels that vLLM may choose, the likeliest first.

    Compute capability 9.0: Marlin up to 0.10, Triton since 0.11.0 where its kernels are installed; which one
    after 0.14 is not certain. 8.x and 12.x: Marlin. 10.x: FlashInfer.
    """
    named = str(config.request.settings.get("moe_backend") or "")
    if named in _NAMED:
        return (_NAMED[named],)
    env = config.request.env
    if env.get("VLLM_MXFP4_USE_MARLIN") == "1":
        return (MARLIN,)
    if env.get("VLLM_USE_FLASHINFER_MOE_MXFP4_MXFP8_CUTLASS") == "1":
        return (CUTLASS,)
    capability, release = config.gpu.compute_capability, config.release.key[:2]
    if config.gpu.vendor == "amd" or capability is None:
        return (TRITON, MARLIN)
    if capability[0] == 10:
        return (TRTLLM_OLD if release < (0, 12) else TRTLLM, CUTLASS)
    if capability[0] == 9:
        if release < (0, 11):
            return (MARLIN,)
        return (TRITON,) if release <= (0, 14) else (TRITON, MARLIN)
    return (MARLIN,)
