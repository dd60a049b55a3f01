"""Whether the fields of a config.json are what they should be. Loads pydantic: import it late."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from vllmlint.models.layer_types import MAX_LAYERS

#: No model is near this; a larger number is a slip or an attack on the arithmetic.
_LARGEST = 10**10
Count = Annotated[StrictInt, Field(ge=1, le=_LARGEST)]
CountOrZero = Annotated[StrictInt, Field(ge=0, le=_LARGEST)]
#: Layers beside those of the model: they are written out one by one.
Layers = Annotated[StrictInt, Field(ge=0, le=MAX_LAYERS)]
#: One for all layers, or one a layer (Gemma 3n, OpenELM, Laguna).
CountOrList = Count | list[CountOrZero | None]
Number = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Fields(BaseModel):
    """The fields that the arithmetic reads. Others may be anything."""

    model_config = ConfigDict(extra="ignore")

    architectures: Annotated[list[str], Field(min_length=1)] | None = None
    model_type: str | None = None
    hidden_size: Count | None = None
    num_hidden_layers: Annotated[StrictInt, Field(ge=1, le=MAX_LAYERS)] | None = None
    num_attention_heads: CountOrList | None = None
    num_key_value_heads: CountOrList | None = None
    head_dim: CountOrZero | None = None
    intermediate_size: CountOrList | None = None
    vocab_size: Count | None = None
    max_position_embeddings: Number | None = None
    tie_word_embeddings: StrictBool | None = None
    sliding_window: CountOrZero | None = None
    attention_chunk_size: CountOrZero | None = None
    n_routed_experts: CountOrZero | None = None
    num_experts: CountOrZero | list[CountOrZero] | None = None
    num_local_experts: CountOrZero | None = None
    moe_intermediate_size: CountOrList | None = None
    n_shared_experts: CountOrZero | None = None
    first_k_dense_replace: CountOrZero | None = None
    kv_lora_rank: CountOrZero | None = None
    q_lora_rank: CountOrZero | None = None
    qk_rope_head_dim: CountOrZero | None = None
    qk_nope_head_dim: CountOrZero | None = None
    v_head_dim: Count | None = None
    num_nextn_predict_layers: Layers | None = None
    mtp_num_hidden_layers: Layers | None = None
    num_mtp_modules: Layers | None = None
    mtp_transformer_layers: Layers | None = None
    torch_dtype: str | None = None
    layer_types: list[str] | None = None
    layers_block_type: list[str] | None = None
    hybrid_override_pattern: str | None = None
    quantization_config: dict[str, Any] | None = None
    vision_config: dict[str, Any] | None = None
    audio_config: dict[str, Any] | None = None
    rope_scaling: dict[str, Any] | None = None


#: Fields that have one entry a layer where they are a list (not `moe_intermediate_size`: ERNIE-VL lists it by
#: modality).
_BY_LAYER = (
    *("layer_types", "layers_block_type", "moe_layer_freq"),
    *("intermediate_size", "num_attention_heads", "num_key_value_heads"),
)


@cache
def _wanted() -> dict[str, str]:
    """What each kind of mistake should have been, in words."""
    return {
        "int_type": "a whole number",
        "int_from_float": "a whole number",
        "bool_type": "true or false",
        "string_type": "a text",
        "list_type": "a list",
        "dict_type": "a mapping",
        "float_type": "a number",
    }


def first_mistake(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    """The key that is wrong first and what is wrong with it; None where nothing is."""
    try:
        Fields.model_validate(dict(fields))
    except ValidationError as error:
        # of a union pydantic tells one mistake a member, the first names the usual form
        detail = error.errors(include_url=False)[0]
        key = str(detail["loc"][0])
        inside = [step for step in detail["loc"][1:] if isinstance(step, int)]
        wanted = _wanted().get(detail["type"])
        given = _short(detail["input"])
        text = f"{given} is not {wanted}" if wanted else f"{given}: {_lowered(detail['msg'])}"
        return (f"{key}[{inside[0]}]" if inside else key), text
    return _length_mistake(fields) or _quantization_mistake(fields)


def _quantization_mistake(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    block = fields.get("quantization_config") or {}
    for key in ("bits", "w_bit", "group_size", "q_group_size", "sym"):
        if isinstance(block.get(key), list | dict):
            return f"quantization_config.{key}", f"{_short(block[key])} is not a number"
    return None


def _length_mistake(fields: Mapping[str, Any]) -> tuple[str, str] | None:
    layers = fields.get("num_hidden_layers")
    for key in _BY_LAYER:
        listed = fields.get(key)
        if isinstance(listed, list) and isinstance(layers, int) and len(listed) < layers:
            return key, f"{len(listed)} entries for {layers} layers"
    return None


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]
