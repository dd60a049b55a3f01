"""The draft model of speculative decoding, loaded in the same call as the model it drafts for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.engine.config import EngineConfig
from vllmlint.memory.band import Band, Term, exact
from vllmlint.memory.linear_bytes import dtype_bytes, linear_bytes
from vllmlint.memory.ranks import local_shape, padded_vocab, ranks_of
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture
from vllmlint.models.modules import missing_sizes, modules_of
from vllmlint.models.quantization import quantization_of

GIB = 1 << 30
#: Methods that draft without a model.
_MODEL_FREE = frozenset({"ngram", "ngram_gpu", "[ngram]", "suffix", "custom_class"})


def speculative_config(config: EngineConfig) -> Mapping[str, Any]:
    """`--speculative-config`, or what the older flags say; empty where nothing is drafted."""
    given = config.request.settings.get("speculative_config")
    if isinstance(given, Mapping):
        return given
    model = config.request.settings.get("speculative_model")
    return {"model": model} if isinstance(model, str) else {}


def draft_terms(config: EngineConfig, stage: int) -> list[Term]:
    """The draft model on the last stage; MTP layers where the checkpoint's own are used."""
    asked = speculative_config(config)
    method = str(asked.get("method") or "")
    model = asked.get("model")
    if not asked or method in _MODEL_FREE or model in _MODEL_FREE:
        return []
    if stage != config.pipeline_parallel_size - 1:
        return []
    if (
        "mtp" in method
        or (not model and not method.startswith(("eagle", "medusa")))
        or model == config.architecture.id
    ):
        return [_mtp(config)]
    draft = find_architecture(model) if isinstance(model, str) else None
    parts = asked.get("draft_tensor_parallel_size")
    tp = parts if isinstance(parts, int) and parts > 0 else config.tensor_parallel_size
    if draft is not None and not missing_sizes(draft) and not method.startswith("eagle"):
        return [_model(config, draft, tp)]
    return [_head(config, tp, str(model or method))]


def _mtp(config: EngineConfig) -> Term:
    """The checkpoint's MTP layers; releases differ in whether they share the model's embedding and head."""
    ranks, plain, found = ranks_of(config), dtype_bytes(config.dtype), quantization_of(config.architecture)
    size, layers = 0.0, 0
    for module in modules_of(config.architecture):
        if module.part != "mtp":
            continue
        shape = local_shape(module, ranks)
        layers = max(layers, len(module.layers))
        scheme = None
        if found is not None and module.role in ("linear", "experts"):
            last = config.architecture.num_hidden_layers or 0
            # MTP layers are numbered on after the model's own in most checkpoints, `mtp.` in others
            names = (
                module.quant_name.replace("*", "0", 1),
                module.quant_name.replace("mtp.layers.*", f"layers.{last}", 1),
            )
            schemes = [found.scheme_of(name, module.role) for name in names]
            scheme = None if None in schemes else schemes[0]
        width = module.dtype_bytes or plain
        each = linear_bytes(shape.out_features, shape.in_features, scheme, width)
        size += shape.copies * (each + shape.bias * width)
    vocab = padded_vocab(config.architecture.integer("vocab_size") or 0) // config.tensor_parallel_size
    ends = 2 * vocab * (config.architecture.hidden_size or 0) * plain
    # one layer is loaded however many the checkpoint has, unless each drafted token has its own
    band = Band(
        size / GIB, size / GIB, (size * max(1, layers) + ends) / GIB, "embedding and head may be shared"
    )
    return Term("MTP layers", band, f"one of {layers} layers: {size:.0f} B, embedding and head {ends} B")


def _model(config: EngineConfig, draft: ModelArchitecture, tp: int) -> Term:
    """A whole draft model at the model's dtype."""
    found, plain = quantization_of(draft), dtype_bytes(config.dtype)
    size = 0.0
    for module in modules_of(draft):
        if module.part == "mtp":
            continue
        scheme = None
        if found is not None and module.role in ("linear", "experts", "lm_head"):
            scheme = found.scheme_of(module.quant_name.replace("*", "0", 1), module.role)
        width = module.dtype_bytes or plain
        each = linear_bytes(module.out_features, module.in_features, scheme, width)
        size += max(1, len(module.layers)) * module.copies * (each + module.bias * width)
    return Term("draft model", exact(size / tp / GIB), f"{draft.id}: {size:.0f} B / {tp}")


def _head(config: EngineConfig, tp: int, name: str) -> Term:
    """An EAGLE or Medusa head that the catalogue does not know: one dense layer like the model's, a
    projection of two or three hidden states, and a head over 32,000 tokens or the whole vocabulary."""
    architecture, plain = config.architecture, dtype_bytes(config.dtype)
    hidden = architecture.hidden_size or 0
    inner = architecture.integer("intermediate_size") or 4 * hidden
    vocab = architecture.integer("vocab_size") or 0
    layer = hidden * (4 * hidden + 3 * inner)
    low = (layer + 2 * hidden * hidden) * plain / tp
    high = (layer + 3 * hidden * hidden + 2 * vocab * hidden) * plain / tp
    mid = (layer + 3 * hidden * hidden + min(vocab, 32_000) * hidden) * plain / tp
    reason = f"{name} is not in the catalogue: a head of one layer is assumed"
    return Term(
        "draft model", Band(low / GIB, mid / GIB, high / GIB, reason), "one layer, a projection and a head"
    )
