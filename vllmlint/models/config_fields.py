"""The fields of a config.json under common names: the text part lifted, older names and defaults resolved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vllmlint.facts.config_classes import ConfigClass, class_named, class_of_type
from vllmlint.models.architecture import TEXT_PARTS
from vllmlint.models.layer_types import with_layer_lists

#: Keys that say something about the whole and stay as the outer config has them.
_OF_THE_WHOLE = ("architectures", "model_type", "quantization_config", "torch_dtype", "auto_map")
#: Keys by which families that transformers has no `attribute_map` for (their code is in the repository, or
#: the config is in Mistral's own format) call a common field; a dot goes into a nested part.
_OLDER_NAMES: dict[str, tuple[str, ...]] = {
    "hidden_size": ("n_embd", "n_embed", "d_model", "dim"),
    "num_hidden_layers": ("n_layer", "n_layers", "num_layers"),
    "num_attention_heads": ("n_head", "n_heads", "num_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_kv_heads", "n_head_kv", "attn_config.kv_n_heads"),
    "intermediate_size": (
        "n_inner",
        "ffn_dim",
        "ffn_hidden_size",
        "hidden_dim",
        "ffn_config.ffn_hidden_size",
    ),
    "vocab_size": ("padded_vocab_size",),
    "max_position_embeddings": (
        "n_positions",
        "max_sequence_length",
        "max_seq_length",
        "max_seq_len",
        "seq_length",
        "model_max_length",
    ),
    "head_dim": ("kv_channels", "attention_head_dim"),
    "num_local_experts": ("ffn_config.moe_num_experts",),
    "num_experts_per_tok": ("ffn_config.moe_top_k",),
    "tie_word_embeddings": ("tie_embedding",),
    "torch_dtype": ("dtype",),
    "quantization_config": ("compression_config",),
}
#: Families whose `num_heads` are heads of the state space, not of attention.
_ATTENTION_FREE = {"mamba", "mamba2", "falcon_mamba"}
#: Families whose MLP is four times as wide as the model where the config does not say otherwise
#: (transformers 5.23.0: `4 * hidden_size` in modeling_{bloom,falcon,gpt2,gpt_bigcode,gptj,mpt}.py).
_FOUR_TIMES = {"bloom", "falcon", "gpt2", "gpt_bigcode", "gptj", "mpt", "RefinedWeb", "RefinedWebModel"}


def common_fields(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The fields of a parsed config.json by their common names, and which of them are class defaults.

    The text part is lifted to the top, `text_model_type` is its `model_type` where that differs. A key
    that the config sets to null is left out and gets no default: the config says that there is none.
    """
    outer, kind = _outer(config)
    text_key, text = _text_part(outer)
    text_class = _text_class(kind, text_key, text)
    fields = {**outer, **{key: value for key, value in text.items() if key not in _OF_THE_WHOLE}}
    fields.update({key: text[key] for key in _OF_THE_WHOLE[2:] if key in text and key not in outer})
    if text_key:
        fields.pop(text_key)
    if text.get("model_type", outer.get("model_type")) != outer.get("model_type"):
        fields["text_model_type"] = text["model_type"]
    model_type = str(fields.get("text_model_type") or fields.get("model_type") or "")
    applied: list[str] = []
    # what the config states comes first, under whatever name: only then what the class fills in
    if text_class is not None:
        _rename(fields, text_class.aliases)
    _old_names(fields, model_type)
    if text_class is not None:
        preset = dict(kind.parts[text_key][1]) if kind is not None and text_key in kind.parts else {}
        _fill(fields, {**text_class.defaults, **preset}, applied)
        _rename(fields, text_class.aliases)
    if kind is not None:
        _fill(fields, kind.defaults, applied)
        _fill_towers(fields, kind, applied)
    _family_rules(fields, model_type)
    fields = with_layer_lists(fields)
    _without_moe_defaults(fields, model_type)
    plain = {key: value for key, value in fields.items() if value is not None}
    return plain, sorted({name for name in applied if name.split(".")[0] in plain})


def _outer(config: Mapping[str, Any]) -> tuple[dict[str, Any], ConfigClass | None]:
    """The config with the parts of an Omni model's thinker at the top, and its configuration class."""
    outer = dict(config)
    kind = class_of_type(str(outer.get("model_type") or ""))
    thinker = outer.get("thinker_config")
    if isinstance(thinker, Mapping) and any(isinstance(thinker.get(name), Mapping) for name in TEXT_PARTS):
        del outer["thinker_config"]
        inner = {key: value for key, value in thinker.items() if key not in _OF_THE_WHOLE}
        if kind is not None and "thinker_config" in kind.parts:
            kind = class_named(kind.parts["thinker_config"][0])
        return {**outer, **inner}, kind
    return outer, kind


