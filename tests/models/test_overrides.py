"""What `--hf-overrides` and its older kin leave of a model's config.json."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.overrides import overridden, why_not_followed
from vllmlint.serving.release import Release

FIELDS = {
    "hidden_size": 64,
    "max_position_embeddings": 32768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    "vision_config": {"depth": 2, "hidden_size": 8},
}
PLAIN = {"architectures": ["LlamaForCausalLM"], "hidden_size": 64, "num_hidden_layers": 4}
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


def reason(
    overrides: Any, version: str = "0.33.0", fields: dict[str, Any] | None = None, **settings: Any
) -> str:
    """Why an override cannot be followed."""
    release = Release.parse(version)
    assert release is not None
    model = ModelArchitecture("m", PLAIN if fields is None else fields)
    return why_not_followed(model, {"hf_overrides": overrides, **settings}, release)


@pytest.mark.parametrize("overrides", [None, {}, {"max_position_embeddings": 1024, "num_hidden_layers": 2}])
def test_fields_can_be_followed(overrides: Any) -> None:
    assert reason(overrides) == ""


@pytest.mark.parametrize(
    ("version", "name", "told"),
    [
        ("0.33.0", "rope_parameters", True),
        ("0.12.0", "rope_parameters", True),
        ("0.12.0", "rope_scaling", False),
        ("0.29.0", "rope_scaling", False),
        ("0.30.0", "rope_scaling", True),
        ("0.11.2", "rope_parameters", False),
        ("0.11.2", "rope_scaling", True),
    ],
)
def test_a_rope_block_that_the_release_may_not_read(version: str, name: str, told: bool) -> None:
    assert (reason({name: YARN}, version) == "") == told


def test_keys_of_models_of_several_parts() -> None:
    whole = {"text_config": {"hidden_size": 32}, "architectures": ["Other"], "vision_config": {"depth": 3}}
    assert reason(whole, fields=FIELDS) == ""
    assert "hidden_size" in reason({"hidden_size": 32}, fields=FIELDS)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ("my.function", "a function"),
        ({"num_hidden_layers": -3}, "num_hidden_layers: -3"),
        ({"num_hidden_layers": "many"}, "not a whole number"),
    ],
)
def test_what_cannot_be_followed(overrides: Any, says: str) -> None:
    assert says in reason(overrides)


def test_another_config_cannot_be_followed() -> None:
    assert "--hf-config-path" in reason(None, hf_config_path="org/other")
