"""What `--hf-overrides` and its older kin leave of a model's config.json."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.overrides import cannot_be_followed, overridden

FIELDS = {
    "hidden_size": 64,
    "max_position_embeddings": 32768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "vision_config": {"depth": 2, "hidden_size": 8},
}
YARN = {"rope_type": "yarn", "factor": 4.0}


def fields_with(settings: dict[str, Any]) -> dict[str, Any]:
    before = dict(FIELDS)
    after = overridden(ModelArchitecture("m", FIELDS), settings)
    assert before == FIELDS
    return dict(after.fields)


@pytest.mark.parametrize(
    ("settings", "changed"),
    [
        ({"hf_overrides": {"max_position_embeddings": 131072}}, {"max_position_embeddings": 131072}),
        ({"hf_overrides": {"text_config": {"hidden_size": 32}}}, {"hidden_size": 32}),
        (
            {"hf_overrides": {"vision_config": {"depth": 3}}},
            {"vision_config": {"depth": 3, "hidden_size": 8}},
        ),
        ({"hf_overrides": {"rope_parameters": YARN}}, {"rope_parameters": YARN}),
    ],
)
def test_fields_that_are_overridden(settings: dict[str, Any], changed: dict[str, Any]) -> None:
    assert fields_with(settings) == {**FIELDS, **changed}


@pytest.mark.parametrize("settings", [{"hf_overrides": {"rope_scaling": YARN}}, {"rope_scaling": YARN}])
def test_either_name_of_the_rope_block_replaces_both(settings: dict[str, Any]) -> None:
    rest = {name: value for name, value in FIELDS.items() if name != "rope_parameters"}
    assert fields_with(settings) == {**rest, "rope_scaling": YARN}


@pytest.mark.parametrize(
    "settings", [{}, {"hf_overrides": {}}, {"hf_overrides": "my.function"}, {"dtype": "auto"}]
)
def test_nothing_to_override(settings: dict[str, Any]) -> None:
    model = ModelArchitecture("m", FIELDS)
    assert overridden(model, settings) is model


def test_a_function_cannot_be_followed() -> None:
    assert cannot_be_followed({"hf_overrides": "my.function"})
    assert not cannot_be_followed({"hf_overrides": {"a": 1}})
    assert not cannot_be_followed({})
