"""Token mixers without a growing cache: Mamba, gated delta nets, Kimi delta attention, short convolutions."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module, column, plain, row, vector, whole


def _first(architecture: ModelArchitecture, *names: str) -> int:
    return next((value for name in names if (value := architecture.integer(name))), 0)


def mamba1_modules(architecture: ModelArchitecture, *, name: str = "mamba") -> list[Module]:
    """Mamba-1 (Jamba): split on the inner width; the norms of dt, B and C are whole."""
    hidden = architecture.hidden_size or 0
    inner = hidden * (_first(architecture, "mamba_expand", "expand") or 2)
    state = _first(architecture, "mamba_d_state", "state_size")
    kernel = _first(architecture, "mamba_d_conv", "conv_kernel") or 4
    rank = _first(architecture, "mamba_dt_rank", "time_step_rank") or -(-hidden // 16)
    return [
        column(f"{name}.in_proj", 2 * inner, hidden),
        plain(f"{name}.conv1d", inner, kernel, split=inner),
        vector(f"{name}.conv1d.bias", inner, split=inner),
        row(f"{name}.x_proj", rank + 2 * state, inner),
        column(f"{name}.dt_proj", inner, rank, bias=True),
        plain(f"{name}.A", inner, state, split=inner, fp32=True),
        vector(f"{name}.D", inner, split=inner),
        vector(f"{name}.layernorms", rank + 2 * state),
        row(f"{name}.out_proj", hidden, inner),
    ]


def mamba2_modules(architecture: ModelArchitecture, *, name: str = "mamba") -> list[Module]:
    """Mamba-2: split by heads; groups of B and C that are fewer than ranks are shared."""
    hidden = architecture.hidden_size or 0
    heads = _first(architecture, "mamba_num_heads", "mamba_n_heads")
    dim = _first(architecture, "mamba_head_dim", "mamba_d_head")
    inner = heads * dim or _first(architecture, "mamba_d_ssm")
    state = _first(architecture, "ssm_state_size", "mamba_d_state")
    groups = _first(architecture, "n_groups", "mamba_n_groups") or 1
    kernel = _first(architecture, "conv_kernel", "mamba_d_conv") or 4
    conv_bias = architecture.get("use_conv_bias") is not False
    conv_bias = conv_bias and architecture.get("mamba_conv_bias") is not False
    out = [
        column(f"{name}.in_proj", 2 * inner, hidden, units=heads),
        column(f"{name}.in_proj", 2 * groups * state, hidden, units=groups),
        column(f"{name}.in_proj", heads, hidden, units=heads),
        plain(f"{name}.conv1d", inner, kernel, split=heads),
        plain(f"{name}.conv1d", 2 * groups * state, kernel, split=groups),
        vector(f"{name}.A", heads, split=heads, fp32=True),
        vector(f"{name}.D", heads, split=heads),
        vector(f"{name}.dt_bias", heads, split=heads),
        vector(f"{name}.norm", inner, split=heads),
        row(f"{name}.out_proj", hidden, inner, units=heads),
    ]
    if conv_bias:
        out.append(vector(f"{name}.conv1d.bias", inner, split=heads))
        out.append(vector(f"{name}.conv1d.bias", 2 * groups * state, split=groups))
    return out


def gated_delta_modules(architecture: ModelArchitecture, *, name: str = "linear_attn") -> list[Module]:
    """Gated delta net (Qwen3-Next, Qwen3.5): in_proj_ba is never quantised."""
    get = architecture.integer
    hidden = architecture.hidden_size or 0
    key_heads, value_heads = get("linear_num_key_heads") or 0, get("linear_num_value_heads") or 0
    key = key_heads * (get("linear_key_head_dim") or 0)
    value_dim = get("linear_value_head_dim") or 0
    value = value_heads * value_dim
    kernel = get("linear_conv_kernel_dim") or 4
    return [
        column(f"{name}.in_proj_qkv", 2 * key, hidden, units=key_heads),
        column(f"{name}.in_proj_qkv", value, hidden, units=value_heads),
        column(f"{name}.in_proj_z", value, hidden, units=value_heads),
        plain(f"{name}.in_proj_ba", 2 * value_heads, hidden, split=value_heads),
        plain(f"{name}.conv1d", 2 * key, kernel, split=key_heads),
        plain(f"{name}.conv1d", value, kernel, split=value_heads),
        vector(f"{name}.A_log", value_heads, split=value_heads, fp32=True),
        vector(f"{name}.dt_bias", value_heads, split=value_heads),
        vector(f"{name}.norm", value_dim),
        row(f"{name}.out_proj", hidden, value, units=value_heads),
    ]


def delta_attention_modules(architecture: ModelArchitecture, *, name: str = "self_attn") -> list[Module]:
    """Kimi delta attention (Kimi-Linear, Kimi-K3, GLM-5-next, Ling 3): its low-rank gates are whole; Ling's
    gates are of full rank."""
    part = architecture.part("linear_attn_config")
    hidden = architecture.hidden_size or 0
    heads = part.get("num_heads") or architecture.integer("linear_num_heads") or 0
    dim = part.get("head_dim") or architecture.integer("linear_head_dim") or 0
    kernel = part.get("short_conv_kernel_size") or architecture.integer("linear_conv_kernel_dim") or 4
    width = heads * dim
    out = [column(f"{name}.{which}_proj", width, hidden, units=heads) for which in "qkv"]
    out += [plain(f"{name}.{which}_conv1d", width, kernel, split=heads) for which in "qkv"]
    out += [
        column(f"{name}.b_proj", heads, hidden, units=heads),
        vector(f"{name}.A_log", heads, split=heads, fp32=True),
        vector(f"{name}.dt_bias", width, split=heads, fp32=True),
        vector(f"{name}.o_norm", dim),
        row(f"{name}.o_proj", hidden, width, units=heads),
    ]
    full_rank = architecture.model_type == "bailing_hybrid"
    if full_rank:
        out.append(column(f"{name}.f_proj", width, hidden, units=heads))
    else:
        out += [whole(f"{name}.f_a_proj", dim, hidden), column(f"{name}.f_b_proj", width, dim, units=heads)]
    if part.get("use_full_rank_gate") or full_rank:
        out.append(column(f"{name}.g_proj", width, hidden, units=heads))
    else:
        out += [whole(f"{name}.g_a_proj", dim, hidden), column(f"{name}.g_b_proj", width, dim, units=heads)]
    return out


def lightning_modules(architecture: ModelArchitecture, *, name: str = "self_attn") -> list[Module]:
    """Lightning attention (MiniMax-Text-01): q, k, v, an output gate and a norm over all heads."""
    hidden, heads = architecture.hidden_size or 0, architecture.num_attention_heads or 0
    width = heads * (architecture.head_dim or 0)
    return [
        column(f"{name}.qkv_proj", 3 * width, hidden, units=heads),
        column(f"{name}.output_gate", width, hidden, units=heads),
        vector(f"{name}.norm", width, split=heads),
        row(f"{name}.out_proj", hidden, width, units=heads),
    ]


def short_conv_modules(architecture: ModelArchitecture, *, name: str = "conv") -> list[Module]:
    """Short convolution (LFM2): three gates in, a depthwise kernel, one projection out."""
    hidden = architecture.hidden_size or 0
    width = architecture.integer("conv_dim") or hidden
    bias = architecture.flag("conv_bias")
    kernel = architecture.integer("conv_L_cache") or 3
    out = [
        column(f"{name}.in_proj", 3 * width, hidden, bias=bias),
        plain(f"{name}.conv", width, kernel, split=width),
        row(f"{name}.out_proj", hidden, width, bias=bias),
    ]
    if bias:
        out.append(vector(f"{name}.conv.bias", width, split=width))
    return out
