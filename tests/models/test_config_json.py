"""A config.json as the hub has it becomes an architecture: every family's own way of writing it."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vllmlint.facts.models import model_row
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.catalogue import catalogue_ids, unpacked
from vllmlint.models.config_files import ModelFiles
from vllmlint.models.config_json import (
    ConfigError,
    architecture_from_config,
    architecture_from_files,
    looks_like_a_model,
)
from vllmlint.models.layer_types import derived_layer_types

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "rope_scaling": {
        "factor": 8.0,
        "high_freq_factor": 4.0,
        "low_freq_factor": 1.0,
        "original_max_position_embeddings": 8192,
        "rope_type": "llama3",
    },
    "torch_dtype": "bfloat16",
}


def read(config: dict[str, Any], **beside: Any) -> ModelArchitecture:
    return architecture_from_config(config, source="config.json", **beside)


def values(architecture: ModelArchitecture, *names: str) -> tuple[Any, ...]:
    return tuple(architecture.get(name) for name in names)


def test_a_dense_model() -> None:
    found = read(LLAMA, model_id="private/llama")
    assert found.id == "private/llama"
    assert (found.source, found.confidence) == ("config.json", "given")
    assert (found.num_key_value_heads, found.head_dim) == (8, 128)
    assert found.part("rope_scaling")["type"] == "llama3"
    assert found.part("rope_scaling")["original_max_position_embeddings"] == 8192
    # LlamaConfig of transformers: embeddings are not tied unless the config says so
    assert found.get("tie_word_embeddings") is False
    assert "tie_word_embeddings" in found.published["defaults_applied"]


def test_a_multimodal_model_that_leaves_most_to_its_classes() -> None:
    """google/gemma-3-4b-it as it was first published: heads, vocabulary and layer kinds are not in it."""
    found = read(
        {
            "architectures": ["Gemma3ForConditionalGeneration"],
            "model_type": "gemma3",
            "text_config": {
                "hidden_size": 2560,
                "intermediate_size": 10240,
                "model_type": "gemma3_text",
                "num_hidden_layers": 34,
                "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
                "sliding_window": 1024,
            },
            "torch_dtype": "bfloat16",
            "vision_config": {"hidden_size": 1152, "image_size": 896, "model_type": "siglip_vision_model"},
        }
    )
    assert found.model_type == "gemma3_text"
    assert found.text("model_type") == "gemma3"
    assert (found.num_attention_heads, found.num_key_value_heads, found.head_dim) == (8, 4, 256)
    assert values(found, "vocab_size", "tie_word_embeddings") == (262208, True)
    layers = found.per_layer("layer_types")
    assert layers is not None
    assert [at for at, kind in enumerate(layers) if kind == "full_attention"] == [5, 11, 17, 23, 29]
    assert found.part("vision_config")["hidden_size"] == 1152
    # SiglipVisionConfig
    assert found.part("vision_config")["num_channels"] == 3
    assert "text_config" not in found.fields


def test_gemma_2_alternates_and_ties_its_embeddings() -> None:
    found = read(
        {
            "architectures": ["Gemma2ForCausalLM"],
            "model_type": "gemma2",
            "hidden_size": 3584,
            "num_hidden_layers": 4,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 256,
            "vocab_size": 256000,
            "sliding_window": 4096,
        }
    )
    assert found.get("layer_types") == ["sliding_attention", "full_attention"] * 2
    assert found.flag("tie_word_embeddings")


def test_llama_4_attends_in_chunks_but_in_every_fourth_layer() -> None:
    text = {
        "model_type": "llama4_text",
        "hidden_size": 5120,
        "num_hidden_layers": 8,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "attention_chunk_size": 8192,
        "num_local_experts": 16,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "interleave_moe_layer_step": 1,
        "vocab_size": 202048,
        "no_rope_layers": [],
    }
    config = {
        "architectures": ["Llama4ForConditionalGeneration"],
        "model_type": "llama4",
        "text_config": text,
    }
    found = read(config)
    assert found.get("layer_types") == [*["chunked_attention"] * 3, "full_attention"] * 2
    assert found.num_experts == 16
    assert found.get("tie_word_embeddings") is False


def test_qwen_next_has_full_attention_in_every_fourth_layer() -> None:
    config = {
        "architectures": ["Qwen3NextForCausalLM"],
        "model_type": "qwen3_next",
        "hidden_size": 2048,
        "num_hidden_layers": 8,
        "num_attention_heads": 16,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "num_experts": 512,
        "linear_num_value_heads": 32,
        "vocab_size": 151936,
    }
    assert read(config).get("layer_types") == [*["linear_attention"] * 3, "full_attention"] * 2
    every_second = read({**config, "full_attention_interval": 2}).get("layer_types")
    assert every_second == ["linear_attention", "full_attention"] * 4


def test_an_mla_model_keeps_its_ranks_and_gets_no_made_up_heads() -> None:
    found = read(
        {
            "architectures": ["DeepseekV3ForCausalLM"],
            "model_type": "deepseek_v3",
            "hidden_size": 7168,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "num_key_value_heads": 128,
            "kv_lora_rank": 512,
            "q_lora_rank": None,
            "qk_rope_head_dim": 64,
            "qk_nope_head_dim": 128,
            "v_head_dim": 128,
            "n_routed_experts": 256,
            "vocab_size": 129280,
            "quantization_config": {
                "activation_scheme": "dynamic",
                "fmt": "e4m3",
                "quant_method": "fp8",
                "weight_block_size": [128, 128],
            },
        }
    )
    assert found.is_mla
    assert "head_dim" not in found.fields
    # the config says that there is none: the class default of 1536 is not for it
    assert found.get("q_lora_rank") is None
    assert found.part("quantization_config")["weight_block_size"] == [128, 128]


def test_nemotron_h_writes_its_layers_as_letters() -> None:
    config = {
        "architectures": ["NemotronHForCausalLM"],
        "model_type": "nemotron_h",
        "hidden_size": 4480,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 131072,
        "hybrid_override_pattern": "M-M*-",
    }
    found = read({**config, "num_hidden_layers": 5})
    assert found.get("layers_block_type") == ["mamba", "mlp", "mamba", "attention", "mlp"]
    assert not found.is_moe
    experts = read({**config, "hybrid_override_pattern": "ME*E", "n_routed_experts": 128})
    assert experts.num_hidden_layers == 4
    assert experts.num_experts == 128


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            {"model_type": "gpt2", "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024},
            {"hidden_size": 768, "num_hidden_layers": 12, "intermediate_size": 3072, "vocab_size": 50257},
        ),
        (
            {"model_type": "gpt_bigcode", "n_embd": 6144, "n_head": 48, "n_layer": 40, "n_inner": 24576,
             "vocab_size": 49152, "multi_query": True},
            {"num_key_value_heads": 1, "intermediate_size": 24576, "num_attention_heads": 48},
        ),
        (
            {"model_type": "falcon", "hidden_size": 4544, "n_head": 71, "n_layer": 32, "multi_query": True},
            {"num_key_value_heads": 1, "intermediate_size": 18176, "num_hidden_layers": 32},
        ),
        (
            {"model_type": "falcon", "hidden_size": 8192, "num_attention_heads": 128, "num_kv_heads": 8,
             "num_hidden_layers": 60, "multi_query": True, "new_decoder_architecture": True},
            {"num_key_value_heads": 8, "intermediate_size": 32768},
        ),
        (
            {"model_type": "chatglm", "hidden_size": 4096, "num_layers": 40, "num_attention_heads": 32,
             "kv_channels": 128, "ffn_hidden_size": 13696, "padded_vocab_size": 151552, "seq_length": 131072,
             "multi_query_attention": True, "multi_query_group_num": 2},
            {"num_key_value_heads": 2, "intermediate_size": 13696, "vocab_size": 151552, "head_dim": 128,
             "num_hidden_layers": 40, "max_position_embeddings": 131072},
        ),
        (
            {"model_type": "qwen", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32,
             "intermediate_size": 22016, "vocab_size": 151936, "seq_length": 8192},
            {"intermediate_size": 11008, "max_position_embeddings": 8192},
        ),
        (
            {"model_type": "mpt", "d_model": 4096, "n_heads": 32, "n_layers": 32, "max_seq_len": 2048,
             "vocab_size": 50432, "attn_config": {"kv_n_heads": 8}},
            {"hidden_size": 4096, "num_key_value_heads": 8, "intermediate_size": 16384,
             "max_position_embeddings": 2048},
        ),
        (
            {"model_type": "dbrx", "d_model": 6144, "n_heads": 48, "n_layers": 40, "max_seq_len": 32768,
             "vocab_size": 100352, "attn_config": {"kv_n_heads": 8},
             "ffn_config": {"ffn_hidden_size": 10752, "moe_num_experts": 16, "moe_top_k": 4}},
            {"num_key_value_heads": 8, "num_local_experts": 16, "num_experts_per_tok": 4},
        ),
    ],
    ids=lambda value: value.get("model_type") if isinstance(value, dict) else None,
)  # fmt: skip
def test_older_names(config: dict[str, Any], expected: dict[str, Any]) -> None:
    found = read({"architectures": ["X"], **config})
    assert {name: found.get(name) for name in expected} == expected


def test_nemotron_nas_states_heads_block_by_block() -> None:
    def block(group: int | None) -> dict[str, Any]:
        return {"attention": {"n_heads_in_group": group, "no_op": group is None}, "ffn": {"ffn_mult": 2.0}}

    plain = {key: value for key, value in LLAMA.items() if key != "num_key_value_heads"}
    config = {**plain, "model_type": "nemotron-nas", "num_attention_heads": 64, "num_hidden_layers": 3}
    assert (
        read({**config, "block_configs": [block(8), block(None), block(8)]}).get("num_key_value_heads") == 8
    )
    assert (
        read({**config, "block_configs": [block(8), block(4), block(8)]}).get("num_key_value_heads") is None
    )


def test_what_the_config_states_under_an_older_name_comes_before_a_class_default() -> None:
    found = read({"model_type": "bloom", "n_embed": 4096, "n_head": 32, "n_layer": 30, "vocab_size": 250880})
    assert (found.hidden_size, found.integer("intermediate_size")) == (4096, 16384)


def test_the_parts_of_an_omni_model_lie_in_its_thinker() -> None:
    text = {"model_type": "qwen2_5_omni_text", **{k: v for k, v in LLAMA.items() if isinstance(v, int)}}
    thinker = {"text_config": text, "vision_config": {"depth": 32}, "audio_config": {"d_model": 1280}}
    config = {
        "architectures": ["Qwen2_5OmniModel"],
        "model_type": "qwen2_5_omni",
        "thinker_config": {"model_type": "qwen2_5_omni_thinker", **thinker},
    }
    found = read(config)
    assert found.class_name == "Qwen2_5OmniModel"
    assert found.model_type == "qwen2_5_omni_text"
    assert found.hidden_size == 4096
    assert found.part("vision_config")["depth"] == 32
    assert found.part("audio_config")["encoder_layers"] == 32
    assert "thinker_config" not in found.fields


def test_internvl_calls_its_text_part_llm_config() -> None:
    config = {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "llm_config": {**LLAMA, "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]},
        "vision_config": {"hidden_size": 1024},
        "auto_map": {"AutoModel": "modeling_internvl_chat.InternVLChatModel"},
    }
    found = read(config)
    assert found.class_name == "InternVLChatModel"
    assert found.model_type == "qwen2"
    assert found.hidden_size == 4096
    assert found.published["has_auto_map"] is True


def test_a_quantisation_block_of_the_text_part_counts_for_the_whole() -> None:
    block = {"quant_method": "compressed-tensors", "format": "pack-quantized"}
    config = {"architectures": ["KimiK25ForConditionalGeneration"], "model_type": "kimi_k25"}
    found = read({**config, "text_config": {**LLAMA, "quantization_config": block}})
    assert found.part("quantization_config")["quant_method"] == "compressed-tensors"


def test_a_window_that_is_switched_off_is_no_window() -> None:
    config = {**LLAMA, "model_type": "qwen2", "sliding_window": 131072, "max_window_layers": 28}
    assert read({**config, "use_sliding_window": False}).get("sliding_window") is None
    windowed = read({**config, "use_sliding_window": True})
    assert windowed.get("sliding_window") == 131072
    assert windowed.get("layer_types") == ["full_attention"] * 28 + ["sliding_attention"] * 4


def test_a_null_is_no_gap_for_a_class_default() -> None:
    """mistralai/Mistral-7B-v0.3: `sliding_window: null`, where MistralConfig would fill in 4096."""
    mistral = {**LLAMA, "model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    assert read(mistral).get("sliding_window") == 4096
    assert read({**mistral, "sliding_window": None}).get("sliding_window") is None


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"rope_type": "default", "rope_theta": 1e6}, None),
        ({"type": "mrope", "mrope_section": [16, 24, 24]}, {"mrope_section": [16, 24, 24], "mrope": True}),
        ({"rope_type": "yarn", "factor": 4.0}, {"type": "yarn", "factor": 4.0}),
        (
            {"full_attention": {"rope_type": "linear", "factor": 8.0},
             "sliding_attention": {"rope_type": "default"}},
            {"full_attention": {"type": "linear", "factor": 8.0}, "sliding_attention": {"type": "default"}},
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_rope_of_old_and_new_configs(key: str, block: dict[str, Any], expected: object) -> None:
    config = {name: value for name, value in LLAMA.items() if name != "rope_scaling"}
    assert read({**config, key: block}).get("rope_scaling") == expected


def test_dtype_is_read_under_both_names() -> None:
    config = {name: value for name, value in LLAMA.items() if name != "torch_dtype"}
    assert read({**config, "dtype": "float16"}).get("torch_dtype") == "float16"
    assert read({**config, "torch_dtype": "torch.bfloat16"}).get("torch_dtype") == "bfloat16"


MODELOPT = {
    "producer": {"name": "modelopt", "version": "0.29.0"},
    "quantization": {
        "quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8",
        "group_size": 16,
        "exclude_modules": ["lm_head"],
    },
}


def test_modelopt_states_its_scheme_in_a_file_of_its_own() -> None:
    found = read(LLAMA, hf_quant_config=MODELOPT)
    assert found.part("quantization_config") == {
        "quant_method": "modelopt",
        "quant_algo": "NVFP4",
        "kv_cache_quant_algo": "FP8",
        "group_size": 16,
        "exclude_modules": ["lm_head"],
    }
    assert found.part("hf_quant_config")["producer"] == "modelopt"
    inside = {"quant_method": "modelopt", "quant_algo": "FP8"}
    both = read({**LLAMA, "quantization_config": inside}, hf_quant_config=MODELOPT)
    assert both.part("quantization_config") == inside


def test_mixed_schemes_are_counted_by_layer() -> None:
    layers = {"a": {"quant_algo": "FP8"}, "b": {"quant_algo": "NVFP4"}, "c": {"quant_algo": "FP8"}}
    mixed = {"quantization": {"quant_algo": "MIXED_PRECISION", "quantized_layers": layers}}
    found = read(LLAMA, hf_quant_config=mixed)
    assert found.part("hf_quant_config")["quantized_layers_by_algo"] == {"FP8": 2, "NVFP4": 1}


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 128, "zero_point": True, "version": "GEMM"},
         {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "GEMM"}),
        ({"quant_method": "GPTQ", "bits": 4, "desc_act": False, "modules_in_block_to_quantize": None},
         {"quant_method": "gptq", "bits": 4, "desc_act": False}),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
         {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "quant_method": "bitsandbytes"}),
        ({"producer": {"name": "modelopt"}, "quant_algo": "FP8", "ignore": ["lm_head"]},
         {"producer": {"name": "modelopt"}, "quant_algo": "FP8", "ignore": ["lm_head"],
          "quant_method": "modelopt"}),
        ({"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]},
         {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", ["quantization_config", "compression_config"])
def test_quantisation_blocks(key: str, block: dict[str, Any], expected: dict[str, Any]) -> None:
    assert read({**LLAMA, key: block}).get("quantization_config") == expected


def test_the_index_tells_the_size_of_the_checkpoint() -> None:
    index = {"metadata": {"total_size": 16060522496}, "weight_map": {}}
    assert read(LLAMA, index=index).published["checkpoint_bytes"] == 16060522496
    assert (
        read(LLAMA, index={"metadata": {"total_size": 16060522496.0}}).published["checkpoint_bytes"]
        == 16060522496
    )
    for broken in (
        {},
        {"metadata": None},
        {"metadata": {"total_size": "16"}},
        {"metadata": {"total_size": -1}},
    ):
        assert "checkpoint_bytes" not in read(LLAMA, index=broken).published
    assert read(LLAMA, total_bytes=7).published["checkpoint_bytes"] == 7


@pytest.mark.parametrize(
    ("change", "key", "text"),
    [
        ({"hidden_size": "4096"}, "hidden_size", "'4096' is not a whole number"),
        ({"hidden_size": 4096.5}, "hidden_size", "4096.5 is not a whole number"),
        ({"num_hidden_layers": -1}, "num_hidden_layers", "-1: input should be greater than or equal to 1"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers", "less than or equal to 10000"),
        ({"vocab_size": True}, "vocab_size", "True is not a whole number"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings", "'no' is not true or false"),
        ({"architectures": "LlamaForCausalLM"}, "architectures", "is not a list"),
        ({"architectures": [7]}, "architectures[0]", "7 is not a text"),
        ({"quantization_config": "fp8"}, "quantization_config", "'fp8' is not a mapping"),
        ({"vision_config": []}, "vision_config", "[] is not a mapping"),
        ({"layer_types": ["full_attention"]}, "layer_types", "1 entries for 32 layers"),
        ({"intermediate_size": []}, "intermediate_size", "0 entries for 32 layers"),
        ({"moe_layer_freq": [0, 1]}, "moe_layer_freq", "2 entries for 32 layers"),
        ({"num_nextn_predict_layers": 10**9}, "num_nextn_predict_layers", "less than or equal to 10000"),
        (
            {"quantization_config": {"quant_method": "gptq", "bits": []}},
            "quantization_config.bits",
            "[] is not a number",
        ),
        ({"model_type": 3}, "model_type", "3 is not a text"),
    ],
)
def test_a_mistake_is_told_with_its_key(change: dict[str, Any], key: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read({**LLAMA, **change})
    assert caught.value.key == key
    assert text in caught.value.reason
    assert str(caught.value).startswith(f"config.json: {key}: ")


def test_what_nothing_says_is_an_error_and_no_guess() -> None:
    unknown = {name: value for name, value in LLAMA.items() if name != "hidden_size"}
    with pytest.raises(
        ConfigError, match="hidden_size: is missing, and nothing says it for model_type 'own'"
    ):
        read({**unknown, "model_type": "own"})
    layers = {name: value for name, value in LLAMA.items() if name != "num_hidden_layers"}
    with pytest.raises(ConfigError, match="num_hidden_layers: is missing"):
        read({**layers, "model_type": "own"})


def test_texts_that_are_no_config() -> None:
    for text, reason in (
        ("{", "is not valid JSON"),
        ("[1]", "is not a JSON object"),
        ('{"hidden_size": NaN}', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
    ):
        with pytest.raises(ConfigError) as caught:
            architecture_from_files(ModelFiles("models/x/config.json", text))
        assert str(caught.value) == f"models/x/config.json: config.json {reason}"


def test_files_of_a_checkpoint() -> None:
    files = ModelFiles(
        "the hub",
        "\ufeff" + json.dumps(LLAMA),
        index='{"metadata": {"total_size": 12}}',
        hf_quant_config=json.dumps(MODELOPT),
        revision="abc",
        gated=True,
    )
    found = architecture_from_files(files, "org/name")
    assert found.published["revision"] == "abc"
    assert found.published["gated"] is True
    assert found.published["checkpoint_bytes"] == 12
    assert found.part("quantization_config")["quant_algo"] == "NVFP4"
    broken = architecture_from_files(ModelFiles("x", json.dumps(LLAMA), index="{", hf_quant_config="[]"))
    assert broken.hidden_size == 4096


def test_other_programs_have_a_config_json_too() -> None:
    assert looks_like_a_model(json.dumps(LLAMA))
    assert looks_like_a_model('{"model_type": "gpt2"}')
    for other in ("", "[]", "{}", '{"architectures": []}', '{"port": 8080}', '{"model_type": 1}'):
        assert not looks_like_a_model(other)


#: Fields of the catalogue that a config states more fully, or (towers) that a class fills up.
TOWERS = {"vision_config", "audio_config"}


@pytest.mark.parametrize("model_id", catalogue_ids())
def test_the_fields_of_the_catalogue_pass_through_unchanged(model_id: str) -> None:
    row = model_row(model_id)
    assert row is not None
    stated = unpacked(row.fields)
    if row.facts.get("partial"):
        return
    found = architecture_from_config(stated)
    for name, value in stated.items():
        if name in TOWERS:
            assert {**found.part(name), **value} == found.part(name), name
        elif name != "rope_scaling" or any(block != {"type": "default"} for block in value.values()):
            assert found.get(name) == value, name


#: The config states an interval of five, its class would take six.
STATES_ITS_OWN = {"google/gemma-4-E2B-it"}


def test_layer_kinds_by_rule_are_those_that_configs_state() -> None:
    checked = set()
    for model_id in catalogue_ids():
        row = model_row(model_id)
        assert row is not None
        stated = unpacked(row.fields)
        model_type = stated.get("text_model_type") or stated.get("model_type", "")
        rest = {name: value for name, value in stated.items() if name != "layer_types"}
        derived = derived_layer_types(model_type, rest)
        if "layer_types" in stated and derived is not None and model_id not in STATES_ITS_OWN:
            assert derived == stated["layer_types"], model_id
            checked.add(model_type)
    assert len(checked) >= 9


#: What rules for layer kinds and single families read.
OF_RULES = (
    "num_hidden_layers",
    "sliding_window",
    "sliding_window_pattern",
    "no_rope_layers",
    "no_rope_layer_interval",
    "attention_chunk_size",
    "full_attn_idxs",
    "full_attention_interval",
    "max_window_layers",
    "use_sliding_window",
    "layer_group_size",
    "hybrid_override_pattern",
    "multi_query_group_num",
    "multi_query_attention",
    "thinker_config",
    "vision_config",
    "block_configs",
)
KINDS = [
    "llama", "gemma3", "gemma3_text", "falcon", "x", None, "llama4_text", "lfm2", "qwen2", "bailing_hybrid",
    "nemotron_h", "nemotron-nas", "exaone4", "qwen3_next", "qwen", "chatglm", "qwen2_5_omni",
]  # fmt: skip
KEYS = st.sampled_from(
    [*LLAMA, "text_config", "layer_types", "quantization_config", "n_layer", "rope_parameters", *OF_RULES]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text("a.0", max_size=3)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text("a.0", max_size=3), inner, max_size=4)
    ),
)


@given(
    changes=st.dictionaries(KEYS, JSON, max_size=4),
    kind=st.sampled_from(KINDS),
)
def test_whatever_a_config_holds_it_is_read_or_refused_with_a_reason(
    changes: dict[str, Any], kind: str | None
) -> None:
    with suppress(ConfigError):
        found = read({**LLAMA, "model_type": kind, **changes})
        assert found.hidden_size
        assert found.num_hidden_layers
