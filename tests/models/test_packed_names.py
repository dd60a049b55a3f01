"""Lists of module names survive packing, and experts that are all alike become one entry."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vllmlint.models.catalogue import catalogue_ids, find_architecture
from vllmlint.models.packed_names import collapsed_experts, packed_layers, packed_names, unpacked_names

NAMES = st.builds(
    "{}{}.{}{}".format,
    st.sampled_from(["model.layers.", "visual.blocks.", "layers.", "model."]),
    st.integers(0, 30),
    st.sampled_from(["self_attn", "mlp.gate", "experts.3.w1", "#"]),
    st.sampled_from(["", "*"]),
)


@given(names=st.lists(NAMES | st.sampled_from(["lm_head", "mtp*", "re:.*gate"]), unique=True))
def test_a_list_comes_back(names: list[str]) -> None:
    assert sorted(unpacked_names(packed_names(names))) == sorted(names)


def test_layers_are_kept_as_runs() -> None:
    names = ["lm_head", *(f"model.layers.{layer}.mlp.gate" for layer in (0, 1, 2, 5))]
    assert packed_names(names) == {"packed": [["lm_head"], ["model.layers.#.mlp.gate", [[0, 2], [5, 5]]]]}


def test_schemes_by_layer_come_back() -> None:
    layers = {
        "layers.0.a": {"quant_algo": "FP8"},
        "layers.1.a": {"quant_algo": "NVFP4"},
        "b": {"quant_algo": "FP8"},
    }
    assert unpacked_names(packed_layers(layers)) == layers


def test_packed_lists_are_found_wherever_they_stand() -> None:
    block = {
        "config_groups": {"g": {"targets": {"packed": [["layers.#.q", [[0, 1]]]]}}},
        "bits": 4,
        "x": [{"packed": []}],
    }
    assert unpacked_names(block) == {
        "config_groups": {"g": {"targets": ["layers.0.q", "layers.1.q"]}},
        "bits": 4,
        "x": [[]],
    }


def test_experts_that_are_alike_become_one_entry() -> None:
    one, other = {"quant_algo": "NVFP4"}, {"quant_algo": "FP8"}
    layers = {
        "layers.0.mlp.experts.0.w1": one,
        "layers.0.mlp.experts.1.w1": one,
        "layers.1.mlp.experts.0.w1": one,
        "layers.1.mlp.experts.1.w1": other,
        "layers.1.mlp.shared_experts.w1": other,
    }
    assert collapsed_experts(layers) == {
        "layers.0.mlp.experts.*": one,
        "layers.1.mlp.experts.0.w1": one,
        "layers.1.mlp.experts.1.w1": other,
        "layers.1.mlp.shared_experts.w1": other,
    }


def test_the_catalogue_has_whole_lists_and_nothing_packed_is_left() -> None:
    cut = set()
    for model_id in catalogue_ids():
        found = find_architecture(model_id)
        assert found is not None
        for part in ("quantization_config", "hf_quant_config"):
            block: dict[str, Any] = dict(found.part(part))
            assert "packed" not in str(block).split("'"), model_id
            cut |= {model_id for key in block if key.endswith("_count")}
    # their files are in none of the sources
    assert cut == {
        "poolside/Laguna-S-2.1-FP8",
        "Qwen/Qwen3.8-2.4T-A95B-FP8",
        "RedHatAI/Llama-4-Scout-17B-16E-Instruct-FP8-dynamic",
    }
    deepseek = find_architecture("nvidia/DeepSeek-V3.1-NVFP4")
    assert deepseek is not None
    assert len(deepseek.part("hf_quant_config")["exclude_modules"]) == 246
