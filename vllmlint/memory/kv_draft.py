"""Caches that speculative decoding adds to the pool (vllm-memory.md 3.8)."""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.models.catalogue import find_architecture
from vllmlint.models.layers import CacheLayer, UnknownLayers, cache_layers
from vllmlint.record import record

#: Methods whose drafter keeps no keys and values.
CACHELESS = frozenset({"", "ngram", "ngram_gpu", "[ngram]", "suffix", "medusa", "mlp_speculator"})
#: Where configs say how many modules predict further tokens.
MODULE_COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "n_predict")


@record
class DraftCaches:
    """The drafter's caches, placed after the model's own layers, and what was taken for granted."""

    layers: tuple[CacheLayer, ...] = ()
    assumptions: tuple[str, ...] = ()


def draft_caches(config: EngineConfig, layers: tuple[CacheLayer, ...]) -> DraftCaches | UnknownLayers:
    """What the drafter keeps beside the model's `layers`; UnknownLayers where that cannot be told."""
    method = str(config.other.get("speculative_method") or "")
    if method in CACHELESS or not layers:
        return DraftCaches()
    first = config.architecture.num_hidden_layers or 0
    if method == "mtp":
        return _modules(config, layers, first)
    draft = str(config.other.get("speculative_model") or "")
    architecture = find_architecture(draft) if draft else None
    if architecture is not None:
        found = cache_layers(architecture, window_is_inclusive=config.release.at_least("0.29.0"))
        if isinstance(found, UnknownLayers):
            return UnknownLayers(f"the draft model {draft}: {found.reason}")
        return DraftCaches(tuple(layer.at(first + layer.index) for layer in found))
    if not method.startswith("eagle"):
        return UnknownLayers(f"the layers of the draft model {draft or '(not named)'} are not known")
    like = _like_the_model(layers)
    if like is None:
        return UnknownLayers("the model has no attention that an EAGLE head could be like")
    assumption = "the EAGLE head has one attention layer with the model's own KV heads"
    return DraftCaches((like.at(first),), (assumption,))


def retained_tokens(config: EngineConfig) -> int:
    """Tokens a window keeps besides: a chain of MTP modules prefills its last tokens again (0.28 on)."""
    tokens = config.num_speculative_tokens
    chained = config.other.get("speculative_method") == "mtp" and min(_count(config), tokens) > 1
    return tokens - 1 if chained and config.release.at_least("0.28.0") else 0


def _count(config: EngineConfig) -> int:
    values = (config.architecture.integer(name) for name in MODULE_COUNTS)
    return next((value for value in values if value), 1)


def _modules(config: EngineConfig, layers: tuple[CacheLayer, ...], first: int) -> DraftCaches | UnknownLayers:
    """Multi-token prediction: each module has one layer like the model's, with attention that sees all."""
    if any(layer.kind == "v4_window" for layer in layers):
        window = next(layer for layer in layers if layer.kind == "v4_window")
        return DraftCaches(tuple(window.at(first + at) for at in range(_count(config))))
    like = _like_the_model(layers)
    if like is None:
        return UnknownLayers("the model has no attention that its MTP modules could be like")
    indexer = next((layer for layer in layers if layer.kind == "indexer"), None)
    made: list[CacheLayer] = []
    for at in range(_count(config)):
        made.extend([indexer.at(first + at)] if indexer is not None else [])
        made.append(like.at(first + at))
    return DraftCaches(tuple(made))


def _like_the_model(layers: tuple[CacheLayer, ...]) -> CacheLayer | None:
    """The model's attention that keeps every token, else any attention it has."""
    for kinds in (("full", "mla"), ("sliding",)):
        found = next((layer for layer in layers if layer.kind in kinds), None)
        if found is not None:
            return found
    return None
