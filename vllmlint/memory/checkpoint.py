"""The published size of a checkpoint as a cross-check of the weights (vllm-memory.md 1.3)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term
from vllmlint.memory.linear_bytes import dtype_bytes, linear_bytes
from vllmlint.memory.tensors import EXPERTS, LINEAR
from vllmlint.models.modules import Module, modules_of
from vllmlint.models.quantization import CheckpointQuantization, quantization_of
from vllmlint.models.schemes import WeightScheme

#: A stated size that differs by more than this (MTP layers and file headers allowed for) is another story
#: than a rounding: the truth may be either.
_AGREES = 0.02
#: What a scheme that is only inferred may be off by, of the quantised part: attention that stays in bf16 is
#: a tenth to a fifth of the layers of the checkpoints whose lists are known.
_DOUBT = 0.15


def published_bytes(config: EngineConfig) -> Band | None:
    """Bytes of the checkpoint by what is published: its files' size, else parameters times their width."""
    published = config.architecture.published
    size = published.get("checkpoint_gb")
    if isinstance(size, int | float):
        return Band(size * 1e9 * 0.97, size * 1e9, size * 1e9 * 1.02, "by the size of the checkpoint's files")
    count = published.get("total_params_b")
    if not isinstance(count, int | float):
        return None
    found = quantization_of(config.architecture)
    scheme = None if found is None else found.main_scheme
    width = linear_bytes(4096, 4096, scheme, dtype_bytes(config.dtype)) / 4096**2
    mid = count * 1e9 * width
    return Band(mid * 0.9, mid, mid * 1.15, "by the published parameter count")


def file_bytes(config: EngineConfig, *, with_mtp: bool) -> float:
    """Bytes of the checkpoint's files as the modules and schemes give them."""
    found = quantization_of(config.architecture)
    plain = dtype_bytes(config.dtype)
    result = 0.0
    for module in modules_of(config.architecture):
        if module.extra or (module.part == "mtp" and not with_mtp):
            continue
        result += _module_bytes(module, found, plain)
    return result


def _module_bytes(module: Module, found: CheckpointQuantization | None, plain: int) -> float:
    width = module.dtype_bytes or plain
    layers = module.layers or (0,)
    schemes: dict[WeightScheme | None, int] = {None: len(layers)}
    if found is not None and module.role not in ("never", "embedding", "vision"):
        schemes = found.schemes_of(module.quant_name, module.role, layers)
    result = 0.0
    for scheme, times in schemes.items():
        each = linear_bytes(module.out_features, module.in_features, scheme, width)
        result += times * module.copies * (each + module.bias * width)
    return result


def checked_against_checkpoint(config: EngineConfig, parts: list[Term]) -> list[Term]:
    """The parts, with a band where the schemes are doubtful, narrowed by the files' size where it is known.

    The size of the files decides what the list of unquantised modules leaves open: linear layers and
    experts are scaled so that the whole agrees with it.
    """
    found = quantization_of(config.architecture)
    doubt = "" if found is None else found.doubt
    if not doubt:
        return parts
    stated = config.architecture.published.get("checkpoint_gb")
    factor, spread = 1.0, _DOUBT
    if isinstance(stated, int | float):
        factor = _factor(config, stated * 1e9)
        spread = _AGREES
    return [
        _doubted(part, factor, spread, doubt) if part.name in (LINEAR, EXPERTS) else part for part in parts
    ]


def _factor(config: EngineConfig, stated: float) -> float:
    """What the quantised parts must be multiplied by for the files to have the stated size; the nearer of
    with and without MTP layers counts."""
    sums = [file_bytes(config, with_mtp=False), file_bytes(config, with_mtp=True)]
    nearest = min(sums, key=lambda size: abs(size - stated))
    found, plain = quantization_of(config.architecture), dtype_bytes(config.dtype)
    quantised = sum(
        _module_bytes(module, found, plain)
        for module in modules_of(config.architecture)
        if module.role in ("linear", "experts") and not module.extra and module.part == "text"
    )
    if quantised <= 0:
        return 1.0
    factor = 1 + (stated - nearest) / quantised
    return factor if 0.5 < factor < 2 else 1.0


def _doubted(part: Term, factor: float, spread: float, doubt: str) -> Term:
    gib = part.gib.scaled(factor)
    reasons = "; ".join(text for text in (gib.reason, doubt) if text)
    return Term(
        part.name, Band(gib.low * (1 - spread), gib.mid, gib.high * (1 + spread), reasons), part.formula
    )
