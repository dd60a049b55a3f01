"""Which kind of attention each layer has, where a config states a rule and not the list.

The rules are those of the transformers configuration classes (transformers 5.23.0,
`models/*/configuration_*.py`, where `layer_types` is None). Families whose config has a list or a period of
its own (Jamba, Kimi-Linear, MiMo, MiniMax-Text) keep it: who asks reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

_FULL, _WINDOW, _CHUNK, _LINEAR = (
    "full_attention",
    "sliding_attention",
    "chunked_attention",
    "linear_attention",
)

#: More layers than this are a slip, and not written out.
MAX_LAYERS = 10_000

#: Families whose every n-th layer has full attention and the others `kind`: the field that says n, n where
#: the field is absent, and the kind.
_EVERY_NTH: dict[str, tuple[str, int, str]] = {
    "gemma2": ("", 2, _WINDOW),
    "gpt_oss": ("", 2, _WINDOW),
    "gemma3_text": ("sliding_window_pattern", 6, _WINDOW),
    "gemma3n_text": ("", 5, _WINDOW),
    "gemma4_text": ("", 6, _WINDOW),
    "cohere2": ("sliding_window_pattern", 4, _WINDOW),
    "olmo3": ("", 4, _WINDOW),
    "exaone4": ("sliding_window_pattern", 4, _WINDOW),
    "exaone_moe": ("sliding_window_pattern", 4, _WINDOW),
    "afmoe": ("global_attn_every_n_layers", 4, _WINDOW),
    "vaultgemma": ("", 2, _WINDOW),
    "qwen3_next": ("full_attention_interval", 4, _LINEAR),
    "qwen3_5_text": ("full_attention_interval", 4, _LINEAR),
    "qwen3_5_moe_text": ("full_attention_interval", 4, _LINEAR),
    "olmo_hybrid": ("", 4, _LINEAR),
}
#: Families that hold a window only above `max_window_layers`, and only with `use_sliding_window`.
_WINDOW_ABOVE = {"qwen2", "qwen3", "qwen2_vl_text", "qwen2_5_vl_text", "dots1"}
#: `hybrid_override_pattern` of Nemotron-H: M Mamba-2, * attention, - MLP, E experts.
_NEMOTRON = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def with_layer_lists(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields with `layer_types` and `layers_block_type` where a rule of the family says them."""
    model_type = str(fields.get("text_model_type") or fields.get("model_type") or "")
    known = {key: value for key, value in fields.items() if value is not None}
    kinds = derived_layer_types(model_type, known)
    blocks = None if "layers_block_type" in known else layers_block_types(known)
    more: dict[str, Any] = {"layer_types": kinds, "layers_block_type": blocks}
    return {**fields, **{key: value for key, value in more.items() if value is not None}}


def derived_layer_types(model_type: str, fields: Mapping[str, Any]) -> list[str] | None:
    """`layer_types` of a config that leaves them out; None where no rule says so (all layers alike, or
    another list says it)."""
    layers = fields.get("num_hidden_layers")
    if "layer_types" in fields or not isinstance(layers, int) or not 0 < layers <= MAX_LAYERS:
        return None
    if model_type in _EVERY_NTH:
        return _every_nth(model_type, fields, layers)
    if model_type in _WINDOW_ABOVE and fields.get("use_sliding_window") is True:
        first = _count(fields, "max_window_layers", layers)
        return [_WINDOW if at >= first and fields.get("sliding_window") else _FULL for at in range(layers)]
    rule = _OTHER.get(model_type)
    return None if rule is None else rule(fields, layers)


def layers_block_types(fields: Mapping[str, Any]) -> list[str] | None:
    """`layers_block_type` of a Nemotron-H config that writes it as `hybrid_override_pattern`."""
    pattern = fields.get("hybrid_override_pattern")
    if not isinstance(pattern, str) or not pattern or set(pattern) - set(_NEMOTRON):
        return None
    return [_NEMOTRON[letter] for letter in pattern]


def _every_nth(model_type: str, fields: Mapping[str, Any], layers: int) -> list[str] | None:
    name, usual, kind = _EVERY_NTH[model_type]
    stated = fields.get(name, usual) if name else usual
    if kind == _WINDOW and not fields.get("sliding_window"):
        return None
    if isinstance(stated, str) and stated:  # EXAONE 4: "LLLG", one letter a layer, G(lobal)
        return [_FULL if stated[at % len(stated)] == "G" else kind for at in range(layers)]
    if not isinstance(stated, int) or isinstance(stated, bool) or stated < 1:
        return None
    kinds = [kind if (at + 1) % stated else _FULL for at in range(layers)]
    if model_type == "gemma4_text":
        kinds[-1] = _FULL
    return kinds


def _llama4(fields: Mapping[str, Any], layers: int) -> list[str] | None:
    """`no_rope_layers` holds 1 where a layer has rope, and those attend in chunks."""
    if not fields.get("attention_chunk_size"):
        return None
    interval = _count(fields, "no_rope_layer_interval", 4)
    usual = [int((at + 1) % interval != 0) for at in range(layers)]
    stated = fields.get("no_rope_layers")
    return [_CHUNK if has_rope else _FULL for has_rope in (stated if _is_list(stated) else usual)]


def _cwm(fields: Mapping[str, Any], layers: int) -> list[str] | None:
    return [_WINDOW if at % 4 else _FULL for at in range(layers)]


def _modernbert(fields: Mapping[str, Any], layers: int) -> list[str] | None:
    every = _count(fields, "global_attn_every_n_layers", 3)
    return [_WINDOW if at % every else _FULL for at in range(layers)]


def _lfm2(fields: Mapping[str, Any], layers: int) -> list[str] | None:
    full = fields.get("full_attn_idxs")
    return [_FULL if at in full else "conv" for at in range(layers)] if _is_list(full) else None


def _bailing_hybrid(fields: Mapping[str, Any], layers: int) -> list[str] | None:
    size = _count(fields, "layer_group_size", 0)
    return None if not size else [_LINEAR if (at + 1) % size else _FULL for at in range(layers)]


def _count(fields: Mapping[str, Any], name: str, usual: int) -> int:
    """A stated number; the usual one where the field is absent or something else."""
    stated = fields.get(name)
    return stated if isinstance(stated, int) and not isinstance(stated, bool) and stated > 0 else usual


def _is_list(value: object) -> TypeGuard[list[Any]]:
    """Whether the config has a list with something in it (Llama 4 writes `[]` for the usual one)."""
    return isinstance(value, list) and bool(value)


_OTHER: dict[str, Callable[[Mapping[str, Any], int], list[str] | None]] = {
    "llama4_text": _llama4,
    "cwm": _cwm,
    "modernbert": _modernbert,
    "lfm2": _lfm2,
    "lfm2_moe": _lfm2,
    "bailing_hybrid": _bailing_hybrid,
}
