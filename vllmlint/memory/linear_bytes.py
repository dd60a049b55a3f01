"""Bytes of one weight matrix by how it is kept (vllm-memory.md 1.3)."""

from __future__ import annotations

from functools import lru_cache

from vllmlint.models.schemes import WeightScheme

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "half": 2, "float": 4}


def dtype_bytes(dtype: str) -> int:
    """Bytes of one number of the model's dtype; two where the name is not known (vLLM's default is bf16)."""
    return DTYPE_BYTES.get(dtype.removeprefix("torch."), 2)


@lru_cache(maxsize=4096)
def linear_parts(
    out_features: int,
    in_features: int,
    scheme: WeightScheme | None,
    plain_bytes: int,
    repacked: bool = False,
) -> tuple[int, int]:
    """Bytes of an `out_features` times `in_features` matrix on one rank: its weights, and beside them its
    scales, zero points and order of inputs.

    `scheme` None: `plain_bytes` a number. `repacked`: fp8 tiles on a GPU without fp8 arithmetic (compute
    capability below 8.9) are repacked for Marlin, whose scales are one a group of inputs and output channel.
    """
    count = out_features * in_features
    if scheme is None:
        return count * plain_bytes, 0
    weights = round(count * scheme.bits / 8)
    if scheme.format == "gguf":
        return weights, 0  # a GGUF block holds its scales
    scale = plain_bytes if scheme.scale_bytes is None else scheme.scale_bytes
    if scheme.strategy == "block" and scheme.block is not None:
        tall, wide = scheme.block
        if repacked:
            return weights, plain_bytes * out_features * -(-in_features // wide)
        return weights, scale * -(-out_features // tall) * -(-in_features // wide)
    if scheme.strategy == "channel":
        return weights, scale * out_features
    if scheme.strategy == "tensor":
        return weights, scale
    groups = out_features * -(-in_features // max(1, scheme.group_size))
    extra = round(groups * scheme.bits / 8) if scheme.zero_points else 0
    if scheme.desc_act:
        extra += 2 * 4 * in_features  # the order of the inputs and its inverse, int32 each
    if scheme.format == "nvfp4":
        extra += 8  # one fp32 scale for the weights, one for the inputs
    return weights, scale * groups + extra


def linear_bytes(
    out_features: int,
    in_features: int,
    scheme: WeightScheme | None,
    plain_bytes: int,
    *,
    repacked: bool = False,
) -> int:
    """All bytes of such a matrix."""
    return sum(linear_parts(out_features, in_features, scheme, plain_bytes, repacked))
