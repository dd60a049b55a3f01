"""Norms and other small vectors of one layer, by family."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module, plain, vector

#: Norms a layer with attention and MLP has; two where the family is not listed.
_NORM_COUNTS = {
    "gemma2": 4,
    "gemma3": 4,
    "gemma3_text": 4,
    "gemma4": 4,
    "gemma4_text": 4,
    "glm4": 4,
    "muse_glimmer_text": 4,
    "muse_spark_text": 4,
    "glm4v": 4,
    "glm4v_text": 4,
    "cohere": 1,
    "cohere2": 1,
    "falcon": 1,
    "phi": 1,
    "plamo3": 4,
}
#: Families whose norms subtract the mean and have a bias beside the weight.
_BIASED_NORMS = frozenset(
    {"falcon", "opt", "gpt2", "bert", "xlm-roberta", "roberta", "starcoder2", "phimoe", "gpt_neox", "phi",
     "bloom", "mpnet", "gte", "new"}
)  # fmt: skip


def layer_norms(architecture: ModelArchitecture, mixer: str, block: str) -> list[Module]:
    """The norms of one layer; a layer that is only a mixer or only an MLP has one."""
    hidden, kind = architecture.hidden_size or 0, architecture.model_type
    if kind.startswith("gemma3n"):
        return _gemma3n(architecture)
    count = _NORM_COUNTS.get(kind, 2)
    if kind == "falcon" and architecture.flag("new_decoder_architecture"):
        count = architecture.integer("num_ln_in_parallel_attn") or 2
    if kind == "falcon" and architecture.get("new_decoder_architecture") is None:
        count = 2 if architecture.num_key_value_heads not in (1, None) else 1
    if block == "none" or mixer in ("mlp", "moe"):
        count = 1
    out = [vector("norms", count * hidden * (2 if kind in _BIASED_NORMS else 1))]
    if kind.startswith("gemma4"):
        out += _gemma4(architecture, block)
    return out


def final_norm(architecture: ModelArchitecture) -> Module:
    """The norm after the last layer."""
    biased = architecture.model_type in _BIASED_NORMS
    return vector("norm", (architecture.hidden_size or 0) * (2 if biased else 1))


def _gemma4(architecture: ModelArchitecture, block: str) -> list[Module]:
    """Layer scalar, the input of each layer (where there is one) and the MoE block's further norms."""
    hidden, inner = architecture.hidden_size or 0, architecture.integer("hidden_size_per_layer_input") or 0
    out = [vector("layer_scalar", 1)]
    if inner:
        out += [
            Module("per_layer_input_gate", inner, hidden, role="never"),
            Module("per_layer_projection", hidden, inner, role="never"),
            vector("post_per_layer_input_norm", hidden),
        ]
    if block == "both":
        # three more norms around the experts, the router's scale and one scale an expert
        out += [vector("moe_norms", 3 * hidden), vector("router.scales", hidden + architecture.num_experts)]
    return out


def _gemma3n(architecture: ModelArchitecture) -> list[Module]:
    """Gemma 3n: five norms, LAuReL, AltUp and the input of each layer."""
    get = architecture.integer
    hidden, inner = architecture.hidden_size or 0, get("hidden_size_per_layer_input") or 0
    rank, streams = get("laurel_rank") or 64, get("altup_num_inputs") or 4
    return [
        vector("norms", 5 * hidden),
        Module("laurel.linear_left", rank, hidden, role="never"),
        Module("laurel.linear_right", hidden, rank, role="never"),
        vector("laurel.post_laurel_norm", hidden),
        plain("altup.correction_coefs", streams, streams),
        plain("altup.prediction_coefs", streams * streams, streams),
        plain("altup.modality_router", streams, hidden),
        vector("altup.norms", 2 * hidden),
        Module("per_layer_input_gate", inner, hidden, role="never"),
        Module("per_layer_projection", hidden, inner, role="never"),
    ]
