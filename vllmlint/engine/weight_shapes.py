"""Shapes of quantised weights that a rank cannot hold (`create_weights`; vllm-memory.md 4.3)."""

from __future__ import annotations

from math import gcd

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.facts.quantization_methods import scheme_history
from vllmlint.models.modules import Module
from vllmlint.models.schemes import WeightScheme

#: Marlin's thread tiles (`GPTQ_MARLIN_MIN_THREAD_N`, `_K`); since 0.24.0 it pads up to them instead.
MARLIN_TILE_OUT, MARLIN_TILE_IN, MARLIN_PADS_SINCE = 64, 128, "0.24.0"
#: Machete's tiles, on compute capability 9.0 alone, for groups of 128 or whole channels.
MACHETE_TILE_IN, MACHETE_TILE_OUT = 64, 128
#: int32 holds so many 4-bit weights: AWQ packs its outputs.
INT4_PACK = 8
#: Since 0.29.0 the scales of fp8 experts are spread over finer tiles where a rank's part ends within one.
FINER_TILES_SINCE, FINEST_TILE = "0.29.0", 32
#: What shares an NVFP4 scale.
NVFP4_GROUP = 16
_AWQ = frozenset({"awq", "awq_marlin", "auto_awq"})
_SETTINGS = ("tensor_parallel_size",)


def rank_shape(config: EngineConfig, module: Module) -> tuple[int, int]:
    """Outputs and inputs of a module on one rank."""
    ranks = config.tensor_parallel_size
    if module.role == "experts" and config.enable_expert_parallel:
        ranks = 1
    outputs, inputs = module.out_features, module.in_features
    if module.shard == "out":
        if module.units and module.units < ranks:
            return outputs // module.units, inputs
        return outputs // ranks, inputs
    return (outputs, inputs // ranks) if module.shard == "in" else (outputs, inputs)


def capability_refusal(config: EngineConfig, scheme: WeightScheme) -> Refusal | None:
    """A compressed-tensors scheme that the GPU is too old for; None: it is not, or its age is not known."""
    pair = config.gpu.compute_capability
    if pair is None or config.quantization != "compressed-tensors":
        return None
    name: str = scheme.format
    if scheme.format in ("int", "nvfp4") and scheme.activations is not None:
        name = "int8-activations" if scheme.format == "int" else "nvfp4-activations"
    known = [least for since, least in scheme_history(name) if config.release.at_least(since)]
    capability = pair[0] * 10 + pair[1]
    if not known or capability >= known[-1]:
        return None
    return Refusal(
        "quantization-scheme-needs-newer-gpu",
        f"Quantization scheme is not supported for the current GPU. Min capability: {known[-1]}. Current "
        f"capability: {capability}.",
        "model",
        ("quantization",),
    )


def shape_refusal(
    config: EngineConfig, module: Module, scheme: WeightScheme, merged_head: bool
) -> Refusal | None:
    """Why a rank cannot hold its part of a quantised matrix; None: it can."""
    outputs, inputs = rank_shape(config, module)
    if scheme.block is not None:
        return _tile_refusal(config, module, scheme.block, outputs, inputs, merged_head)
    if scheme.format == "int" and scheme.activations is None and module.role == "linear":
        if config.quantization in _AWQ:
            return _awq_refusal(scheme, module, outputs, inputs)
        return _packed_refusal(config, scheme, module, outputs, inputs)
    modelopt = config.quantization in ("modelopt_fp4", "modelopt_mixed")
    if scheme.format == "nvfp4" and modelopt and module.role == "linear" and inputs % NVFP4_GROUP:
        return _refusal("Unsupported model when in features size is not multiple of 16")
    return None


def _tile_refusal(
    config: EngineConfig,
    module: Module,
    block: tuple[int, int],
    outputs: int,
    inputs: int,
    merged_head: bool,
) -> Refusal | None:
    """fp8 in tiles: what is split must end on a tile (`validate_fp8_block_shape`)."""
    tile_out, tile_in = block
    ranks = config.tensor_parallel_size
    if module.role == "experts":
        width = outputs // 2 if module.name.endswith("gate_up_proj") else inputs
        if _finer_tiles(config, module, block, width):
            return None
        if module.name.endswith("gate_up_proj") and (outputs // 2) % tile_out:
            return _refusal(
                f"The output_size of gate's and up's weight = {outputs // 2} is not divisible by weight "
                f"quantization block_n = {tile_out}."
            )
        if module.shard == "in" and ranks > 1 and inputs % tile_in:
            return _refusal(
                f"The input_size of down's weight = {inputs} is not divisible by weight quantization "
                f"block_k = {tile_in}."
            )
        return None
    if module.shard == "in" and ranks > 1 and inputs % tile_in:
        return _refusal(
            f"Weight input_size_per_partition = {inputs} is not divisible by weight quantization "
            f"block_k = {tile_in}."
        )
    split = module.shard == "out" and ranks > 1
    if (split or merged_head) and outputs % tile_out:
        return _refusal(
            f"Weight output_partition_size = {outputs} is not divisible by weight quantization "
            f"block_n = {tile_out}."
        )
    return None


def _finer_tiles(config: EngineConfig, module: Module, block: tuple[int, int], width: int) -> bool:
    """Whether experts take a finer tile that divides everything (`refine_fp8_moe_block_shape`)."""
    hidden = module.in_features if module.name.endswith("gate_up_proj") else module.out_features
    return config.release.at_least(FINER_TILES_SINCE) and gcd(*block, width, hidden) >= FINEST_TILE


def _awq_refusal(scheme: WeightScheme, module: Module, outputs: int, inputs: int) -> Refusal | None:
    group = scheme.group_size if scheme.group_size > 0 else module.in_features
    if inputs % group:
        return _refusal(
            "The input size is not aligned with the quantized weight shape. This can be caused by too large "
            "tensor parallel size."
        )
    if outputs % INT4_PACK:
        return _refusal(
            "The output size is not aligned with the quantized weight shape. This can be caused by too large "
            "tensor parallel size."
        )
    return None


def _packed_refusal(
    config: EngineConfig, scheme: WeightScheme, module: Module, outputs: int, inputs: int
) -> Refusal | None:
    """GPTQ and compressed-tensors integers: some kernel must take the shape (`choose_mp_linear_kernel`)."""
    group = scheme.group_size if scheme.strategy == "group" and scheme.group_size > 0 else -1
    capability = config.gpu.compute_capability or (9, 0)
    whole_tiles = inputs % MACHETE_TILE_IN == 0 and outputs % MACHETE_TILE_OUT == 0
    if capability == (9, 0) and group in (-1, 128) and whole_tiles:
        return None
    straddles = group != -1 and group < module.in_features and inputs % group != 0
    padded = config.release.at_least(MARLIN_PADS_SINCE)
    tiles = padded or (outputs % MARLIN_TILE_OUT == 0 and inputs % MARLIN_TILE_IN == 0)
    if tiles and not straddles:
        return None
    exllama = config.dtype == "float16" and group > 0 and module.in_features % group == 0
    if exllama and outputs % (32 // int(scheme.bits)) == 0:
        return None
    return _refusal(
        "Failed to find a kernel that can implement the WNA16 linear layer: "
        f"{inputs} inputs and {outputs} outputs a rank, groups of {group}."
    )


def _refusal(message: str) -> Refusal:
    return Refusal("tp-does-not-divide-quantized-weight", message, "model", _SETTINGS)
