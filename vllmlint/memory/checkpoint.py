"""The published size of a checkpoint as a cross-check of the weights (vllm-memory.md 1.3)."""

from __future__ import annotations

from functools import lru_cache

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term
from vllmlint.memory.linear_bytes import dtype_bytes, linear_bytes
from vllmlint.memory.ranks import language_model_only
from vllmlint.memory.tensors import EXPERTS, LINEAR, stage_terms
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules import Module, ParameterCount, modules_of, parameter_count
from vllmlint.models.quantization import CheckpointQuantization, quantization_of
from vllmlint.models.quantization_methods import GROUP_SIZE_DOUBT
from vllmlint.models.schemes import WeightScheme

#: A stated size that differs by more than this (MTP layers and file headers allowed for) is another story
#: than a rounding: the truth may be either.
_AGREES = 0.02
#: Parameters of a common vision tower with projector (Qwen2.5-VL, SigLIP: 0.4 to 0.7 billion) and of the
#: largest (InternViT-6B).
_USUAL_TOWER, _LARGEST_TOWER = 0.5e9, 6e9
#: The encoder of Whisper large v3, which Qwen's audio models have.
_AUDIO_TOWER = 0.637e9
GIB = 1 << 30
#: Files that exceed the modules by nearly the MTP layers hold those.
_MOST = 0.9
#: Files that exceed the modules by more hold something else than a tower.
_COPIES = 0.25
#: Scales of 4-bit groups: one a channel in place of one in 128 weights takes 3 % away, one in 32 adds 9 %.
_FEWER_SCALES, _MORE_SCALES = 0.97, 1.09
#: Four bits and scales over sixteen, for a method that nothing is known of.
_FOUR_BIT = 0.28


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


def stated_dtype_bytes(architecture: ModelArchitecture) -> int:
    """Bytes of a number in the checkpoint's own dtype."""
    return dtype_bytes(architecture.text("torch_dtype") or architecture.text("dtype") or "bfloat16")


def checkpoint_bytes(architecture: ModelArchitecture, *, with_mtp: bool) -> float:
    """Bytes of a checkpoint's files: every module once, in its scheme or the dtype the config states."""
    found = quantization_of(architecture)
    plain = stated_dtype_bytes(architecture)
    return sum(
        _module_bytes(module, found, plain)
        for module in modules_of(architecture)
        if not module.extra and (with_mtp or module.part != "mtp")
    )


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


def unrecorded_term(config: EngineConfig, stage: int) -> list[Term]:
    """Towers that the config says nothing of: what the published total has beyond the modules.

    Where no total is published, or none that is exact, the band reaches from nothing to the largest tower of
    its kind. A model without such doubts, whose files are no larger than its modules, has no such term.
    """
    count = parameter_count(config.architecture)
    if count is None or stage or language_model_only(config):
        return []
    plain, tp = dtype_bytes(config.dtype), config.tensor_parallel_size
    left = _left_over(config, count, plain)
    reason = "; ".join(count.doubts)
    if left is None and count.doubts:
        usual, most = (_USUAL_TOWER, _LARGEST_TOWER) if "vision" in reason else (_AUDIO_TOWER, _AUDIO_TOWER)
        band = Band(0.0, usual * plain / tp / GIB, most * plain / GIB, reason)
        return [Term("towers not recorded", band, "no published size tells")]
    if left is None or (not count.doubts and left < _AGREES * count.total * plain):
        return []
    size = left / GIB
    sure = 0.9 if count.doubts else 0.0
    reason = reason or "the checkpoint is larger than the modules that its config names"
    band = Band(sure * size / tp, size / tp, 1.1 * size, reason)
    return [Term("towers not recorded", band, f"published less counted: {left:.0f} B")]


def _left_over(config: EngineConfig, count: ParameterCount, plain: int) -> float | None:
    """Bytes of the published total beyond the counted modules (with MTP layers where they fit in); None where
    nothing exact is published or it holds more than one copy (gpt-oss ships three formats)."""
    architecture = config.architecture
    stated, found = architecture.published.get("checkpoint_gb"), quantization_of(architecture)
    if isinstance(stated, int | float):
        if found is not None and (found.doubt or not count.doubts):
            return None
        counted = checkpoint_bytes(config.architecture, with_mtp=False)
        left, mtp = stated * 1e9 - counted, checkpoint_bytes(config.architecture, with_mtp=True) - counted
        left = max(0.0, left - mtp if left >= mtp * _MOST else left)
        return left if left < _COPIES * counted else None
    total = architecture.published.get("total_params_b")
    if total and not architecture.published.get("total_params_rounded"):
        return max(0.0, (float(total) * 1e9 - count.total) * plain)
    return None


def checked_against_checkpoint(config: EngineConfig, parts: list[Term], stage: int) -> list[Term]:
    """The parts, with a band where the schemes are doubtful.

    Where the files' size is known, it decides what the list of unquantised modules leaves open: linear
    layers and experts are scaled so that the whole agrees with it. Else the band reaches from every module
    quantised to those alone that no known checkpoint leaves plain.
    """
    found = quantization_of(config.architecture)
    if found is None or not found.doubt:
        return parts
    if isinstance(config.architecture.published.get("checkpoint_gb"), int | float):
        factor = _factor(config.architecture)
        bounds = [(part.gib.low * factor, part.gib.high * factor) for part in parts]
        return _doubted(parts, bounds, found.doubt, factor, _AGREES)
    if found.doubt == GROUP_SIZE_DOUBT:
        bounds = [(part.gib.low * _FEWER_SCALES, part.gib.high * _MORE_SCALES) for part in parts]
        return _doubted(parts, bounds, found.doubt)
    if not found.schemes:
        return _doubted(parts, [(part.gib.low * _FOUR_BIT, part.gib.high) for part in parts], found.doubt)
    least, most = stage_terms(config, stage, "most"), stage_terms(config, stage, "fewest")
    bounds = [(low.gib.low, high.gib.high) for low, high in zip(least, most, strict=True)]
    return _doubted(parts, bounds, found.doubt)


def _doubted(
    parts: list[Term],
    bounds: list[tuple[float, float]],
    doubt: str,
    factor: float = 1.0,
    spread: float = 0.0,
) -> list[Term]:
    """Linear layers and experts scaled, between bounds that are spread a little further."""
    result = []
    for part, (low, high) in zip(parts, bounds, strict=True):
        if part.name not in (LINEAR, EXPERTS):
            result.append(part)
            continue
        mid = part.gib.mid * factor
        reason = "; ".join(text for text in (doubt, part.gib.reason) if text)
        band = Band(min(mid, low * (1 - spread)), mid, max(mid, high * (1 + spread)), reason)
        result.append(Term(part.name, band, part.formula))
    return result


@lru_cache(maxsize=64)
def _factor(architecture: ModelArchitecture) -> float:
    """What the quantised parts must be multiplied by for the files to have their published size; the nearer
    of with and without MTP layers counts."""
    stated = architecture.published["checkpoint_gb"] * 1e9
    sums = [checkpoint_bytes(architecture, with_mtp=mtp) for mtp in (False, True)]
    nearest = min(sums, key=lambda size: abs(size - stated))
    found, plain = quantization_of(architecture), stated_dtype_bytes(architecture)
    quantised = sum(
        _module_bytes(module, found, plain)
        for module in modules_of(architecture)
        if module.role in ("linear", "experts") and not module.extra and module.part == "text"
    )
    factor = 1 + (stated - nearest) / quantised if quantised else 1.0
    return float(factor) if 0.5 < factor < 2 else 1.0  # further off, the files hold something else
