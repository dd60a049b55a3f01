"""Multi-token-prediction layers, which vLLM loads only when speculative decoding asks for them."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.layers import feedforward_kinds, mixer_kinds, one_layer
from vllmlint.models.modules.module import Module, column, vector, whole

_COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules")


def mtp_layer_count(architecture: ModelArchitecture) -> int:
    """Multi-token-prediction layers that the config names."""
    return next((count for name in _COUNTS if (count := architecture.integer(name))), 0)


def mtp_modules(architecture: ModelArchitecture) -> list[Module]:
    """Each MTP layer: two norms, a projection of token and hidden state together, and a decoder layer like
    the model's last one with attention. Embedding and head are the model's own (vLLM shares them)."""
    count = mtp_layer_count(architecture)
    if not count:
        return []
    hidden = architecture.hidden_size or 0
    mixers, blocks = mixer_kinds(architecture), feedforward_kinds(architecture)
    like = [layer for layer, mixer in enumerate(mixers) if mixer in ("attention", "sliding")]
    layer = like[-1] if like else len(mixers) - 1
    block = blocks[-1] if blocks[layer] == "none" else blocks[layer]
    # Qwen's is column parallel (`fc`), DeepSeek's and those made like it an ordinary linear layer
    projection = column if architecture.model_type.startswith("qwen") else whole
    modules = [
        vector("norms_in", 3 * hidden),
        projection("eh_proj", hidden, 2 * hidden),
        *one_layer(architecture, layer, mixers[layer], block),
    ]
    return [
        module.in_layers(range(count), "mtp.layers.*.").changed(part="mtp", place="last")
        for module in modules
    ]
