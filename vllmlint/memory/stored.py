"""The size of a model's files as they lie on the hub or in a volume."""

from __future__ import annotations

from functools import lru_cache

from vllmlint.memory.band import Band, exact
from vllmlint.memory.checkpoint import checkpoint_bytes, stated_dtype_bytes
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules import parameter_count
from vllmlint.models.quantization import quantization_of

#: What a stated size is rounded by; it is that of the weights' files, the tokenizer's come on top.
_ROUNDING = (0.97, 1.02)
#: A stated size that is this near to twice what the modules take counts two copies (gpt-oss keeps its
#: `original/` and `metal/` forms beside the safetensors; vLLM leaves those out of the download).
_SECOND_COPY = 0.05
#: Counted modules that are this near to the stated number of parameters are all there are.
_COMPLETE = 0.03
#: Bytes of a float32 number.
_WIDE = 4
#: Four bits a parameter: no checkpoint that vLLM loads whole is smaller.
_LEAST_BYTES = 0.5


@lru_cache(maxsize=64)
def stored_bytes(architecture: ModelArchitecture) -> Band | None:
    """Bytes of the files that vLLM reads to load a model; None when neither files nor parameters are known.

    What is published of the files comes first, then the modules that the config names, each in its scheme.
    `low` is what the files surely take.
    """
    exact_size = architecture.published.get("checkpoint_bytes")
    if isinstance(exact_size, int) and exact_size > 0:
        return exact(float(exact_size))
    counted = _counted(architecture)
    stated = architecture.published.get("checkpoint_gb")
    if isinstance(stated, int | float) and stated > 0:
        size = stated * 1e9
        if counted is not None and abs(size / counted.mid - 2) < _SECOND_COPY:
            return Band(counted.low, counted.mid, size, "the repository may hold a second copy")
        low, high = _ROUNDING
        return Band(size * low, size, size * high, "by the size of the checkpoint's files")
    return counted


def _counted(architecture: ModelArchitecture) -> Band | None:
    count = parameter_count(architecture)
    if count is None or not count.total:
        return None
    stated = architecture.published.get("total_params_b")
    if isinstance(stated, int | float) and not count.doubts:
        rounded = architecture.published.get("total_params_rounded")
        if not rounded and abs(count.total / (stated * 1e9) - 1) > _COMPLETE:
            return None
    found = quantization_of(architecture)
    without, whole = (checkpoint_bytes(architecture, with_mtp=mtp) for mtp in (False, True))
    low = without * _ROUNDING[0]
    if found is not None and found.doubt:
        low = min(low, count.total * _LEAST_BYTES)
    if stated_dtype_bytes(architecture) == _WIDE:  # of training; the files may have been saved in halves
        low /= 2
    reason = "; ".join((*count.doubts, "by the parameters of its modules"))
    return Band(low, whole, max(whole, without) * _ROUNDING[1], reason)
