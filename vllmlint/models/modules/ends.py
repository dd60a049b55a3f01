"""What lies outside the layers: embeddings, heads, final norms; and whole BERT-like encoders."""

from __future__ import annotations

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.modules.module import Module, column, row, vector
from vllmlint.models.modules.norms import final_norm

_ENCODERS = frozenset(
    {"bert", "xlm-roberta", "roberta", "mpnet", "gte", "new", "nomic_bert", "modernbert", "distilbert"}
)
#: Encoders with rotary positions, a gated MLP and no pooler.
_MODERN_ENCODERS = frozenset({"gte", "new", "nomic_bert", "modernbert"})
#: Families with learned positions, and what they add to the count of positions.
_LEARNED_POSITIONS = {"gpt2": 0, "opt": 2, "gpt_bigcode": 0}
#: Class-name endings of models that return hidden states or scores, and so have no language head.
_HEADLESS = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForRewardModel")


def is_encoder(architecture: ModelArchitecture) -> bool:
    """Whether the model is a BERT-like encoder."""
    return architecture.model_type in _ENCODERS


def has_head(architecture: ModelArchitecture) -> bool:
    """Whether the checkpoint has a language head, tied or not."""
    return not architecture.class_name.endswith(_HEADLESS) or "Omni" in architecture.class_name


#: Families that tie the head to the embedding unless their config says otherwise (class defaults).
_TIED_BY_DEFAULT = ("gemma", "cohere", "falcon", "gpt2", "opt", "smollm3", "bloom", "lfm2", "gpt_bigcode")


def is_tied(architecture: ModelArchitecture) -> bool:
    """Whether the head shares the embedding's tensor."""
    stated = architecture.get("tie_word_embeddings")
    if isinstance(stated, bool):
        return stated
    return architecture.model_type.startswith(_TIED_BY_DEFAULT)


def outer_modules(architecture: ModelArchitecture) -> list[Module]:
    """Embedding, head and final norm of a decoder, and what a family has beside them."""
    get = architecture.integer
    vocab, hidden = get("vocab_size") or 0, architecture.hidden_size or 0
    width = get("word_embed_proj_dim") or hidden
    head = has_head(architecture)
    tied = head and is_tied(architecture)
    name = "embed_tokens"
    out = [
        Module(name, vocab, width, "vocab", role="embedding", place="tied" if tied else "first"),
        final_norm(architecture).changed(place="last"),
    ]
    if head and not tied:
        bias = vocab if architecture.model_type == "phimoe" else 0
        out.append(Module("lm_head", vocab, width, "vocab", bias=bias, role="lm_head", place="last"))
    if width != hidden:
        out += [
            Module("project_in", hidden, width, place="first"),
            Module("project_out", width, hidden, place="last"),
        ]
    if architecture.model_type in _LEARNED_POSITIONS:
        positions = (get("max_position_embeddings") or get("n_positions") or 1024) + _LEARNED_POSITIONS[
            architecture.model_type
        ]
        out.append(Module("embed_positions", positions, hidden, role="never", place="first"))
    out += _layer_inputs(architecture)
    if "Mllama" in architecture.class_name:
        # eight rows for the image tokens follow the vocabulary
        out.append(Module("embed_tokens.images", 8, hidden, role="never", place="first"))
    return out


def _layer_inputs(architecture: ModelArchitecture) -> list[Module]:
    """Gemma 3n's and 4's second embedding: one vector for each token and layer; AltUp's projections."""
    get = architecture.integer
    inner, hidden = get("hidden_size_per_layer_input") or 0, architecture.hidden_size or 0
    if not inner:
        return []
    layers = architecture.num_hidden_layers or 0
    vocab = get("vocab_size_per_layer_input") or get("vocab_size") or 0
    out = [
        Module("embed_tokens_per_layer", vocab, layers * inner, "vocab", role="embedding"),
        column("per_layer_model_projection", layers * inner, hidden),
        vector("per_layer_projection_norm", inner),
    ]
    if architecture.model_type.startswith("gemma3n"):
        streams = get("altup_num_inputs") or 4
        out.append(Module("altup_projections", 2 * (streams - 1) * hidden, hidden, role="never"))
    return [module.changed(place="all") for module in out]


def encoder_modules(architecture: ModelArchitecture) -> list[Module]:
    """A BERT-like encoder: embeddings, layers with norms after them, pooler or classifier."""
    get = architecture.integer
    hidden, heads = architecture.hidden_size or 0, architecture.num_attention_heads or 0
    inner, layers = (
        get("intermediate_size") or get("n_inner") or 4 * hidden,
        architecture.num_hidden_layers or 0,
    )
    kind = architecture.model_type
    modern = kind in _MODERN_ENCODERS
    bias = kind not in ("modernbert", "nomic_bert")
    biased_norm = kind != "modernbert"
    norm = hidden * (2 if biased_norm else 1)
    gated = modern
    block = [
        *(column(f"attention.{each}", hidden, hidden, units=heads, bias=bias) for each in ("q", "k", "v")),
        row("attention.output", hidden, hidden, units=heads, bias=bias),
        column("intermediate", inner * (2 if gated else 1), hidden, bias=bias and not gated),
        row("output", hidden, inner, bias=bias),
        vector("norms", 2 * norm),
    ]
    out = [
        Module("embeddings.word", get("vocab_size") or 0, hidden, "vocab", role="embedding", place="first"),
        vector("embeddings.norm", norm).changed(place="first"),
        *(module.in_layers(range(layers), "encoder.layer.*.") for module in block),
    ]
    if not modern:
        positions = get("max_position_embeddings") or 512
        out.append(Module("embeddings.position", positions, hidden, role="never", place="first"))
    types = get("type_vocab_size") or 0
    if types and kind != "modernbert":
        out.append(Module("embeddings.token_type", types, hidden, role="never", place="first"))
    return out + _encoder_head(architecture, hidden)


def _encoder_head(architecture: ModelArchitecture, hidden: int) -> list[Module]:
    name = architecture.class_name
    if name.endswith("ForSequenceClassification"):
        return [
            Module("classifier.dense", hidden, hidden, bias=hidden, role="never", place="last"),
            Module("classifier.out", 1, hidden, bias=1, role="never", place="last"),
        ]
    if architecture.model_type == "modernbert":
        return [vector("final_norm", hidden).changed(place="last")]
    if architecture.model_type in ("bert", "xlm-roberta", "roberta"):
        return [Module("pooler", hidden, hidden, bias=hidden, role="never", place="last")]
    return []
