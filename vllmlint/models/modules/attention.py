"""Attention with keys and values per head: shapes, biases and norms by family (vllm-memory.md 1.1, 1.2)."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module, column, row, vector
from vllmlint.record import record

#: Families whose q, k and v have a bias though their config has no `attention_bias`.
_QKV_BIAS = frozenset(
    {
        "qwen2",
        "qwen2_moe",
        "qwen2_vl",
        "qwen2_vl_text",
        "qwen2_5_vl",
        "qwen2_5_vl_text",
        "qwen2_5_omni",
        "qwen2_5_omni_text",
        "qwen2_audio",
        "gpt_oss",
        "mimo",
        "chatglm",
        "qwen",
        "opt",
        "gpt2",
        "gpt_bigcode",
        "starcoder2",
        "bloom",
    }
)
#: Families of those whose output projection has one as well.
_OUTPUT_BIAS = frozenset({"gpt_oss", "opt", "gpt2", "gpt_bigcode", "starcoder2", "bloom"})
#: Families whose `attention_bias` is about q, k and v alone.
_NO_OUTPUT_BIAS = frozenset(
    {"qwen2_moe", "glm", "glm4", "glm4_moe", "glm4v_text", "glm4v_moe_text", "glm4v", "glm4v_moe", "mimo",
     "mimo_v2_flash", "seed_oss", "hy_v3", "hunyuan_v1_dense", "hunyuan_v1_moe"}
)  # fmt: skip
#: Norms of queries and keys over one head.
_HEAD_QK_NORM = frozenset(
    {
        "qwen3",
        "qwen3_moe",
        "qwen3_vl",
        "qwen3_vl_text",
        "qwen3_vl_moe",
        "qwen3_vl_moe_text",
        "qwen3_next",
        "qwen3_5",
        "qwen3_5_text",
        "qwen3_5_moe",
        "qwen3_5_moe_text",
        "qwen3_omni_moe",
        "gemma3",
        "gemma3_text",
        "gemma3n",
        "gemma3n_text",
        "gemma4",
        "gemma4_text",
        "exaone4",
        "hy_v3",
        "step3p5",
        "step3p7",
        "lfm2",
        "lfm2_moe",
        "laguna",
        "minimax_m3",
        "minimax_m3_vl",
        "apertus",
    }
)
#: Norms of queries and keys over all heads together.
_WIDE_QK_NORM = frozenset({"olmo2", "olmo3", "minimax_m2", "olmoe", "flex_olmo"})
#: Families whose gate makes q twice as wide although no `attn_output_gate` says so.
_OUTPUT_GATE = frozenset({"qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"})


@record
class AttentionShape:
    """Heads and widths of one layer's attention; `has_kv` is False where it reads another layer's cache."""

    heads: int
    kv_heads: int
    key_dim: int
    value_dim: int
    has_kv: bool = True
    window: bool = False


def shape_at(architecture: ModelArchitecture, layer: int, kind: str) -> AttentionShape | None:
    """The attention of a layer of a kind (`attention`, `sliding`, `cross`); None where fields are missing."""
    heads = architecture.num_attention_heads or architecture.integer("n_head")
    per_layer = architecture.per_layer("num_attention_heads_per_layer")
    if per_layer is not None and layer < len(per_layer):
        heads = per_layer[layer]
    kv_heads = architecture.num_key_value_heads or heads
    dim = architecture.head_dim
    if heads is None or kv_heads is None or dim is None:
        return None
    kv_per_layer = architecture.per_layer("num_key_value_heads")
    if kv_per_layer is not None and layer < len(kv_per_layer):
        kv_heads = kv_per_layer[layer]
    value_dim = architecture.integer("v_head_dim") or dim
    get = architecture.integer
    if kind == "sliding" and get("swa_num_key_value_heads"):
        heads = get("swa_num_attention_heads") or heads
        kv_heads = get("swa_num_key_value_heads") or kv_heads
        dim = get("swa_head_dim") or dim
        value_dim = get("swa_v_head_dim") or value_dim
    if kind == "attention" and get("global_head_dim"):
        dim = value_dim = get("global_head_dim") or dim
        if architecture.flag("attention_k_eq_v"):
            kv_heads = get("num_global_key_value_heads") or kv_heads
    shared = get("num_kv_shared_layers") or 0
    has_kv = not shared or layer < (architecture.num_hidden_layers or 0) - shared
    if architecture.model_type.startswith("gemma3n"):
        has_kv = True  # its checkpoints and vLLM keep k and v of sharing layers
    return AttentionShape(heads, kv_heads, dim, value_dim, has_kv, kind == "sliding")


def attention_modules(
    architecture: ModelArchitecture, shape: AttentionShape, *, name: str = "self_attn"
) -> list[Module]:
    """The modules of a layer's attention."""
    hidden = architecture.hidden_size or 0
    kind = architecture.model_type
    heads, kv_heads = shape.heads, shape.kv_heads
    q_bias, o_bias = _biases(architecture, kind)
    gate = 2 if architecture.flag("attn_output_gate") or kind in _OUTPUT_GATE else 1
    if architecture.flag("attention_output_gate") and kind not in ("step3p7", "step3p5"):
        gate = 2
    if kind.startswith("muse_"):
        gate = 2
    q_width = heads * shape.key_dim * gate
    out = [column(f"{name}.q_proj", q_width, hidden, units=heads, bias=q_bias)]
    if shape.has_kv:
        k_width, v_width = kv_heads * shape.key_dim, kv_heads * shape.value_dim
        out.append(column(f"{name}.k_proj", k_width, hidden, units=kv_heads, bias=q_bias))
        value = column(f"{name}.v_proj", v_width, hidden, units=kv_heads, bias=q_bias)
        if architecture.flag("attention_k_eq_v") and not shape.window:
            # the checkpoint has keys alone; vLLM allocates values too (vllm-memory.md 1.2)
            value = Module(value.name, v_width, hidden, "out", kv_heads, extra=True)
        out.append(value)
    out.append(row(f"{name}.o_proj", hidden, heads * shape.value_dim, units=heads, bias=o_bias))
    out += _norms(architecture, shape, kind, name)
    out += _gates(architecture, shape, kind, name)
    return out


