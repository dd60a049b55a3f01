"""The quantization method (`ModelConfig._verify_quantization`, `get_quant_config`; vllm-memory.md 4.3)."""

from __future__ import annotations

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.given import Given
from vllmlint.engine.read_releases import stand_in
from vllmlint.facts.quantization_methods import MethodRow, method_releases, method_row
from vllmlint.models.quantization import CheckpointQuantization
from vllmlint.serving.release import Release

#: Since 0.31.0 `fp8` on an unquantised checkpoint is taken for this one, with a warning.
ONLINE_FP8 = "fp8_per_tensor"
#: Names of checkpoint methods that are online shorthands too (`_ONLINE_SHORTHANDS`), from this release on.
SHARED_SHORTHANDS, SHORTHANDS_SINCE = frozenset({"mxfp4", "mxfp8"}), "0.24.0"
#: Methods refused without `--allow-deprecated-quantization`, 0.14.0 on (`DEPRECATED_QUANTIZATION_METHODS`).
DEPRECATED = frozenset({"fbgemm_fp8", "fp_quant"})
_GPTQ_NAMES = frozenset({"gptq", "gptq_marlin", "auto_gptq", "marlin"})
_AWQ_NAMES = frozenset({"awq", "awq_marlin", "auto_awq", "marlin"})
#: What Marlin converts: (bits, sym) of GPTQ, and group sizes (`GPTQMarlinConfig.TYPE_MAP`).
_MARLIN_GPTQ = frozenset({(4, True), (8, True)})
_MARLIN_GROUPS = frozenset({-1, 32, 64, 128})


def method_of(name: str, release: Release) -> MethodRow | None:
    """What a release knows of a method; None: it has none of that name."""
    return method_row(name, stand_in(method_releases(), release))


def resolve_quantization(given: Given, checkpoint: CheckpointQuantization | None) -> str | None:
    """The method after aliases; RefusedError for one that contradicts the checkpoint or is unknown."""
    asked = given.text("quantization")
    asked = asked.lower() if asked is not None and asked != "None" else None
    method = asked
    if checkpoint is not None:
        declared = declared_method(given, checkpoint)
        override = _override(given, checkpoint, declared, asked)
        method = override or asked or declared
        if override is None and asked is not None and asked != declared:
            raise RefusedError(
                "quantization-mismatch",
                f"Quantization method specified in the model config ({declared}) does not match the "
                f"quantization method specified in the `quantization` argument ({asked}).",
                "quantization",
            )
    if method is not None and method_of(method, given.release) is None:
        raise RefusedError("quantization-unknown", f"Unknown quantization method: {method}.", "quantization")
    if method in DEPRECATED and given.since("0.14.0") and not given.flag("allow_deprecated_quantization"):
        raise RefusedError(
            "quantization-deprecated",
            f"The quantization method {method} is deprecated and will be removed in future versions of vLLM. "
            "To bypass, set `--allow-deprecated-quantization`.",
            "quantization",
        )
    return method


def declared_method(given: Given, checkpoint: CheckpointQuantization) -> str:
    """`quant_method` as the checkpoint states it and vLLM's model hooks rewrite it."""
    stated = str(given.architecture.part("quantization_config").get("quant_method") or "").lower()
    declared = stated.replace("compressed_tensors", "compressed-tensors")
    if declared == "mxfp4" and given.architecture.model_type == "gpt_oss" and given.since("0.20.0"):
        return "gpt_oss_mxfp4"
    if declared in ("", "modelopt"):
        return checkpoint.method
    return declared


def _override(
    given: Given, checkpoint: CheckpointQuantization, declared: str, asked: str | None
) -> str | None:
    """`override_quantization_method` of the methods that have one."""
    if asked == "humming" and method_of("humming", given.release) is not None:
        return "humming"
    if declared in ("auto-round", "intel/auto-round") and given.since("0.16.0"):
        return "inc"
    if asked == "moe_wna16" and declared in ("gptq", "awq"):
        return "moe_wna16"
    if declared == "gptq":
        return _gptq(given, asked)
    if declared == "awq":
        return _awq(given, asked)
    if declared == "gpt_oss_mxfp4":
        return "gpt_oss_mxfp4"
    if checkpoint.method.startswith("modelopt") and given.since("0.10.0"):
        return checkpoint.method
    if declared == "fp8" and checkpoint.method == "deepseek_v4_fp8":
        return "deepseek_v4_fp8"
    return None


def _gptq(given: Given, asked: str | None) -> str | None:
    if given.since("0.22.0"):
        return "auto_gptq" if asked is None or asked in _GPTQ_NAMES else None
    # What the config is not known to state is taken as checkpoints have it.
    config = given.architecture.part("quantization_config")
    convertible = (config.get("bits", 4), config.get("sym", True)) in _MARLIN_GPTQ
    convertible = convertible and config.get("group_size", 128) in _MARLIN_GROUPS
    if convertible and _marlin_runs(given) and asked in (None, "marlin", "gptq_marlin"):
        return "gptq_marlin"
    return None


def _awq(given: Given, asked: str | None) -> str | None:
    if given.since("0.24.0"):
        return "auto_awq" if asked is None or asked in _AWQ_NAMES else None
    config = given.architecture.part("quantization_config")
    group = config.get("group_size", config.get("q_group_size", 128))
    convertible = config.get("bits", config.get("w_bit", 4)) == 4 and group in _MARLIN_GROUPS
    if convertible and _marlin_runs(given) and asked in (None, "marlin", "awq_marlin"):
        return "awq_marlin"
    return None


def _marlin_runs(given: Given) -> bool:
    return given.capability is None or given.capability >= (75 if given.since("0.14.0") else 80)


def _of_unquantized(given: Given, method: str, row: MethodRow) -> MethodRow:
    """The method as it works on an unquantised checkpoint: online where it can, else refused where it has
    to be told what a quantised checkpoint states."""
    online = method_of(ONLINE_FP8, given.release)
    shorthand = method in SHARED_SHORTHANDS or (method == "fp8" and given.since("0.31.0"))
    if online is not None and shorthand and given.since(SHORTHANDS_SINCE):
        return online
    if row.online or not (row.files or row.needs_checkpoint):
        return row
    raise RefusedError(
        "quantization-config-missing", f"Cannot find the config file for {method}", "quantization"
    )


def check_method(given: Given, method: str | None, stated: bool, dtype: str) -> None:
    """What `get_quant_config` and `_get_quantization_config` refuse: a method that needs a config file of
    the checkpoint (`stated`: it has one), a GPU too old for it, a dtype it does not compute in."""
    row = None if method is None else method_of(method, given.release)
    if method is None or row is None:
        return
    if not stated:
        row = _of_unquantized(given, method, row)
    if row.capability is not None and given.capability is not None and given.capability < row.capability:
        raise RefusedError(
            "quantization-needs-newer-gpu",
            f"The quantization method {method} is not supported for the current GPU. Minimum capability: "
            f"{row.capability}. Current capability: {given.capability}.",
            "quantization",
        )
    if dtype not in row.dtypes:
        raise RefusedError(
            "quantization-dtype",
            f"torch.{dtype} is not supported for quantization method {method}.",
            "dtype",
            "quantization",
        )
