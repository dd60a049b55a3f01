"""The shipped catalogue: every row can be found, is complete and costs little."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from model_catalogue_additions import ADDITIONS

from vllmlint.facts.models import model_row
from vllmlint.models.catalogue import catalogue_ids, find_architecture, unpacked
from vllmlint.models.modules import parameter_count

ROOT = Path(__file__).resolve().parents[2]
#: Fields whose lists have one entry a layer of the language model.
PER_LAYER = (
    "layer_types",
    "layers_block_type",
    "hybrid_layer_pattern",
    "mlp_layer_types",
    "moe_layer_freq",
    "indexer_types",
    "no_rope_layers",
    "attn_type_list",
    "num_attention_heads_per_layer",
    "block_configs",
)


def test_every_row_has_source_confidence_and_an_architecture() -> None:
    assert len(catalogue_ids()) > 400
    for model_id in catalogue_ids():
        found = find_architecture(model_id)
        assert found is not None, model_id
        assert found.id == model_id
        assert found.source, model_id
        assert found.confidence in {"config", "derived", "class-default"}, model_id
        assert found.class_name, model_id
        assert found.hidden_size, model_id
        assert None not in found.fields.values(), model_id
        assert not {"id", "source", "confidence", "like"} & set(found.fields), model_id
        assert not [name for name, value in found.fields.items() if name.endswith(("_rle", "_counts"))]


def test_ids_are_found_whatever_their_case_and_nothing_else_is() -> None:
    found = find_architecture("META-LLAMA/llama-3.1-8b-INSTRUCT")
    assert found is not None
    assert found.id == "meta-llama/Llama-3.1-8B-Instruct"
    assert found is find_architecture("META-LLAMA/llama-3.1-8b-INSTRUCT")
    for wrong in (
        "",
        "meta-llama",
        "Llama-3.1-8B-Instruct",
        "meta-llama/Llama-3.1-8B-Instruct2",
        'a","b',
        "\n",
    ):
        assert find_architecture(wrong) is None, wrong


def test_the_fields_of_a_model_are_those_of_its_config() -> None:
    found = find_architecture("meta-llama/Llama-3.1-8B-Instruct")
    assert found is not None
    assert found.class_name == "LlamaForCausalLM"
    assert (found.num_hidden_layers, found.hidden_size, found.integer("intermediate_size")) == (
        32,
        4096,
        14336,
    )
    assert (found.num_attention_heads, found.num_key_value_heads, found.head_dim) == (32, 8, 128)
    assert found.integer("vocab_size") == 128256
    assert found.published["total_params_b"] == pytest.approx(8.030261248)


def test_a_row_that_is_kept_as_a_difference_is_whole_and_drops_what_its_base_has() -> None:
    quantised = find_architecture("Qwen/Qwen3-8B-FP8")
    plain = find_architecture("Qwen/Qwen3-8B")
    assert quantised is not None
    assert plain is not None
    assert quantised.part("quantization_config")["weight_block_size"] == [128, 128]
    assert not plain.part("quantization_config")
    same = {key: value for key, value in quantised.fields.items() if key != "quantization_config"}
    assert same == plain.fields


@pytest.mark.parametrize("model_id", catalogue_ids())
def test_a_list_by_layer_has_one_entry_a_layer(model_id: str) -> None:
    found = find_architecture(model_id)
    assert found is not None
    for name in PER_LAYER:
        entries = found.per_layer(name)
        assert entries is None or len(entries) == found.num_hidden_layers, name


def test_patterns_are_written_out() -> None:
    assert unpacked({"layer_types_pattern": {"period": ["s", "s", "f"], "length": 5}}) == {
        "layer_types": ["s", "s", "f", "s", "s"]
    }
    assert unpacked({"compress_ratios_pattern": {"rle": [[0, 2], [4, 1]]}}) == {"compress_ratios": [0, 0, 4]}
    assert unpacked({"hybrid_override_pattern": "M*-", "sliding_window_pattern": 6}) == {
        "hybrid_override_pattern": "M*-",
        "sliding_window_pattern": 6,
    }
    assert unpacked({"block_configs_rle": [[[8, 2.5], 1], [[None, 1.0], 2]]})["block_configs"] == [
        {"attention": {"n_heads_in_group": 8, "no_op": False}, "ffn": {"ffn_mult": 2.5, "no_op": False}},
        {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 1.0, "no_op": False}},
        {"attention": {"n_heads_in_group": None, "no_op": True}, "ffn": {"ffn_mult": 1.0, "no_op": False}},
    ]


def test_lists_by_layer_of_known_models() -> None:
    gpt_oss = find_architecture("openai/gpt-oss-20b")
    assert gpt_oss is not None
    layers = gpt_oss.per_layer("layer_types")
    assert layers is not None
    assert list(layers[:3]) == ["sliding_attention", "full_attention", "sliding_attention"]
    mimo = find_architecture("XiaomiMiMo/MiMo-V2-Flash")
    assert mimo is not None
    windows = mimo.per_layer("hybrid_layer_pattern")
    assert windows is not None
    assert (windows.count(0), windows.count(1)) == (9, 39)


def test_rows_name_what_they_lack() -> None:
    partial = find_architecture("OpenGVLab/InternVL3-78B-Instruct")
    assert partial is not None
    assert partial.published["partial"] is True
    row = model_row("OpenGVLab/InternVL3-78B-Instruct")
    assert row is not None
    assert isinstance(row.facts["note"], str)


def test_widths_that_were_worked_out_give_the_published_count_to_the_parameter() -> None:
    exact = 0
    for model_id, (_, note) in ADDITIONS.items():
        found = find_architecture(model_id)
        assert found is not None
        assert not found.published.get("partial")
        assert found.confidence == "derived"
        assert found.published["note"] == note
        count = parameter_count(found)
        assert count is not None, model_id
        if "to the parameter" in note:
            assert count.total == round(found.published["total_params_b"] * 1e9), model_id
            exact += 1
        elif size := found.published.get("checkpoint_gb"):
            # two bytes a parameter
            assert count.total * 2 == pytest.approx(size * 1e9, rel=2e-4), model_id
    assert exact == 3
