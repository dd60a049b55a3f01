"""Weight memory of one rank of a pipeline stage, by part (vllm-memory.md 1).

What vLLM logs as "Model loading took … GiB": parameters as the kernels keep them, tables of rotary positions,
absorbed copies of latent attention, LoRA slots, and the draft model loaded in the same call.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term, exact, total
from vllmlint.memory.checkpoint import checked_against_checkpoint, published_bytes, unrecorded_term
from vllmlint.memory.draft import draft_terms
from vllmlint.memory.linear_bytes import dtype_bytes
from vllmlint.memory.lora import lora_terms
from vllmlint.memory.ranks import rank_layers, ranks_of
from vllmlint.memory.rope import rope_bytes
from vllmlint.memory.tensors import stage_terms
from vllmlint.models.modules import missing_sizes, modules_of

GIB = 1 << 30
#: The published size says nothing of what every rank holds whole, nor of where embeddings lie.
_UNEVEN = 1.25


class WeightsUnknownError(ValueError):
    """The weights cannot be told: the message says what the config leaves out."""


def weight_terms(config: EngineConfig, stage: int) -> tuple[Term, ...]:
    """The parts of the weights on the fullest rank of a pipeline stage (counted from 0), in GiB.

    Raises WeightsUnknownError where neither the config's fields nor a published size tell.
    """
    architecture = config.architecture
    lacking = missing_sizes(architecture)
    if lacking or not modules_of(architecture):
        return (_by_published_size(config, stage, lacking),)
    parts = checked_against_checkpoint(config, stage_terms(config, stage), stage)
    parts += [
        *unrecorded_term(config, stage),
        _rope(config),
        *lora_terms(config, stage),
        *draft_terms(config, stage),
    ]
    parts = [part for part in parts if part.gib.high]
    return (*parts, *_offloaded(config, parts))


def weight_total(terms: tuple[Term, ...]) -> Band:
    """The sum of the parts, in GiB."""
    return total(term.gib for term in terms)


def _rope(config: EngineConfig) -> Term:
    size, formula = rope_bytes(config.architecture, dtype_bytes(config.dtype))
    return Term("rotary positions", exact(size / GIB), formula)


def _offloaded(config: EngineConfig, parts: list[Term]) -> list[Term]:
    """What `--cpu-offload-gb` (GiB a GPU, despite its name) moves to the host: whole parameters."""
    asked = config.request.settings.get("cpu_offload_gb")
    if not isinstance(asked, int | float) or asked <= 0:
        return []
    held = total(part.gib for part in parts if part.name != "rotary positions")
    moved = Band(-min(asked, held.high), -min(asked, held.mid), -min(asked, held.low))
    return [Term("offloaded to the host", moved, f"at most --cpu-offload-gb {asked} GiB")]


def _by_published_size(config: EngineConfig, stage: int, lacking: tuple[str, ...]) -> Term:
    """The weights by the published size alone, where fields are missing."""
    size = published_bytes(config)
    if size is None:
        names = ", ".join(dict.fromkeys(lacking)) or "its layers"
        raise WeightsUnknownError(
            f"the config does not give the sizes of {names}, and no checkpoint size is known"
        )
    stages = range(config.pipeline_parallel_size)
    counts = [len(rank_layers(config, each)) for each in stages]
    parts = ranks_of(config).tp
    share = (counts[stage] / sum(counts) if sum(counts) else 1 / len(counts)) / parts
    band = size.scaled(share / GIB)
    high = band.high * (_UNEVEN if share < 1 else 1)
    reason = f"{size.reason}; {lacking[0]} and others are missing from the config" if lacking else size.reason
    formula = f"{size.mid:.0f} B x {share:.4f}"
    return Term("checkpoint", Band(band.low, band.mid, high, reason), formula)
