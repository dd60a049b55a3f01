"""GPU memory while weights load, where it exceeds what they take afterwards (vllm-memory.md 1.3)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term
from vllmlint.memory.quantized import is_online
from vllmlint.memory.tensors import EXPERTS, LINEAR, stage_tensors
from vllmlint.memory.weights import weight_terms, weight_total
from vllmlint.record import replace

GIB = 1 << 30
#: From here on an online method quantises each layer as soon as it is loaded (about 0.12 by vllm-memory.md
#: 1.3); before, the whole model is loaded in its own dtype first.
STREAMED_SINCE = (0, 12)


def loading_peak(config: EngineConfig, stage: int) -> Term:
    """The most that weights take on a rank of a stage while they load, in GiB; at least what they end at.

    Raises WeightsUnknownError as `weight_terms` does.
    """
    final = weight_total(weight_terms(config, stage))
    if is_online(config):
        plain = replace(config, quantization=None)
        before = weight_total(weight_terms(plain, stage))
        if config.release.key[:2] < STREAMED_SINCE:
            peak = Band(max(final.low, before.low), max(final.mid, before.mid), max(final.high, before.high))
            return Term("loading", peak, "the whole model in its own dtype, then quantised")
        layer = _largest_tensor(plain, stage) / GIB
        streamed = Band(final.low, final.mid + layer, final.high + 2 * layer, "layers in flight")
        return Term("loading", streamed, "quantised layer by layer: one layer more in its own dtype")
    if config.quantization is None:
        return Term("loading", final, "loaded in place")
    layer = _largest_tensor(config, stage) / GIB
    repacked = Band(
        final.low, final.mid + layer, final.high + 2 * layer, "kernels repack one tensor at a time"
    )
    return Term("loading", repacked, "the largest tensor twice while it is repacked")


def _largest_tensor(config: EngineConfig, stage: int) -> float:
    """Bytes of the largest tensor of a layer that is quantised or repacked."""
    sizes = (
        max(tensor.sizes()) / tensor.times
        for tensor in stage_tensors(config, stage)
        if tensor.part in (LINEAR, EXPERTS)
    )
    return max(sizes, default=0.0)
