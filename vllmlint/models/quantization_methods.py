"""How each quantisation method's config names its schemes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.module_names import NameList, NameMatching
from vllmlint.models.schemes import (
    FP8_CHANNEL,
    FP8_TENSOR,
    GGUF_BITS,
    INT8_WEIGHT_ONLY,
    MX_GROUP,
    MXFP4,
    MXFP8,
    NF4,
    NVFP4,
    NVFP4_WEIGHT_ONLY,
    WeightScheme,
    fp8_scheme,
    group_scheme,
    integer_scheme,
)
from vllmlint.record import record


@record
class SchemeRule:
    """One scheme and the modules it is for; `targets` None: every linear layer not named by another rule.

    `scheme` None: those modules stay in the model's dtype.
    """

    scheme: WeightScheme | None
    targets: NameList | None = None


#: The config names no group size; published checkpoints have 32 to 128, or one scale a channel.
GROUP_SIZE_DOUBT = "group size not stated, 128 taken"

_Read = tuple[tuple[SchemeRule, ...], str]


def _read_fp8(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    return (SchemeRule(fp8_scheme(config)),), ""


def _read_v4(config: Mapping[str, Any], _: Mapping[str, Any], architecture: ModelArchitecture) -> _Read:
    """DeepSeek V4: linears in fp8 tiles, experts MXFP4 unless `expert_dtype` is fp8 (vllm-memory.md 1.2)."""
    linear = fp8_scheme({"weight_block_size": [128, 128], **config})
    experts = linear if architecture.text("expert_dtype") == "fp8" else MXFP4
    groups = config.get("config_groups")
    for group in groups.values() if isinstance(groups, Mapping) else ():
        experts = group_scheme(group, "") or experts
    return (SchemeRule(experts, _EXPERT_NAMES), SchemeRule(linear)), ""


def _read_gptq(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    base = integer_scheme(config, zero_points=True)
    rules = []
    dynamic = config.get("dynamic")
    for key, change in dynamic.items() if isinstance(dynamic, Mapping) else ():
        if key.startswith("-:"):
            continue
        other = {**config, **(change if isinstance(change, Mapping) else {})}
        names = NameList((key.removeprefix("+:"),), "gptq")
        rules.append(SchemeRule(integer_scheme(other, zero_points=True), names))
    return (*rules, SchemeRule(base)), "" if "group_size" in config else GROUP_SIZE_DOUBT


def _read_awq(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    scheme = integer_scheme({**config, "desc_act": False}, zero_points=True)
    stated = "group_size" in config or "q_group_size" in config
    return (SchemeRule(scheme),), "" if stated else GROUP_SIZE_DOUBT


def _read_groups(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    """compressed-tensors: one rule a config group; `Linear` in its targets stands for every linear layer."""
    form = str(config.get("format") or "")
    groups = config.get("config_groups")
    if not isinstance(groups, Mapping) or not groups:
        return _FORMATS.get(form, ((), f"format {form or 'not stated'} without config groups"))
    named, general = [], []
    for group in groups.values():
        if not isinstance(group, Mapping):
            continue
        scheme = group_scheme(group, str(group.get("format") or form))
        targets = [str(target) for target in group.get("targets") or ()]
        names = tuple(target for target in targets if "." in target or ":" in target or "_" in target)
        if names:
            named.append(SchemeRule(scheme, NameList(names, "regex")))
        if len(names) < len(targets) or not targets:
            general.append(SchemeRule(scheme))
    return (*named, *general), ""


#: What a compressed-tensors format means where the groups are not recorded (presets of compressed-tensors).
_FORMATS: Mapping[str, _Read] = {
    "nvfp4-pack-quantized": ((SchemeRule(NVFP4),), "scheme inferred from the format"),
    "mxfp4-pack-quantized": ((SchemeRule(MXFP4),), "scheme inferred from the format"),
    "float-quantized": ((SchemeRule(FP8_CHANNEL),), "scheme inferred from the format"),
    "int-quantized": ((SchemeRule(INT8_WEIGHT_ONLY),), "scheme inferred from the format"),
    "pack-quantized": (
        (SchemeRule(WeightScheme("int", 4, "group", 128, scale_bytes=None)),),
        "scheme inferred from the format",
    ),
}

_EXPERT_NAMES = NameList((r"re:.*\bexperts\b.*",), "regex")
_MODELOPT_SCHEMES: Mapping[str, WeightScheme] = {
    "FP8": FP8_TENSOR,
    "NVFP4": NVFP4,
    "NVFP4_AWQ": NVFP4,
    "W4A16_NVFP4": NVFP4_WEIGHT_ONLY,
    "MXFP8": MXFP8,
    "FP8_PB_WO": WeightScheme("fp8", 8, "block", block=(128, 128)),
    "FP8_PER_CHANNEL_PER_TOKEN": FP8_CHANNEL,
}


def _read_modelopt(config: Mapping[str, Any], separate: Mapping[str, Any], _: ModelArchitecture) -> _Read:
    algorithm = str(config.get("quant_algo") or separate.get("quant_algo") or "FP8").upper()
    scheme = _MODELOPT_SCHEMES.get(algorithm)
    return (SchemeRule(scheme),) if scheme else (), "" if scheme else f"unknown algorithm {algorithm}"


#: In mixed checkpoints whose layer list is not recorded: the low-bit algorithm is the experts' and dense
#: MLPs' (and lm_head's), the 8-bit one everything else's. The published counts agree
#: (Nemotron-3.5-Lightning: 23 Mamba layers times 2 in FP8, 23 times 129 times 2 and lm_head in NVFP4).
_LOW_BIT_NAMES = NameList((r"re:.*(\bexperts\b|\bmlp\b|shared_expert|lm_head).*",), "regex")


def _read_mixed(config: Mapping[str, Any], separate: Mapping[str, Any], _: ModelArchitecture) -> _Read:
    layers = config.get("quantized_layers") or separate.get("quantized_layers")
    if isinstance(layers, Mapping):
        by_algorithm: dict[str, list[str]] = {}
        for name, detail in layers.items():
            algorithm = detail.get("quant_algo") if isinstance(detail, Mapping) else detail
            by_algorithm.setdefault(str(algorithm).upper(), []).append(name)
        return tuple(
            SchemeRule(_MODELOPT_SCHEMES.get(algorithm), NameList(tuple(names), "wildcard"))
            for algorithm, names in by_algorithm.items()
        ), ""
    counts = separate.get("quantized_layers_by_algo") or config.get("quantized_layers_by_algo")
    algorithms = list(counts) if isinstance(counts, Mapping) else ["NVFP4", "FP8"]
    known = sorted(
        (_MODELOPT_SCHEMES[name] for name in algorithms if name in _MODELOPT_SCHEMES), key=lambda s: s.bits
    )
    if not known:
        return (), "the schemes of the mixed checkpoint are not recorded"
    rules = [SchemeRule(known[0], _LOW_BIT_NAMES)]
    if len(known) > 1:
        rules.append(SchemeRule(known[-1]))
    return tuple(rules), "mixed precision: which layers have which scheme is inferred"


def _read_quark(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    whole = config.get("global_quant_config")
    rules = []
    layers = config.get("layer_quant_config")
    for name, detail in layers.items() if isinstance(layers, Mapping) else ():
        rules.append(SchemeRule(_quark_scheme(detail), NameList((str(name),), "wildcard")))
    general = _quark_scheme(whole)
    return (*rules, SchemeRule(general)), "" if general else "Quark scheme not recorded"


def _quark_scheme(detail: Any) -> WeightScheme | None:
    weight = detail.get("weight") if isinstance(detail, Mapping) else None
    weight = weight[0] if isinstance(weight, list) and weight else weight
    if not isinstance(weight, Mapping):
        return None
    dtype = str(weight.get("dtype") or "")
    if dtype == "fp4":
        return MXFP4 if weight.get("group_size") == MX_GROUP else NVFP4
    if dtype.startswith("fp8"):
        return FP8_CHANNEL if weight.get("qscheme") == "per_channel" else FP8_TENSOR
    if dtype == "int4":
        return WeightScheme("int", 4, "group", int(weight.get("group_size") or 128), scale_bytes=None)
    return INT8_WEIGHT_ONLY if dtype == "int8" else None


def _read_bitsandbytes(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    return (SchemeRule(INT8_WEIGHT_ONLY if config.get("load_in_8bit") is True else NF4),), ""


def _read_inc(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    rules = []
    extra = config.get("extra_config")
    for name, change in extra.items() if isinstance(extra, Mapping) else ():
        bits = change.get("bits", 16) if isinstance(change, Mapping) else 16
        scheme = None if bits >= 16 else integer_scheme({**config, **change}, zero_points=True)
        matching: NameMatching = "gptq" if "*" in name else "exact"
        rules.append(SchemeRule(scheme, NameList((name,), matching)))
    return (*rules, SchemeRule(integer_scheme(config, zero_points=True))), ""


def _read_experts(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    scheme = INT8_WEIGHT_ONLY if config.get("quant_method") == "experts_int8" else MXFP4
    return (SchemeRule(scheme),), ""


def _read_gguf(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    bits = GGUF_BITS.get(str(config.get("file_type") or ""))
    if bits is None:
        return (SchemeRule(WeightScheme("gguf", GGUF_BITS["Q4_K"], "group", 256)),), "GGUF type not known"
    return (SchemeRule(WeightScheme("gguf", bits, "group", 256)),), ""


def _read_mx8(_: Mapping[str, Any], __: Mapping[str, Any], ___: ModelArchitecture) -> _Read:
    return (SchemeRule(MXFP8),), ""


def _read_fbgemm(_: Mapping[str, Any], __: Mapping[str, Any], ___: ModelArchitecture) -> _Read:
    return (SchemeRule(FP8_CHANNEL),), ""


def _read_unknown(config: Mapping[str, Any], _: Mapping[str, Any], __: ModelArchitecture) -> _Read:
    bits = config.get("bits")
    if isinstance(bits, int):
        return (SchemeRule(integer_scheme(config, zero_points=True)),), "scheme inferred from the bits"
    return (), f"how {config.get('quant_method')!r} keeps its weights is not known"


_READERS: Mapping[str, Callable[[Mapping[str, Any], Mapping[str, Any], ModelArchitecture], _Read]] = {
    "fp8": _read_fp8,
    "deepseek_v4_fp8": _read_v4,
    "gptq": _read_gptq,
    "gptq_marlin": _read_gptq,
    "auto_gptq": _read_gptq,
    "awq": _read_awq,
    "awq_marlin": _read_awq,
    "auto_awq": _read_awq,
    "compressed-tensors": _read_groups,
    "modelopt": _read_modelopt,
    "modelopt_fp4": _read_modelopt,
    "modelopt_mxfp8": _read_modelopt,
    "modelopt_mixed": _read_mixed,
    "mxfp8": _read_mx8,
    "mxfp4": _read_experts,
    "gpt_oss_mxfp4": _read_experts,
    "experts_int8": _read_experts,
    "fbgemm_fp8": _read_fbgemm,
    "quark": _read_quark,
    "bitsandbytes": _read_bitsandbytes,
    "inc": _read_inc,
    "gguf": _read_gguf,
}


def rules_of(
    method: str, config: Mapping[str, Any], separate: Mapping[str, Any], architecture: ModelArchitecture
) -> tuple[tuple[SchemeRule, ...], str]:
    """The schemes that a method's config names, most special first, and what is doubtful about them.

    `config` is the `quantization_config`, `separate` ModelOpt's own file; either may be empty.
    """
    return _READERS.get(method, _read_unknown)(config, separate, architecture)
