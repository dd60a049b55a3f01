"""What checkpoint configs say about quantisation, method by method."""

from __future__ import annotations

from typing import Any

import pytest

from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.quantization import CheckpointQuantization, quantization_of


def _read(config: dict[str, Any], **fields: Any) -> CheckpointQuantization:
    found = quantization_of(ModelArchitecture("some/model", {"quantization_config": config, **fields}))
    assert found is not None
    return found


def _format(quantization: CheckpointQuantization, name: str, role: Any = "linear") -> str | None:
    scheme = quantization.scheme_of(name, role)
    return None if scheme is None else scheme.format


def test_a_config_without_quantisation_has_none() -> None:
    assert quantization_of(ModelArchitecture("some/model", {"hidden_size": 64})) is None


def test_fp8_in_tiles() -> None:
    found = _read({"quant_method": "fp8", "weight_block_size": [128, 128], "activation_scheme": "dynamic"})
    scheme = found.scheme_of("layers.0.mlp.down_proj")
    assert found.method == "fp8"
    assert scheme is not None
    assert (scheme.strategy, scheme.block, scheme.activations) == ("block", (128, 128), "dynamic")


def test_fp8_per_tensor_leaves_the_named_modules_alone() -> None:
    found = _read(
        {
            "quant_method": "fp8",
            "activation_scheme": "static",
            "modules_to_not_convert": ["model.layers.1.self_attn.q_proj", "model.layers.2.self_attn"],
        }
    )
    assert _format(found, "layers.0.self_attn.q_proj") == "fp8"
    assert _format(found, "layers.1.self_attn.q_proj") is None
    assert _format(found, "layers.1.self_attn.k_proj") == "fp8"
    assert _format(found, "layers.2.self_attn.k_proj") is None
    assert found.varies_by_layer


@pytest.mark.parametrize("role", ["never", "embedding", "vision", "lm_head"])
def test_what_no_method_touches_unless_told(role: Any) -> None:
    assert _format(_read({"quant_method": "fp8"}), "anything", role) is None


def test_awq_names_are_parts_of_names() -> None:
    found = _read({"quant_method": "awq", "bits": 4, "group_size": 64, "modules_to_not_convert": ["visual"]})
    assert _format(found, "visual.blocks.3.attn.qkv") is None
    scheme = found.scheme_of("layers.3.mlp.up_proj")
    assert scheme is not None
    assert (scheme.bits, scheme.group_size, scheme.zero_points, scheme.scale_bytes) == (4, 64, True, None)


def test_awq_without_a_group_size_says_what_was_taken() -> None:
    found = _read({"quant_method": "awq", "bits": 4})
    assert found.main_scheme is not None
    assert found.main_scheme.group_size == 128
    assert "128" in found.doubt


def test_gptq_dynamic_rules_skip_and_override() -> None:
    found = _read(
        {
            "quant_method": "gptq",
            "bits": 4,
            "group_size": 128,
            "desc_act": True,
            "dynamic": {r"-:.*\.o_proj": {}, r"+:.*\.down_proj": {"bits": 8, "group_size": 64}},
        }
    )
    assert _format(found, "layers.0.self_attn.o_proj") is None
    down, up = found.scheme_of("layers.0.mlp.down_proj"), found.scheme_of("layers.0.mlp.up_proj")
    assert down is not None
    assert up is not None
    assert (down.bits, down.group_size) == (8, 64)
    assert (up.bits, up.group_size, up.desc_act) == (4, 128, True)


def test_gptq_group_size_minus_one_is_a_scale_a_channel() -> None:
    found = _read({"quant_method": "gptq", "bits": 8, "group_size": -1})
    assert found.main_scheme is not None
    assert found.main_scheme.strategy == "channel"


def test_gptq_lm_head() -> None:
    assert _format(_read({"quant_method": "gptq", "bits": 4, "lm_head": True}), "lm_head", "lm_head") == "int"


def _group(bits: int, kind: str, **more: Any) -> dict[str, Any]:
    weights = {"num_bits": bits, "type": kind, "symmetric": True, **more}
    return {"weights": weights, "targets": ["Linear"]}


def test_compressed_tensors_regular_expressions() -> None:
    found = _read(
        {
            "quant_method": "compressed-tensors",
            "format": "pack-quantized",
            "ignore": ["lm_head", "re:.*self_attn.*", "re:.*mlp\\.(gate|up)_proj.*"],
            "config_groups": {"group_0": _group(4, "int", strategy="group", group_size=32)},
        }
    )
    assert _format(found, "layers.0.self_attn.o_proj") is None
    assert _format(found, "layers.0.mlp.gate_proj") is None
    assert _format(found, "layers.0.mlp.experts", "experts") == "int"
    assert not found.varies_by_layer


