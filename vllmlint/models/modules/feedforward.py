"""Dense and mixture-of-experts feed-forward blocks (vllm-memory.md 1.1, 1.2)."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module, column, plain, row, vector, whole

#: Families whose MLP has no gate: one matrix up, one down.
_NOT_GATED = frozenset(
    {
        "nemotron_h",
        "nemotron",
        "opt",
        "gpt2",
        "falcon",
        "bert",
        "xlm-roberta",
        "roberta",
        "starcoder2",
        "gpt_neox",
        "gptj",
        "gpt_bigcode",
        "phi",
        "mpnet",
        "bloom",
        "mpt",
        "distilbert",
    }
)
#: Families whose MLP matrices have biases although no `mlp_bias` says so.
_MLP_BIAS = frozenset(
    {"opt", "gpt2", "bert", "xlm-roberta", "roberta", "starcoder2", "gpt_neox", "phi", "mpnet", "bloom"}
)
#: Families whose router adds one fp32 correction an expert (`e_score_correction_bias`).
_CORRECTED_ROUTER = frozenset(
    {
        "deepseek_v3",
        "deepseek_v32",
        "deepseek_v4",
        "deepseek_v41_text",
        "deepseek_ref",
        "kimi_k2",
        "kimi_linear",
        "glm4_moe",
        "glm4_moe_lite",
        "glm4v_moe_text",
        "glm_moe_dsa",
        "glm5_next_text",
        "minimax_m2",
        "minimax_m3",
        "minimax_m3_vl",
        "nemotron_h",
        "ernie4_5_moe",
        "solar_open",
        "hy_v3",
        "mimo_v2_flash",
        "bailing_hybrid",
        "bailing_moe",
        "longcat_flash",
        "step3p5",
        "step3p7",
        "laguna",
        "dots1",
    }
)
#: What the block is called in the checkpoint, where it is not `mlp`.
_BLOCK_NAMES = {
    "mixtral": "block_sparse_moe",
    "phimoe": "block_sparse_moe",
    "minimax_m2": "block_sparse_moe",
    "minimax_m3": "block_sparse_moe",
    "minimax_m3_vl": "block_sparse_moe",
    "kimi_linear": "block_sparse_moe",
    "granitemoe": "block_sparse_moe",
    "granitemoehybrid": "block_sparse_moe",
    "llama4_text": "feed_forward",
    "nemotron_h": "mixer",
    "deepseek_v4": "ffn",
    "deepseek_ref": "ffn",
    "deepseek_v41_text": "ffn",
    "lfm2": "feed_forward",
    "lfm2_moe": "feed_forward",
}


def is_gated(architecture: ModelArchitecture) -> bool:
    """Whether the MLP multiplies by a gate (three matrices, not two)."""
    return architecture.model_type not in _NOT_GATED


def block_name(architecture: ModelArchitecture) -> str:
    """What checkpoints of the family call the mixture of experts."""
    return _BLOCK_NAMES.get(architecture.model_type, "mlp")


def mlp_modules(
    architecture: ModelArchitecture, width: int, *, name: str = "mlp", hidden: int | None = None
) -> list[Module]:
    """A dense MLP of a width; the shared experts too, under their name."""
    into = hidden or architecture.hidden_size or 0
    kind = architecture.model_type
    bias = architecture.flag("mlp_bias") or kind in _MLP_BIAS
    if kind in ("falcon", "granite", "llama") and architecture.flag("bias"):
        bias = True
    names = ("gate_proj", "up_proj") if is_gated(architecture) else ("up_proj",)
    return [
        *(column(f"{name}.{each}", width, into, bias=bias) for each in names),
        row(f"{name}.down_proj", into, width, bias=bias),
    ]


def expert_width(architecture: ModelArchitecture) -> int:
    """Inner width of one routed expert."""
    names = ("moe_intermediate_size", "expert_intermediate_size", "expert_ffn_hidden_size")
    stated = next((size for name in names if (size := architecture.integer(name))), None)
    return stated or architecture.integer("intermediate_size") or 0


def moe_modules(architecture: ModelArchitecture, *, name: str | None = None) -> list[Module]:
    """Router, routed experts and shared experts of one layer."""
    get = architecture.integer
    name = name or block_name(architecture)
    hidden, experts = architecture.hidden_size or 0, architecture.num_experts
    kind, width = architecture.model_type, expert_width(architecture)
    latent = get("moe_latent_size") or get("routed_expert_hidden_size") or get("moe_hidden_size") or 0
    into = latent or hidden
    up = 2 * width if is_gated(architecture) else width
    router_size = experts + (get("zero_expert_num") or 0)
    router_bias = router_size if kind == "gpt_oss" else 0
    out = [
        Module(f"{name}.gate", router_size, hidden, bias=router_bias, role="never"),
        Module(
            f"{name}.experts.gate_up_proj",
            up,
            into,
            "out",
            copies=experts,
            role="experts",
            bias=up if kind == "gpt_oss" else 0,
        ),
        Module(
            f"{name}.experts.down_proj",
            into,
            width,
            "in",
            copies=experts,
            role="experts",
            bias=into if kind == "gpt_oss" else 0,
        ),
    ]
    if latent:
        out += [
            whole(f"{name}.fc1_latent_proj", latent, hidden),
            whole(f"{name}.fc2_latent_proj", hidden, latent),
        ]
    if kind in _CORRECTED_ROUTER:
        out.append(vector(f"{name}.gate.e_score_correction_bias", router_size, fp32=True))
    return out + _shared_experts(architecture, name, width)


def _shared_experts(architecture: ModelArchitecture, name: str, width: int) -> list[Module]:
    get, kind = architecture.integer, architecture.model_type
    sizes = ("moe_shared_expert_intermediate_size", "shared_expert_intermediate_size", "share_expert_dim")
    size = next((found for each in sizes if (found := get(each))), 0)
    if kind.startswith("granitemoe"):
        size = get("shared_intermediate_size") or 0
        return mlp_modules(architecture, size, name="shared_mlp") if size else []
    if kind.startswith("llama4"):
        return mlp_modules(architecture, get("intermediate_size") or 0, name=f"{name}.shared_expert")
    if not size:
        counts = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
        count = next((found for each in counts if (found := get(each))), 0)
        size = count * (get("moe_shared_expert_intermediate_size") or width)
    if not size:
        return []
    if kind.startswith(("qwen2_moe", "qwen3_next", "qwen3_5_moe")):
        gate = plain(f"{name}.shared_expert_gate", 1, architecture.hidden_size or 0)
        return [*mlp_modules(architecture, size, name=f"{name}.shared_expert"), gate]
    return mlp_modules(architecture, size, name=f"{name}.shared_experts")
