"""Multi-head latent attention, sparse indexer, DeepSeek V4's compressed attention (vllm-memory.md 1.2)."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module, column, plain, row, vector, whole


def mla_modules(
    architecture: ModelArchitecture, layer: int, *, name: str = "self_attn", absorbed: bool = True
) -> list[Module]:
    """The modules of a layer with one latent key-value vector a token.

    The latent projections are whole on every rank, the ones by head are split. After loading vLLM keeps
    absorbed copies of kv_b in the model's dtype beside it.
    """
    get = architecture.integer
    hidden, heads = architecture.hidden_size or 0, architecture.num_attention_heads or 0
    rank, rope = get("kv_lora_rank") or 0, get("qk_rope_head_dim") or 0
    nope, value = get("qk_nope_head_dim") or 0, get("v_head_dim") or 0
    q_rank = get("q_lora_rank") or 0
    bias = architecture.flag("attention_bias")
    out: list[Module] = []
    if q_rank:
        out += [
            whole(f"{name}.q_a_proj", q_rank, hidden, bias=bias),
            vector(f"{name}.q_a_layernorm", q_rank),
            column(f"{name}.q_b_proj", heads * (nope + rope), q_rank, units=heads),
        ]
    else:
        out.append(column(f"{name}.q_proj", heads * (nope + rope), hidden, units=heads))
    out += [
        whole(f"{name}.kv_a_proj_with_mqa", rank + rope, hidden, bias=bias),
        vector(f"{name}.kv_a_layernorm", rank),
        column(f"{name}.kv_b_proj", heads * (nope + value), rank, units=heads),
        row(f"{name}.o_proj", hidden, heads * value, units=heads, bias=bias),
    ]
    if architecture.model_type == "bailing_hybrid":
        out.append(column(f"{name}.g_proj", heads, hidden, units=heads))
    if architecture.flag("mla_use_output_gate"):
        out.append(column(f"{name}.g_proj", heads * value, hidden, units=heads))
    if absorbed:
        copy = Module(
            f"{name}.absorbed", heads * (nope + value), rank, "out", heads, role="never", extra=True
        )
        out.append(copy)
    if has_indexer(architecture, layer):
        out += indexer_modules(architecture, name)
    return out


def has_indexer(architecture: ModelArchitecture, layer: int) -> bool:
    """Whether a layer chooses its keys by itself; others of the model may reuse its choice."""
    if not architecture.integer("index_n_heads") or not architecture.integer("index_head_dim"):
        return False
    kinds = architecture.per_layer("indexer_types")
    return kinds is None or layer >= len(kinds) or kinds[layer] == "full"


def indexer_modules(architecture: ModelArchitecture, name: str) -> list[Module]:
    """The sparse indexer: whole on every rank; wk and weights_proj stay in the model's dtype."""
    get = architecture.integer
    hidden = architecture.hidden_size or 0
    heads, dim = get("index_n_heads") or 0, get("index_head_dim") or 0
    source = get("q_lora_rank") or hidden
    return [
        whole(f"{name}.indexer.wq_b", heads * dim, source),
        plain(f"{name}.indexer.wk", dim, hidden),
        plain(f"{name}.indexer.weights_proj", heads, hidden),
        vector(f"{name}.indexer.k_norm", 2 * dim, fp32=True),
    ]


#: Compression ratios of DeepSeek V4: 4 for the sparse kind, whose compressor keeps two streams and which has
#: an indexer, 128 for the heavy kind with one stream; 0 for plain window layers.
_SPARSE_RATIO = 4


def v4_modules(architecture: ModelArchitecture, layer: int, *, name: str = "attn") -> list[Module]:
    """A DeepSeek V4 layer's attention: one shared key-value vector, grouped output, compressors."""
    get = architecture.integer
    hidden, heads = architecture.hidden_size or 0, architecture.num_attention_heads or 0
    dim, q_rank = architecture.head_dim or 0, get("q_lora_rank") or 0
    groups, o_rank = get("o_groups") or 1, get("o_lora_rank") or 0
    out = [
        whole(f"{name}.fused_wqa_wkv", q_rank + dim, hidden),
        vector(f"{name}.q_norm", q_rank),
        vector(f"{name}.kv_norm", dim),
        column(f"{name}.wq_b", heads * dim, q_rank, units=heads),
        column(f"{name}.wo_a", groups * o_rank, heads * dim // groups, units=groups),
        row(f"{name}.wo_b", hidden, groups * o_rank, units=groups),
        vector(f"{name}.attn_sink", heads, fp32=True, split=heads),
    ]
    ratios = architecture.per_layer("compress_ratios") or ()
    ratio = ratios[layer] if layer < len(ratios) else 0
    if ratio:
        streams = 2 if ratio == _SPARSE_RATIO else 1
        out += _compressor(f"{name}.compressor", hidden, dim, ratio, streams)
    if ratio == _SPARSE_RATIO:
        index_heads, index_dim = get("index_n_heads") or 0, get("index_head_dim") or 0
        out += [
            whole(f"{name}.indexer.wq_b", index_heads * index_dim, q_rank),
            plain(f"{name}.indexer.weights_proj", index_heads, hidden),
            *_compressor(f"{name}.indexer.compressor", hidden, index_dim, ratio, 2),
        ]
    return out


def _compressor(name: str, hidden: int, dim: int, ratio: int, streams: int) -> list[Module]:
    return [
        plain(f"{name}.wkv_gate", 2 * streams * dim, hidden),
        plain(f"{name}.ape", ratio, streams * dim, fp32=True),
        vector(f"{name}.norm", dim),
    ]


def hyper_connections(architecture: ModelArchitecture) -> list[Module]:
    """Manifold hyper-connections of one layer: two mixers of `hc_mult` residual streams, in fp32."""
    streams, hidden = architecture.integer("hc_mult") or 0, architecture.hidden_size or 0
    if streams < 2:
        return []
    width = (2 + streams) * streams
    return [
        plain("hc_attn_fn", width, streams * hidden, fp32=True),
        plain("hc_ffn_fn", width, streams * hidden, fp32=True),
        vector("hc_base", 2 * width, fp32=True),
    ]