def test_compressed_tensors_groups_by_target() -> None:
    found = _read(
        {
            "quant_method": "compressed-tensors",
            "format": "mixed-precision",
            "config_groups": {
                "group_0": {**_group(8, "float", strategy="channel"), "targets": ["re:.*self_attn.*"]},
                "group_1": _group(4, "float", strategy="tensor_group", group_size=16),
            },
        }
    )
    assert _format(found, "layers.0.self_attn.q_proj") == "fp8"
    assert _format(found, "layers.0.mlp.up_proj") == "nvfp4"


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        (_group(8, "float", strategy="channel"), ("fp8", "channel", 8)),
        (_group(8, "float", strategy="block", block_structure=[128, 128]), ("fp8", "block", 8)),
        (_group(8, "float", strategy="group", group_size=32), ("mxfp8", "group", 8)),
        (_group(8, "int", strategy="channel"), ("int", "channel", 8)),
        (_group(4, "float", strategy="group", group_size=32), ("mxfp4", "group", 4)),
        (_group(4, "float", strategy="tensor_group", group_size=16), ("nvfp4", "group", 4)),
    ],
)
def test_compressed_tensors_schemes(group: dict[str, Any], expected: tuple[str, str, int]) -> None:
    found = _read({"quant_method": "compressed-tensors", "format": "x", "config_groups": {"group_0": group}})
    scheme = found.main_scheme
    assert scheme is not None
    assert (scheme.format, scheme.strategy, scheme.bits) == expected


def test_modelopt_wildcards_and_kv_cache() -> None:
    found = _read(
        {"quant_method": "modelopt", "quant_algo": "NVFP4"},
        hf_quant_config={
            "quantization": {
                "quant_algo": "NVFP4",
                "kv_cache_quant_algo": "FP8",
                "exclude_modules": ["lm_head", "model.layers.0.self_attn*"],
            }
        },
    )
    assert found.method == "modelopt_fp4"
    assert found.kv_cache_dtype == "fp8"
    assert _format(found, "layers.0.self_attn.q_proj") is None
    assert _format(found, "layers.1.self_attn.q_proj") == "nvfp4"
    assert found.doubt == ""


def test_a_truncated_list_stands_for_all_layers_and_says_so() -> None:
    found = _read(
        {
            "quant_method": "modelopt",
            "quant_algo": "NVFP4",
            "ignore": ["model.layers.0*", "model.layers.1.self_attn*"],
            "ignore_count": 62,
        }
    )
    assert _format(found, "layers.0.mlp.up_proj") is None
    assert _format(found, "layers.7.self_attn.q_proj") is None
    assert _format(found, "layers.7.mlp.up_proj") == "nvfp4"
    assert "part of the list" in found.doubt


def test_modelopt_mixed_precision_by_layer() -> None:
    found = _read(
        {
            "quant_method": "modelopt",
            "quant_algo": "MIXED_PRECISION",
            "quantized_layers": {
                "model.layers.0.mixer.in_proj": {"quant_algo": "FP8"},
                "model.layers.1.mixer.experts.0.up_proj": {"quant_algo": "NVFP4"},
            },
        }
    )
    assert found.method == "modelopt_mixed"
    assert _format(found, "layers.0.mixer.in_proj") == "fp8"
    assert _format(found, "layers.1.mixer.experts", "experts") == "nvfp4"
    assert _format(found, "layers.2.mixer.in_proj") is None


def test_mxfp4_is_for_experts_only() -> None:
    found = _read({"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn"]})
    assert _format(found, "layers.0.mlp.experts", "experts") == "mxfp4"
    assert _format(found, "layers.0.mlp.down_proj") is None


def test_deepseek_v4_keeps_experts_in_mxfp4() -> None:
    found = _read({"quant_method": "fp8"}, architectures=["DeepseekV4ForCausalLM"])
    assert found.method == "deepseek_v4_fp8"
    assert _format(found, "layers.0.ffn.experts", "experts") == "mxfp4"
    assert _format(found, "layers.0.attn.wq_b") == "fp8"


def test_bitsandbytes() -> None:
    found = _read({"quant_method": "bitsandbytes", "load_in_4bit": True, "llm_int8_skip_modules": ["o_proj"]})
    assert _format(found, "layers.0.mlp.up_proj") == "nf4"
    assert _format(found, "layers.0.self_attn.o_proj") is None


def test_quark_excludes() -> None:
    weight = {"dtype": "fp4", "group_size": 32}
    found = _read(
        {"quant_method": "quark", "global_quant_config": {"weight": weight}, "exclude": ["re:.*attn.*"]}
    )
    assert _format(found, "layers.0.mlp.up_proj") == "mxfp4"
    assert _format(found, "layers.0.self_attn.q_proj") is None


def test_auto_round_keeps_some_layers() -> None:
    found = _read(
        {
            "quant_method": "auto-round",
            "bits": 4,
            "group_size": 128,
            "extra_config": {"model.layers.1.mlp.gate": {"bits": 16}, ".*linear_attn.*": {"bits": 16}},
        }
    )
    assert found.method == "inc"
    assert _format(found, "layers.1.mlp.gate") is None
    assert _format(found, "layers.3.linear_attn.out_proj") is None
    assert _format(found, "layers.3.mlp.up_proj") == "int"


def test_an_unknown_method_is_doubtful() -> None:
    found = _read({"quant_method": "next-year"})
    assert found.main_scheme is None
    assert "next-year" in found.doubt


def test_a_list_that_modelopt_surely_wrote_is_missed_where_it_matters() -> None:
    fp4 = {"quant_method": "modelopt", "quant_algo": "NVFP4"}
    assert "not recorded" in _read(fp4).doubt
    fp8 = {"quant_method": "modelopt", "quant_algo": "FP8"}
    assert _read(fp8).doubt == ""
    assert "not recorded" in _read(fp8, num_experts=8).doubt
