"""What arguments change in a model's config.json before anything is made of it.

Source: vLLM 0.33.0, `vllm/config/model.py`: `ModelConfig.__post_init__` hands `--hf-overrides` to
`get_config`, which updates the configuration with it, nested configurations key by key
(`_apply_dict_overrides`), all other values whole. `--rope-scaling` and `--rope-theta` (removed in 0.11.1)
were overrides of those two fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vllmlint.models.architecture import TEXT_PARTS, ModelArchitecture
from vllmlint.serving.release import Release

#: transformers 5 calls `rope_scaling` what `rope_parameters` says too; the one that is written counts.
_ROPE = ("rope_scaling", "rope_parameters")
#: vLLM takes a model's length from `rope_parameters` since this release, from `rope_scaling` before
#: (`_get_and_verify_max_len`). The other name is an attribute that nothing reads, or that transformers maps.
_ROPE_PARAMETERS_SINCE = "0.12.0"
#: Since then the usual kind, YaRN, raises no length under either name (vllm-memory.md 4.2).
_UNSCALED_SINCE = "0.30.0"
#: Fields of a model of several parts, whose text part is a configuration of its own.
_PARTS = ("text_model_type", "vision_config", "audio_config")
#: Keys of the whole model.
_WHOLE = frozenset({"architectures", "quantization_config", "vision_config", "audio_config"})


def overridden(architecture: ModelArchitecture, settings: Mapping[str, Any]) -> ModelArchitecture:
    """The architecture as the overrides among vLLM's settings leave it; itself where there are none."""
    changes: dict[str, Any] = {
        name: settings[name] for name in ("rope_scaling", "rope_theta") if settings.get(name) is not None
    }
    stated = settings.get("hf_overrides")
    if isinstance(stated, Mapping):
        changes |= {name: value for name, value in stated.items() if name not in TEXT_PARTS}
        for part in TEXT_PARTS:
            inner = stated.get(part)
            if isinstance(inner, Mapping):  # the text part's fields stand at the top here
                changes |= inner
    if not changes:
        return architecture
    fields = dict(architecture.fields)
    if any(name in changes for name in _ROPE):
        for name in _ROPE:
            fields.pop(name, None)
    for name, given in changes.items():
        value, before = given, fields.get(name)
        if name.endswith("_config") and isinstance(before, Mapping) and isinstance(value, Mapping):
            value = {**before, **value}
        fields[name] = value
    return architecture.with_fields(fields)


def why_not_followed(architecture: ModelArchitecture, settings: Mapping[str, Any], release: Release) -> str:
    """Why it cannot be told what the overrides make of a model; empty where it can.

    A function's name (0.9.0 and later), a rope block under the name that the release does not read, a key
    that may or may not reach the text part of a model of several, a value that no config takes.
    """
    stated = settings.get("hf_overrides")
    if stated is not None and not isinstance(stated, Mapping):
        return "--hf-overrides names a function, and what it does cannot be told"
    if settings.get("hf_config_path"):
        return "--hf-config-path names another config"
    if not stated:
        return ""
    read = _ROPE[release.at_least(_ROPE_PARAMETERS_SINCE)]
    other = next((name for name in _ROPE if name in stated and name != read), None)
    if other is not None and not release.at_least(_UNSCALED_SINCE):
        return f"--hf-overrides: whether vLLM {release} heeds {other} cannot be told"
    if any(part in architecture.fields for part in _PARTS):
        unclear = next((name for name in stated if name not in _WHOLE and name not in TEXT_PARTS), None)
        if unclear is not None:
            return f"--hf-overrides: what {unclear} changes in a model of several parts cannot be told"
    from vllmlint.models.config_check import first_mistake

    mistake = first_mistake(overridden(architecture, settings).fields)
    return "" if mistake is None else f"--hf-overrides: {mistake[0]}: {mistake[1]}"
