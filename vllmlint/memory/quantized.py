"""The quantisation that weights end up in: the checkpoint's own, or one that vLLM applies while it loads."""

from __future__ import annotations

from functools import lru_cache

from vllmlint.engine.config import EngineConfig
from vllmlint.models.module_names import NameList
from vllmlint.models.quantization import CheckpointQuantization, quantization_of
from vllmlint.models.quantization_methods import SchemeRule
from vllmlint.models.schemes import EXPERTS_ONLY, NF4_NESTED, ONLINE_SCHEMES, WeightScheme

#: Before, scales of weights that bitsandbytes quantises while loading stayed quantised themselves, one byte
#: (Qwen2.5-7B in 0.7.x: 5.20 GiB logged, 5.17 so, 5.46 with fp32 scales).
_PLAIN_STATISTICS = (0, 9)
_MARLIN_CAPABILITY = (7, 5)


def effective_quantization(config: EngineConfig) -> CheckpointQuantization | None:
    """The quantisation that the weights end up in: the checkpoint's, else what `--quantization` does online.

    Symmetric GPTQ weights carry packed zero points that only the plain kernel keeps; Marlin drops them.
    """
    found = quantization_of(config.architecture)
    if found is not None:
        return found if _keeps_zero_points(config, found) else _without_zero_points(found)
    scheme = ONLINE_SCHEMES.get(config.quantization or "")
    if config.quantization == "bitsandbytes" and config.release.key[:2] < _PLAIN_STATISTICS:
        scheme = NF4_NESTED
    return None if scheme is None else online(config.quantization or "", scheme)


def is_online(config: EngineConfig) -> bool:
    """Whether vLLM quantises the weights itself while it loads them."""
    return quantization_of(config.architecture) is None and (config.quantization or "") in ONLINE_SCHEMES


def _keeps_zero_points(config: EngineConfig, found: CheckpointQuantization) -> bool:
    """GPTQ's plain kernel keeps them in any case; Marlin (capability 7.5 on) those of asymmetric weights."""
    if found.method not in ("gptq", "gptq_marlin", "auto_gptq", "inc"):
        return True
    if config.architecture.part("quantization_config").get("sym") is False:
        return True
    capability = config.gpu.compute_capability
    return config.quantization == "gptq" or (capability is not None and capability < _MARLIN_CAPABILITY)


@lru_cache(maxsize=64)
def _without_zero_points(found: CheckpointQuantization) -> CheckpointQuantization:
    rules = tuple(
        SchemeRule(rule.scheme and rule.scheme.without_zero_points(), rule.targets) for rule in found.rules
    )
    return CheckpointQuantization(
        found.method,
        found.declared,
        rules,
        found.ignore,
        found.quantizes_lm_head,
        found.kv_cache_dtype,
        found.doubt,
    )


def online(method: str, scheme: WeightScheme) -> CheckpointQuantization:
    """A method that quantises every linear layer (or every expert) while it loads."""
    targets = NameList((r"re:.*\bexperts\b.*",), "regex") if method in EXPERTS_ONLY else None
    return CheckpointQuantization(method, method, (SchemeRule(scheme, targets),), NameList((), "exact"))
