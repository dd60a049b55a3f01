"""Memory while weights load."""

from __future__ import annotations

import pytest
from weight_cases import engine_config

from vllmlint.memory.loading import loading_peak
from vllmlint.memory.weights import weight_terms, weight_total

MODEL = "Qwen/Qwen3-32B"


def test_unquantised_weights_are_loaded_in_place() -> None:
    config = engine_config(MODEL)
    assert loading_peak(config, 0).gib.mid == weight_total(weight_terms(config, 0)).mid


def test_old_releases_hold_the_whole_model_before_they_quantise_it() -> None:
    peak = loading_peak(engine_config(MODEL, quantization="fp8", release="0.9.2"), 0)
    assert peak.gib.mid == pytest.approx(61.03, rel=0.01)


def test_newer_ones_quantise_layer_by_layer() -> None:
    config = engine_config(MODEL, quantization="fp8_per_tensor", release="0.26.0")
    peak, final = loading_peak(config, 0).gib, weight_total(weight_terms(config, 0))
    assert final.mid < peak.mid < final.mid + 1
    assert peak.low <= peak.mid <= peak.high


def test_repacking_takes_one_tensor_more() -> None:
    config = engine_config("Qwen/Qwen3-32B-AWQ", quantization="awq_marlin")
    peak, final = loading_peak(config, 0).gib, weight_total(weight_terms(config, 0))
    gate_up = 2 * 25600 * 5120 / 2 / 2**30
    assert peak.mid - final.mid == pytest.approx(gate_up, rel=0.1)
