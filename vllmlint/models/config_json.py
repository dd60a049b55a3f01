"""A model's architecture from the text of its config.json and of the files beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.config_fields import common_fields
from vllmlint.models.config_files import CONFIG_FILE, ModelFiles
from vllmlint.models.config_quantization import quantization_fields

#: Without these nothing can be worked out. Attention-free models have no heads.
_NEEDED = ("hidden_size", "vocab_size")


class ConfigError(ValueError):
    """A config.json that cannot be used. `key` is the field at fault (empty: the file itself), `source` where
    the text is from."""

    def __init__(self, source: str, key: str, reason: str) -> None:
        super().__init__(": ".join(part for part in (source, key, reason) if part))
        self.source = source
        self.key = key
        self.reason = reason


def architecture_from_files(files: ModelFiles, model_id: str = "") -> ModelArchitecture:
    """The architecture that a checkpoint's files state.

    Raises `ConfigError` where config.json is no JSON object or a field of it is not what it should be.
    A broken file beside it is taken for none: vLLM does not need them to start.
    """
    parsed = _parsed(files.config)
    if not isinstance(parsed, Mapping):
        reason = "is not valid JSON" if parsed is None else "is not a JSON object"
        raise ConfigError(files.source, "", f"{CONFIG_FILE} {reason}")
    return architecture_from_config(
        parsed,
        model_id=model_id,
        source=files.source,
        revision=files.revision,
        index=_mapping(files.index),
        hf_quant_config=_mapping(files.hf_quant_config),
        total_bytes=files.total_bytes,
        gated=files.gated,
    )


def architecture_from_config(
    config: Mapping[str, Any],
    *,
    model_id: str = "",
    source: str = "",
    revision: str | None = None,
    index: Mapping[str, Any] | None = None,
    hf_quant_config: Mapping[str, Any] | None = None,
    total_bytes: int | None = None,
    gated: bool | None = None,
) -> ModelArchitecture:
    """The architecture that a parsed config.json states.

    `index` is the parsed model.safetensors.index.json, `hf_quant_config` ModelOpt's hf_quant_config.json.
    `published` of the result has `checkpoint_bytes` (the index's total size), `defaults_applied` (fields that
    the transformers class fills in), `revision` and `needs_trust_remote_code`.

    Raises `ConfigError`, which names the key, for a field of the wrong kind and for one that is missing.
    """
    from vllmlint.models.config_check import first_mistake

    if mistake := first_mistake(_stated(config)):
        raise ConfigError(source, *mistake)
    fields, applied = common_fields(config)
    if mistake := first_mistake(fields):
        raise ConfigError(source, *mistake)
    stated = fields.pop("quantization_config", None)
    fields.update(quantization_fields(stated, hf_quant_config))
    model_type = fields.get("text_model_type") or fields.get("model_type") or ""
    for key in _NEEDED:
        if fields.get(key) is None:
            raise ConfigError(source, key, f"is missing, and nothing says it for model_type {model_type!r}")
    published: dict[str, Any] = {
        "revision": revision,
        "checkpoint_bytes": _total_size(index) or total_bytes,
        "defaults_applied": applied or None,
        "has_auto_map": True if "auto_map" in fields else None,
        "gated": gated,
    }
    architecture = ModelArchitecture(
        model_id or _name(config),
        fields,
        source=source,
        confidence="given",
        published={key: value for key, value in published.items() if value is not None},
    )
    if architecture.num_hidden_layers is None:
        reason = f"is missing, and nothing says it for model_type {model_type!r}"
        raise ConfigError(source, "num_hidden_layers", reason)
    return architecture


def looks_like_a_model(text: str) -> bool:
    """Whether a JSON text is the config.json of a model: many programs have a file of that name."""
    parsed = _parsed(text)
    if not isinstance(parsed, Mapping):
        return False
    names = parsed.get("architectures")
    return isinstance(parsed.get("model_type"), str) or (isinstance(names, list) and bool(names))


def _stated(config: Mapping[str, Any]) -> dict[str, Any]:
    """The fields whose kind is judged before anything is worked out of them."""
    whole = ("architectures", "model_type", "quantization_config", "vision_config", "audio_config")
    return {key: config[key] for key in whole if key in config}


def _parsed(text: str) -> Any:
    """A JSON value; None for a text that is none. `NaN` and `Infinity`, which Python reads, are refused."""
    try:
        return json.loads(text.removeprefix("\ufeff"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        return None


def _refuse(word: str) -> None:
    raise ValueError(word)


def _mapping(text: str | None) -> Mapping[str, Any] | None:
    parsed = None if text is None else _parsed(text)
    return parsed if isinstance(parsed, Mapping) else None


def _total_size(index: Mapping[str, Any] | None) -> int | None:
    """Bytes of all tensors (`metadata.total_size`); some writers store it as a float."""
    metadata = index.get("metadata") if index else None
    size = metadata.get("total_size") if isinstance(metadata, Mapping) else None
    if isinstance(size, bool) or not isinstance(size, int | float) or not 0 < size < 1e16:
        return None
    return int(size)


def _name(config: Mapping[str, Any]) -> str:
    name = config.get("_name_or_path")
    return name if isinstance(name, str) else ""
