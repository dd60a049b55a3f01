"""Bytes of a model's files."""

from __future__ import annotations

import pytest

from vllmlint.memory.stored import stored_bytes
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import find_architecture


def known(name: str) -> ModelArchitecture:
    found = find_architecture(name)
    assert found is not None
    return found


def published(model: ModelArchitecture, **facts: float) -> ModelArchitecture:
    return ModelArchitecture(model.id, model.fields, published=facts)


def test_published_size_comes_first() -> None:
    """The files of Llama 3.1 8B take 16.06 GB (catalogue, `checkpoint_gb`)."""
    band = stored_bytes(known("meta-llama/Llama-3.1-8B-Instruct"))
    assert band is not None
    assert band.mid == pytest.approx(16.063e9)
    assert band.low < band.mid < band.high


def test_modules_tell_where_nothing_is_published() -> None:
    model = known("meta-llama/Llama-3.1-8B-Instruct")
    band = stored_bytes(published(model))
    assert band is not None
    assert band.mid == pytest.approx(16.06e9, rel=0.01)


@pytest.mark.parametrize(
    ("plain", "quantised", "most"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "Qwen/Qwen2.5-7B-Instruct-AWQ", 0.45),
        ("meta-llama/Llama-3.1-8B-Instruct", "neuralmagic/Meta-Llama-3.1-8B-Instruct-FP8", 0.65),
    ],
)
def test_quantised_files_are_smaller(plain: str, quantised: str, most: float) -> None:
    whole, small = stored_bytes(known(plain)), stored_bytes(known(quantised))
    assert whole is not None
    assert small is not None
    assert small.high < most * whole.mid


def test_second_copy_of_a_repository_is_not_downloaded() -> None:
    """gpt-oss-20b publishes 27.5 GB in two forms; the safetensors take half of that."""
    band = stored_bytes(known("openai/gpt-oss-20b"))
    assert band is not None
    assert band.low < band.mid == pytest.approx(13.76e9, rel=0.01)
    assert band.high == pytest.approx(27.52e9)


def test_modules_that_contradict_the_parameters_tell_nothing() -> None:
    model = known("meta-llama/Llama-3.1-8B-Instruct")
    assert stored_bytes(published(model, total_params_b=30.0)) is None


def test_an_index_tells_exactly() -> None:
    band = stored_bytes(published(known("meta-llama/Llama-3.1-8B-Instruct"), checkpoint_bytes=16060522496))
    assert band is not None
    assert band.low == band.mid == band.high == 16060522496


def test_a_config_in_float32_may_hold_halves() -> None:
    """Configurations often keep the training dtype of files that were saved in bfloat16."""
    model = known("meta-llama/Llama-3.1-8B-Instruct")
    wide = published(model.with_fields({**model.fields, "torch_dtype": "float32"}))
    band = stored_bytes(wide)
    assert band is not None
    assert band.mid == pytest.approx(32.1e9, rel=0.01)
    assert band.low == pytest.approx(16.06e9, rel=0.05)
