"""The widths of a model on one rank that activations and buffers are made of.

Everything is counted in elements for one token of one rank, from the fields of config.json; how tensor
parallelism divides each block is in vllm-memory.md 1.1.
"""

from __future__ import annotations

from vllmlint.engine.config import EngineConfig
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.record import record

GIB = 1 << 30
MIB = 1 << 20
#: Bytes of one element by vLLM's dtype names.
DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "half": 2}
#: Names under which families state the width of one routed expert.
EXPERT_WIDTHS = ("moe_intermediate_size", "moe_ffn_hidden_size", "intermediate_size_moe")
#: Names under which families state how many experts a token visits.
EXPERTS_PER_TOKEN = ("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_k", "top_k_experts")
#: Fields whose presence says that some layers of a mixture-of-experts model are dense.
_DENSE_LAYER_FIELDS = ("first_k_dense_replace", "moe_layer_start_index", "num_dense_layers")


class UnknownDimensionError(ValueError):
    """The model does not state a width that the estimate needs; the message names the field."""


@record
class Dimensions:
    """Widths on one rank: `hidden` and `vocabulary` are whole, the others already divided.

    `residual` is the width of the residual stream (several times `hidden` for models with
    hyper-connections), `mlp` the widest stretch of MLP tensors that live at once, `attention` the same of
    the attention block, `expert` the width of one routed expert on this rank (0: none),
    `experts_per_token` how many of them a token visits.
    """

    hidden: int
    residual: int
    vocabulary: int
    layers: int
    mlp: float
    attention: float
    expert: int
    experts_per_token: int
    element_bytes: int


def ceil_div(amount: int, by: int) -> int:
    """Integer division that rounds up."""
    return -(-amount // by)


def dtype_bytes(dtype: str) -> int:
    """Bytes of one element of a model dtype; 2 for names not known (every 16-bit float)."""
    return DTYPE_BYTES.get(dtype, 2)


def dimensions(config: EngineConfig) -> Dimensions:
    """The widths of the configured model on one rank.

    Raises UnknownDimensionError where the model states no hidden size or no vocabulary.
    """
    model = config.architecture
    hidden, layers = model.hidden_size, model.num_hidden_layers
    if not hidden:
        raise UnknownDimensionError("hidden_size is not known")
    vocabulary = model.integer("vocab_size")
    if not vocabulary:
        raise UnknownDimensionError("vocab_size is not known")
    streams = model.integer("hc_mult") or 1
    return Dimensions(
        hidden=hidden,
        residual=hidden * streams,
        vocabulary=vocabulary,
        layers=layers or 1,
        mlp=_mlp(model, config.tensor_parallel_size),
        attention=_attention(model, config.tensor_parallel_size),
        expert=_expert(model, config),
        experts_per_token=experts_per_token(model) if model.is_moe else 0,
        element_bytes=dtype_bytes(config.dtype),
    )


def experts_per_token(model: ModelArchitecture) -> int:
    """How many routed experts a token visits; 2 where the model does not say (the Mixtral default)."""
    found = (model.integer(name) for name in EXPERTS_PER_TOKEN)
    return next((count for count in found if count), 2)


def has_dense_mlp(model: ModelArchitecture) -> bool:
    """Whether any layer has a dense MLP of `intermediate_size` beside or instead of routed experts."""
    if not model.is_moe:
        return True
    if any(model.integer(name) for name in _DENSE_LAYER_FIELDS) or model.per_layer("mlp_only_layers"):
        return True
    if (model.integer("decoder_sparse_step") or 1) > 1 or (
        model.integer("interleave_moe_layer_step") or 1
    ) > 1:
        return True
    return model.model_type.startswith("gemma4")


def _mlp(model: ModelArchitecture, tensor_parallel: int) -> float:
    """Elements a token of the widest dense or shared MLP: gate and up (2 I), then their product (I)."""
    widths = [0]
    if has_dense_mlp(model):
        widths.append(model.integer("intermediate_size_mlp") or model.integer("intermediate_size") or 0)
    shared = model.integer("shared_expert_intermediate_size") or 0
    count = model.integer("n_shared_experts") or model.integer("num_shared_experts") or 0
    if not shared and count:
        shared = count * (_expert_width(model) or 0)
    widths.append(shared)
    return 3 * max(widths) / tensor_parallel


def _expert_width(model: ModelArchitecture) -> int | None:
    for name in EXPERT_WIDTHS:
        width = model.integer(name)
        if width:
            return width
    return model.integer("intermediate_size") if model.is_moe else None


def _expert(model: ModelArchitecture, config: EngineConfig) -> int:
    """Width of one expert on this rank: whole with expert parallelism, else cut over all TP and DP ranks."""
    if not model.is_moe:
        return 0
    width = _expert_width(model) or 0
    if config.enable_expert_parallel:
        return width
    return ceil_div(width, config.tensor_parallel_size * config.data_parallel_size)


def _attention(model: ModelArchitecture, tensor_parallel: int) -> float:
    """Elements a token of the attention block: projections, rotated copies and the output."""
    heads = model.num_attention_heads or 0
    if model.is_mla:
        nope, rope = model.integer("qk_nope_head_dim") or 0, model.integer("qk_rope_head_dim") or 0
        value = model.integer("v_head_dim") or nope
        return heads * (2 * (nope + rope) + value) / tensor_parallel
    head, kv_heads = model.head_dim or 0, model.num_key_value_heads or heads
    own_kv = max(1, kv_heads / tensor_parallel)
    gate = heads * head / tensor_parallel if model.flag("attn_output_gate") else 0
    softmax = 3 * heads * head / tensor_parallel + 2 * own_kv * head + gate
    return max(softmax, _linear_attention(model) / tensor_parallel)


def _linear_attention(model: ModelArchitecture) -> float:
    """Elements a token of a gated DeltaNet or Mamba-2 block: its input projection and its output."""
    key = (model.integer("linear_num_key_heads") or 0) * (model.integer("linear_key_head_dim") or 0)
    value = (model.integer("linear_num_value_heads") or 0) * (model.integer("linear_value_head_dim") or 0)
    mamba = (model.integer("mamba_num_heads") or model.integer("mamba_n_heads") or 0) * (
        model.integer("mamba_head_dim") or model.integer("mamba_d_head") or 0
    )
    return max(2 * key + 4 * value, 4 * mamba)
