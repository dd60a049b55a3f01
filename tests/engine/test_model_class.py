"""Which class serves an architecture, release by release."""

from __future__ import annotations

import pytest

from vllmlint.engine.errors import RefusedError
from vllmlint.engine.model_class import TRANSFORMERS_CLASS, ModelClass, model_class
from vllmlint.engine.read_releases import neighbours, stand_in
from vllmlint.facts.architectures import architecture_row, registry_releases
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.serving.release import Release

READ = ("0.8.0", "0.8.5", "0.10.2", "0.11.2")


def served(name: str, release: str, **fields: object) -> ModelClass:
    parsed = Release.parse(release)
    assert parsed is not None
    return model_class(ModelArchitecture("test", {"architectures": [name], **fields}), parsed)


def release(text: str) -> Release:
    parsed = Release.parse(text)
    assert parsed is not None
    return parsed


def test_a_release_that_was_read_stands_for_itself() -> None:
    assert neighbours(READ, release("0.8.5")) == (1, 1)
    assert stand_in(READ, release("0.8.5")) == 1


def test_one_between_two_has_both_as_neighbours() -> None:
    assert neighbours(READ, release("0.9.0")) == (1, 2)
    assert stand_in(READ, release("0.9.0")) == 1


def test_a_later_patch_of_the_same_minor_release_stands_in() -> None:
    assert stand_in(READ, release("0.11.0")) == 3


def test_what_is_newer_than_all_is_taken_for_the_newest() -> None:
    assert neighbours(READ, release("0.40.0")) == (3, 3)


def test_where_neighbours_differ_nobody_can_tell() -> None:
    place = registry_releases().index("0.33.0")
    assert architecture_row("NoSuchForCausalLM", place, place).served == "no"
    first = registry_releases().index("0.10.0")
    assert architecture_row("GptOssForCausalLM", first, place).served == "unknown"


def test_hybrid_is_what_keeps_a_state() -> None:
    assert served("GraniteMoeHybridForCausalLM", "0.33.0").hybrid
    attention = served("GraniteMoeHybridForCausalLM", "0.33.0", layer_types=["attention"] * 4)
    assert not attention.hybrid


def test_pooling_classes() -> None:
    encoder = served("XLMRobertaForSequenceClassification", "0.33.0")
    assert encoder.pools
    assert not encoder.generates
    assert encoder.sequence_pooling == "CLS"


def test_a_generative_class_is_converted_by_its_name() -> None:
    assert served("Qwen3ForRewardModeling", "0.33.0").generates


def test_transformers_serves_what_left_the_registry() -> None:
    assert served("Dots1ForCausalLM", "0.33.0").name == TRANSFORMERS_CLASS


def test_a_config_without_architectures_is_not_refused() -> None:
    parsed = release("0.33.0")
    assert not model_class(ModelArchitecture("test", {}), parsed).certain


@pytest.mark.parametrize(
    ("name", "when", "rule"),
    [
        ("MPTForCausalLM", "0.33.0", "architecture-removed"),
        ("NoSuchForCausalLM", "0.33.0", "architecture-unsupported"),
        ("GptOssForCausalLM", "0.8.5", "architecture-newer-than-release"),
    ],
)
def test_refusals(name: str, when: str, rule: str) -> None:
    with pytest.raises(RefusedError) as caught:
        served(name, when)
    assert caught.value.refusal.rule == rule


def test_a_name_from_second_hand_is_not_refused() -> None:
    derived = ModelArchitecture("test", {"architectures": ["NoSuchForCausalLM"]}, confidence="derived")
    assert not model_class(derived, release("0.33.0")).certain
