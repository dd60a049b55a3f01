"""A model's architecture: the fields of its config.json, with the text part at the top."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

#: Under which key a multimodal config.json keeps its language model.
TEXT_PARTS = ("text_config", "llm_config", "language_config", "thinker_config")
#: Names under which families count their routed experts.
EXPERT_COUNTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")


class ModelArchitecture:
    """The fields of a config.json by their Hugging Face names, those of the text part lifted to the top.

    `id` is the hub id or the name a private model goes by, `source` and `confidence` (`config`,
    `derived`, `class-default`, `given`) say where the fields are from. A field that is absent reads as
    None (or the family's default where a property says so), never as 0. Lists with one entry a layer are
    unpacked (`layer_types`, `hybrid_override_pattern` as text, …). `published` holds what is known beside
    the config: `total_params_b` (10^9 parameters, with `total_params_rounded` and `params_source`),
    `checkpoint_gb` (10^9 bytes of safetensors files; `checkpoint_bytes` where a given checkpoint's index says
    it exactly), `revision` (the commit the fields were read at), `gated`, `needs_trust_remote_code`,
    `license`, `derived_from`, `partial` (fields that a full estimate needs are missing),
    `defaults_applied`, `note`. Immutable.
    """

    def __init__(
        self,
        model_id: str,
        fields: Mapping[str, Any],
        *,
        source: str = "",
        confidence: str = "given",
        published: Mapping[str, Any] | None = None,
    ) -> None:
        self.id = model_id
        self.fields = fields
        self.source = source
        self.confidence = confidence
        self.published = published or {}

    def with_fields(self, fields: Mapping[str, Any], *, model_id: str | None = None) -> ModelArchitecture:
        """The same model with other fields: a quantised copy, `--hf-overrides`."""
        return ModelArchitecture(
            self.id if model_id is None else model_id,
            fields,
            source=self.source,
            confidence=self.confidence,
            published=self.published,
        )

    def get(self, name: str) -> Any:
        """A field by its Hugging Face name; None where it is absent."""
        return self.fields.get(name)

    def integer(self, name: str) -> int | None:
        """A whole number; None where the field is absent or something else."""
        value = self.fields.get(name)
        return value if isinstance(value, int) and not isinstance(value, bool) else None

    def number(self, name: str) -> float | None:
        """A number; None where the field is absent or something else."""
        value = self.fields.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, name: str) -> str:
        """A text; empty where the field is absent or something else."""
        value = self.fields.get(name)
        return value if isinstance(value, str) else ""

    def flag(self, name: str) -> bool:
        """A switch; off where the field is absent."""
        return self.fields.get(name) is True

    def part(self, name: str) -> Mapping[str, Any]:
        """A mapping (`vision_config`, `quantization_config`); empty where the field is absent."""
        value = self.fields.get(name)
        return value if isinstance(value, Mapping) else {}

    def per_layer(self, name: str) -> Sequence[Any] | None:
        """A list with one entry a layer; None where the field is absent."""
        value = self.fields.get(name)
        return value if isinstance(value, list | tuple) else None

    @cached_property
    def class_name(self) -> str:
        """The first of `architectures`, which decides vLLM's model class."""
        names = self.fields.get("architectures")
        return names[0] if isinstance(names, list | tuple) and names and isinstance(names[0], str) else ""

    @cached_property
    def model_type(self) -> str:
        """`model_type` of the text part where it differs from the whole, else of the whole."""
        return self.text("text_model_type") or self.text("model_type")

    @cached_property
    def hidden_size(self) -> int | None:
        """Width of the residual stream."""
        return self.integer("hidden_size")

    @cached_property
    def num_hidden_layers(self) -> int | None:
        """Layers, MTP layers not counted; as many as are listed where that is all there is (Nemotron-H)."""
        stated = self.integer("num_hidden_layers")
        if stated is not None:
            return stated
        listed = self.per_layer("layers_block_type") or self.text("hybrid_override_pattern")
        return len(listed) if listed else None

    @cached_property
    def num_attention_heads(self) -> int | None:
        """Query heads."""
        return self.integer("num_attention_heads")

    @cached_property
    def num_key_value_heads(self) -> int | None:
        """Key and value heads; as many as query heads where the field is absent."""
        return self.integer("num_key_value_heads") or self.num_attention_heads

    @cached_property
    def head_dim(self) -> int | None:
        """Width of one head: as stated, else hidden size over heads. Not the KV width of MLA models."""
        stated = self.integer("head_dim")
        if stated is not None:
            return stated
        if self.hidden_size is None or not self.num_attention_heads:
            return None
        return self.hidden_size // self.num_attention_heads

    @cached_property
    def num_experts(self) -> int:
        """Routed experts of a mixture-of-experts layer; 0 for dense models."""
        counts = (self.integer(name) for name in EXPERT_COUNTS)
        return next((count for count in counts if count), 0)

    @property
    def is_moe(self) -> bool:
        """Whether any layer has routed experts."""
        return self.num_experts > 1

    @property
    def is_mla(self) -> bool:
        """Whether attention keeps one latent vector a token (multi-head latent attention)."""
        return self.integer("kv_lora_rank") is not None