def _biases(architecture: ModelArchitecture, kind: str) -> tuple[bool, bool]:
    """Whether q, k and v have a bias, and whether the output projection has."""
    stated = architecture.flag("attention_bias") or architecture.flag("qkv_bias") or architecture.flag("bias")
    qkv = stated or (kind in _QKV_BIAS and architecture.get("attention_bias") is not False)
    out = stated and kind not in _NO_OUTPUT_BIAS and kind not in _QKV_BIAS - _OUTPUT_BIAS
    if kind in _OUTPUT_BIAS:
        out = True
    if architecture.get("attention_out_bias") is not None:
        out = architecture.flag("attention_out_bias")
    return qkv, out


def _norms(architecture: ModelArchitecture, shape: AttentionShape, kind: str, name: str) -> list[Module]:
    per_head = kind in _HEAD_QK_NORM or (
        architecture.flag("use_qk_norm") and kind.startswith(("glm4", "ernie", "bailing", "hunyuan"))
    )
    if (architecture.flag("use_qk_norm") and kind in ("cohere", "cohere2")) or kind in _WIDE_QK_NORM:
        q_size, k_size = shape.heads * shape.key_dim, shape.kv_heads * shape.key_dim
    elif per_head:
        q_size = k_size = shape.key_dim
    else:
        return []
    wide = q_size != shape.key_dim
    norms = [vector(f"{name}.q_norm", q_size, split=shape.heads if wide else 0)]
    if shape.has_kv:
        norms.append(vector(f"{name}.k_norm", k_size, split=shape.kv_heads if wide else 0))
    return norms


def _gates(architecture: ModelArchitecture, shape: AttentionShape, kind: str, name: str) -> list[Module]:
    """Attention sinks, gates by head and the index of MiniMax-M3's sparse layers."""
    hidden, heads = architecture.hidden_size or 0, shape.heads
    out: list[Module] = []
    if kind == "gpt_oss" or (kind == "mimo_v2_flash" and shape.window):
        out.append(vector(f"{name}.sinks", heads, split=heads))
    if architecture.text("gating") == "per-head" or kind in ("step3p5", "step3p7", "laguna"):
        out.append(column(f"{name}.g_proj", heads, hidden, units=heads))
    sparse = architecture.part("sparse_attention_config")
    index_heads, index_dim = sparse.get("sparse_num_index_heads"), sparse.get("sparse_index_dim")
    if isinstance(index_heads, int) and isinstance(index_dim, int) and not shape.window:
        out.append(column(f"{name}.index_q_proj", index_heads * index_dim, hidden, units=index_heads))
        out.append(Module(f"{name}.index_k_proj", index_dim, hidden))
    return out