def _text_part(outer: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    for name in TEXT_PARTS:
        part = outer.get(name)
        if isinstance(part, Mapping):
            return name, part
    return "", {}


def _text_class(kind: ConfigClass | None, text_key: str, text: Mapping[str, Any]) -> ConfigClass | None:
    """The class of the language model: of the text part's own `model_type`, else the one the outer class
    names. An outer config without a text part may hold its fields at the top (Qwen2-VL's first configs)."""
    own = class_of_type(str(text.get("model_type") or ""))
    if own is not None and "vocab_size" in own.defaults:
        return own
    if kind is None:
        return None
    part = next((kind.parts[name][0] for name in ("text_config", text_key) if name in kind.parts), "")
    return class_named(part) if part else kind


def _fill(fields: dict[str, Any], defaults: Mapping[str, Any], applied: list[str]) -> None:
    for name, value in defaults.items():
        if name not in fields:
            fields[name] = value
            applied.append(name)


def _rename(fields: dict[str, Any], aliases: Mapping[str, str]) -> None:
    for old, new in aliases.items():
        if old in fields and fields.get(new) is None:
            fields[new] = fields[old]


def _fill_towers(fields: dict[str, Any], kind: ConfigClass, applied: list[str]) -> None:
    """Defaults of the towers that the config has; a tower that it leaves out is none."""
    for part, (name, preset) in kind.parts.items():
        given = fields.get(part)
        if part in TEXT_PARTS or not isinstance(given, Mapping):
            continue
        tower_class = class_of_type(str(given.get("model_type") or "")) or class_named(name)
        if tower_class is None or "vocab_size" in tower_class.defaults:
            tower_class = class_named(name)
        tower, filled = dict(given), list[str]()
        if tower_class is not None:
            _fill(tower, {**tower_class.defaults, **preset}, filled)
        fields[part] = tower
        applied.extend(f"{part}.{key}" for key in filled)


def _old_names(fields: dict[str, Any], model_type: str) -> None:
    for name, olds in _OLDER_NAMES.items():
        if name == "num_attention_heads" and model_type in _ATTENTION_FREE:
            continue
        if fields.get(name) is None:
            found = next((value for value in _values(fields, olds) if value is not None), None)
            if found is not None:
                fields[name] = found


def _values(fields: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[Any]:
    for name in names:
        value: Any = fields
        for step in name.split("."):
            value = value.get(step) if isinstance(value, Mapping) else None
        yield value


def _family_rules(fields: dict[str, Any], model_type: str) -> None:
    """What single families state in a way of their own."""
    if model_type in _FOUR_TIMES and not fields.get("intermediate_size") and _is_count(fields, "hidden_size"):
        fields["intermediate_size"] = 4 * fields["hidden_size"]
    if fields.get("multi_query_attention") is True and _is_count(fields, "multi_query_group_num"):
        fields["num_key_value_heads"] = fields["multi_query_group_num"]  # ChatGLM, GLM-4 of 2024
    elif model_type in ("gpt_bigcode", "falcon", "RefinedWeb", "RefinedWebModel"):
        _kv_heads_of_multi_query(fields)
    if model_type == "nemotron-nas" and fields.get("num_key_value_heads") is None:
        fields["num_key_value_heads"] = _kv_heads_of_blocks(fields)
    if model_type == "qwen" and _is_count(fields, "intermediate_size"):
        # QWenMLP halves the width it is given
        fields["intermediate_size"] //= 2
    if fields.get("use_sliding_window") is False:
        fields.pop("sliding_window", None)
    dtype = fields.get("torch_dtype")
    if isinstance(dtype, str):
        fields["torch_dtype"] = dtype.removeprefix("torch.")
    rope = fields.get("rope_scaling") or fields.get("rope_parameters")
    if isinstance(rope, Mapping):
        fields["rope_scaling"] = _rope(rope)


def _kv_heads_of_multi_query(fields: dict[str, Any]) -> None:
    """Falcon and GPT-BigCode: `multi_query` means one KV head, and Falcon heeds its own count of them only
    with `new_decoder_architecture` (FalconAttention in modeling_falcon.py)."""
    own_count = any(name in fields for name in ("num_kv_heads", "n_head_kv"))
    if fields.get("num_key_value_heads") is not None and not own_count:
        return
    if fields.get("new_decoder_architecture") and own_count:
        return
    single = fields.get("multi_query") is True and not fields.get("new_decoder_architecture")
    fields["num_key_value_heads"] = 1 if single else fields.get("num_attention_heads")


def _kv_heads_of_blocks(fields: Mapping[str, Any]) -> int | None:
    """Nemotron NAS states how many query heads share a KV head, block by block (`block_configs`, None in
    blocks without attention); None where blocks differ."""
    heads, blocks = fields.get("num_attention_heads"), fields.get("block_configs")
    if not isinstance(heads, int) or not isinstance(blocks, list):
        return None
    parts = [block.get("attention") for block in blocks if isinstance(block, Mapping)]
    groups = {part.get("n_heads_in_group") for part in parts if isinstance(part, Mapping)} - {None}
    group = next(iter(groups)) if len(groups) == 1 else None
    return heads // group if isinstance(group, int) and group > 0 else None


def _rope(rope: Mapping[str, Any]) -> dict[str, Any] | None:
    """A rope block with `type` for its kind, `mrope` where positions have several axes; None where it
    changes nothing. transformers 5 calls it `rope_parameters` and has one block a layer type."""
    if any(isinstance(part, Mapping) for part in rope.values()):
        blocks = {name: _kind_first(part) for name, part in rope.items() if isinstance(part, Mapping)}
        return blocks if any(block.get("type") != "default" for block in blocks.values()) else None
    block = _kind_first(rope)
    if "mrope_section" in block or block.get("type") == "mrope" or block.get("mrope"):
        block["mrope"] = True
        if block.get("type") in ("mrope", "default"):
            del block["type"]
        return block
    return None if block.get("type", "default") == "default" else block


def _kind_first(block: Mapping[str, Any]) -> dict[str, Any]:
    kind = block.get("rope_type", block.get("type"))
    rest = {key: value for key, value in block.items() if key not in ("rope_type", "type")}
    return {"type": kind, **rest} if kind is not None else rest


def _without_moe_defaults(fields: dict[str, Any], model_type: str) -> None:
    """Nemotron-H without expert layers: the class defaults of experts describe nothing."""
    listed = fields.get("layers_block_type")
    if model_type == "nemotron_h" and isinstance(listed, list) and "moe" not in listed:
        for name in ("n_routed_experts", "n_shared_experts", "num_experts_per_tok"):
            fields.pop(name, None)


def _is_count(fields: Mapping[str, Any], name: str) -> bool:
    value = fields.get(name)
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
