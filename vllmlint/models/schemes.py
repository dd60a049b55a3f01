"""How one linear layer keeps its weights: the scheme, and the schemes that vLLM's methods stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from vllmlint.record import record

#: The number format of the stored weights. `int` covers 2 to 8 bits, packed; `nf4` is bitsandbytes'.
WeightFormat = Literal["fp8", "int", "nvfp4", "mxfp4", "mxfp8", "nf4", "gguf"]
#: What one scale covers: the whole matrix, an output channel, a group of inputs, a tile.
ScaleStrategy = Literal["tensor", "channel", "group", "block"]


@record
class WeightScheme:
    """How a linear layer keeps its weights.

    `bits` a weight (a fraction for GGUF). `group_size` inputs share a scale (`strategy` group), or
    `block` outputs times inputs (`strategy` block). `scale_bytes` is the size of one scale; None: that
    of the model's dtype. `zero_points` and `desc_act` say that packed zero points and the order of the
    inputs are stored too. `activations` is None for weight-only schemes; `activation_bits` counts then.
    """

    format: WeightFormat
    bits: float
    strategy: ScaleStrategy
    group_size: int = 0
    block: tuple[int, int] | None = None
    scale_bytes: int | None = 4
    zero_points: bool = False
    desc_act: bool = False
    activations: Literal["static", "dynamic"] | None = None
    activation_bits: int = 16

    def without_zero_points(self) -> WeightScheme:
        """The same scheme as a kernel keeps it that needs none."""
        return WeightScheme(
            self.format,
            self.bits,
            self.strategy,
            self.group_size,
            self.block,
            self.scale_bytes,
            False,
            self.desc_act,
            self.activations,
            self.activation_bits,
        )


#: Inputs that share a scale by the format's own definition: 16 for NVFP4, 32 for the OCP microscaling ones.
NVFP4_GROUP, MX_GROUP = 16, 32
#: The tile that DeepSeek-V3, Qwen3 and MiniMax chose for fp8, and vLLM for its online form.
FP8_BLOCK = (128, 128)

FP8_TENSOR = WeightScheme("fp8", 8, "tensor", activations="dynamic", activation_bits=8)
FP8_CHANNEL = WeightScheme("fp8", 8, "channel", activations="dynamic", activation_bits=8)
FP8_BLOCKS = WeightScheme("fp8", 8, "block", block=FP8_BLOCK, activations="dynamic", activation_bits=8)
INT8_CHANNEL = WeightScheme("int", 8, "channel", activations="dynamic", activation_bits=8)
INT8_WEIGHT_ONLY = WeightScheme("int", 8, "channel")
NVFP4 = WeightScheme(
    "nvfp4", 4, "group", NVFP4_GROUP, scale_bytes=1, activations="dynamic", activation_bits=4
)
NVFP4_WEIGHT_ONLY = WeightScheme("nvfp4", 4, "group", NVFP4_GROUP, scale_bytes=1)
MXFP4 = WeightScheme("mxfp4", 4, "group", MX_GROUP, scale_bytes=1)
MXFP8 = WeightScheme("mxfp8", 8, "group", MX_GROUP, scale_bytes=1, activations="dynamic", activation_bits=8)
NF4 = WeightScheme("nf4", 4, "group", 64)
#: NF4 whose scales are quantised to 8 bits (bitsandbytes' compressed statistics).
NF4_NESTED = WeightScheme("nf4", 4, "group", 64, scale_bytes=1)

#: What `--quantization` does to a checkpoint that is not quantised (vllm-memory.md 1.3).
ONLINE_SCHEMES: Mapping[str, WeightScheme] = {
    "fp8": FP8_TENSOR,
    "fp8_per_tensor": FP8_TENSOR,
    "fp8_per_block": FP8_BLOCKS,
    "fp8_per_channel": FP8_CHANNEL,
    "ptpc_fp8": FP8_CHANNEL,
    "fbgemm_fp8": FP8_CHANNEL,
    "int8_per_channel_weight_only": INT8_WEIGHT_ONLY,
    "experts_int8": INT8_WEIGHT_ONLY,
    "nvfp4_per_token": NVFP4,
    "mxfp8": MXFP8,
    "mxfp4": MXFP4,
    "bitsandbytes": NF4,
    "rtn": WeightScheme("int", 4, "group", 128, scale_bytes=None),
    "deepspeedfp": WeightScheme("int", 8, "group", 512, scale_bytes=None),
}

#: Methods that touch nothing but routed experts.
EXPERTS_ONLY = frozenset({"mxfp4", "gpt_oss_mxfp4", "experts_int8"})

#: Bits a weight of the GGUF types (bytes of a block over its weights, vllm-memory.md 1.3).
GGUF_BITS: Mapping[str, float] = {
    "Q2_K": 84 * 8 / 256,
    "Q3_K": 110 * 8 / 256,
    "Q4_0": 18 * 8 / 32,
    "Q4_K": 144 * 8 / 256,
    "Q5_K": 176 * 8 / 256,
    "Q6_K": 210 * 8 / 256,
    "Q8_0": 34 * 8 / 32,
    "F16": 16.0,
}


def integer_scheme(config: Mapping[str, Any], *, zero_points: bool) -> WeightScheme:
    """The scheme of a GPTQ or AWQ config: bits, group size (-1: a scale an output channel), order."""
    bits = _number(config.get("bits") or config.get("w_bit")) or 4
    group = _number(config.get("group_size") or config.get("q_group_size"))
    group = 128 if group is None else group
    return WeightScheme(
        "int",
        bits,
        "group" if group > 0 else "channel",
        int(group) if group > 0 else 0,
        scale_bytes=None,
        zero_points=zero_points,
        desc_act=config.get("desc_act") is True,
    )


def fp8_scheme(config: Mapping[str, Any]) -> WeightScheme:
    """The scheme of an `fp8` config: tiles where `weight_block_size` says so, else one scale a matrix."""
    block = config.get("weight_block_size")
    static = config.get("activation_scheme") == "static"
    if isinstance(block, list | tuple) and len(block) == 2:
        # ue8m0 scales are one exponent byte in the file; vLLM keeps them as fp32 unless its kernels pack them
        return WeightScheme(
            "fp8", 8, "block", block=(int(block[0]), int(block[1])), activations="dynamic", activation_bits=8
        )
    return WeightScheme("fp8", 8, "tensor", activations="static" if static else "dynamic", activation_bits=8)


def group_scheme(group: Mapping[str, Any], form: str) -> WeightScheme | None:
    """The scheme of one of the `config_groups` of compressed-tensors or ModelOpt; None without weights.

    `form` is the group's or the config's `format` (`pack-quantized`, `nvfp4-pack-quantized`, …).
    """
    weights = group.get("weights")
    if not isinstance(weights, Mapping):
        return None
    bits = _number(weights.get("num_bits")) or 8
    acts = group.get("input_activations")
    has_acts = isinstance(acts, Mapping)
    activations: Any = None
    act_bits = 16
    if isinstance(acts, Mapping):
        activations = "dynamic" if acts.get("dynamic") in (True, "local") else "static"
        act_bits = int(_number(acts.get("num_bits")) or 8)
    group_size = int(_number(weights.get("group_size")) or 0)
    strategy = str(weights.get("strategy") or ("group" if group_size > 0 else "tensor"))
    if weights.get("type") == "float" and bits == 4:
        return _float4(form, group_size, activations, act_bits)
    if weights.get("type") == "float":
        return _float8(weights, strategy, group_size, activations, act_bits)
    grouped = strategy in ("group", "tensor_group") and group_size > 0
    return WeightScheme(
        "int",
        bits,
        "group" if grouped else "channel",
        group_size if grouped else 0,
        # int8 with quantised activations multiplies by fp32 scales, weight-only kernels by the model's dtype
        scale_bytes=4 if has_acts and bits == 8 else None,
        zero_points=weights.get("symmetric") is False,
        desc_act=weights.get("actorder") in ("group", True),
        activations=activations,
        activation_bits=act_bits,
    )


def _float4(form: str, group_size: int, activations: Any, act_bits: int) -> WeightScheme:
    if "mxfp4" in form or group_size == MX_GROUP:
        return WeightScheme("mxfp4", 4, "group", MX_GROUP, None, 1, False, False, activations, act_bits)
    return WeightScheme(
        "nvfp4", 4, "group", group_size or NVFP4_GROUP, None, 1, False, False, activations, act_bits
    )


def _float8(
    weights: Mapping[str, Any], strategy: str, group_size: int, activations: Any, act_bits: int
) -> WeightScheme:
    block = weights.get("block_structure")
    if strategy == "block":
        size = (int(block[0]), int(block[1])) if isinstance(block, list | tuple) else FP8_BLOCK
        return WeightScheme("fp8", 8, "block", 0, size, 4, False, False, activations, act_bits)
    if group_size == MX_GROUP and strategy == "group":
        return WeightScheme("mxfp8", 8, "group", MX_GROUP, None, 1, False, False, activations, act_bits)
    kind: ScaleStrategy = "channel" if strategy in ("channel", "token") else "tensor"
    return WeightScheme("fp8", 8, kind, 0, None, 4, False, False, activations, act_bits)


def _number(value: Any) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
