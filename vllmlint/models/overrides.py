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

#: transformers 5 calls `rope_scaling` what `rope_parameters` says too; the one that is written counts.
_ROPE = ("rope_scaling", "rope_parameters")


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


def cannot_be_followed(settings: Mapping[str, Any]) -> bool:
    """Whether `--hf-overrides` is something other than fields: the name of a function (0.9.0 and later)."""
    stated = settings.get("hf_overrides")
    return stated is not None and not isinstance(stated, Mapping)
