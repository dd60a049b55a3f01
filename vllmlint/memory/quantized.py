"""The quantisation that weights end up in: the checkpoint's own, or one that vLLM applies while it loads."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.models.module_names import NameList
from vllmlint.models.quantization import CheckpointQuantization, quantization_of
from vllmlint.models.quantization_methods import SchemeRule
from vllmlint.models.schemes import EXPERTS_ONLY, ONLINE_SCHEMES, WeightScheme


def effective_quantization(config: EngineConfig) -> CheckpointQuantization | None:
    """The quantisation that the weights end up in: the checkpoint's, else what `--quantization` does online.

    Symmetric GPTQ weights carry packed zero points that only the plain kernel keeps; Marlin drops them.
    """
    found = quantization_of(config.architecture)
    if found is not None:
        return found
    scheme = ONLINE_SCHEMES.get(config.quantization or "")
    return None if scheme is None else online(config.quantization or "", scheme)


def online(method: str, scheme: WeightScheme) -> CheckpointQuantization:
    """A method that quantises every linear layer (or every expert) while it loads."""
    targets = NameList((r"re:.*\bexperts\b.*",), "regex") if method in EXPERTS_ONLY else None
    return CheckpointQuantization(method, method, (SchemeRule(scheme, targets),), NameList((), "exact"))
