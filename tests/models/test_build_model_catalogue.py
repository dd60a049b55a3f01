"""The script that builds the shipped catalogue: what it keeps, packs and leaves out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from build_model_catalogue import LACKING, completed, difference, packed, with_whole_lists

BASE: dict[str, Any] = {
    "id": "org/base",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 64,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "layer_types_pattern": {"period": ["full_attention"], "length": 2},
    "layer_types_counts": {"full_attention": 2},
    "head_dim": 16,
    "head_dim_source": "derived (hidden_size / num_attention_heads)",
    "source": "a table",
    "confidence": "config",
    "computed_params_b": 1.0,
    "gated": True,
    "gated_source": "by family (org)",
}


def test_a_row_keeps_config_fields_apart_from_facts() -> None:
    texts, row = (json.loads(line) for line in packed([BASE]))
    assert texts == ["a table"]
    assert row["fields"] == {
        "architectures": ["LlamaForCausalLM"],
        "hidden_size": 64,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "layer_types_pattern": {"period": ["full_attention"], "length": 2},
    }
    assert row["facts"] == {"confidence": "config", "gated": True, "gated_by_family": True, "source": 0}


def test_a_sibling_is_kept_as_a_difference_and_another_architecture_is_not() -> None:
    base = {**BASE, "rope_scaling": {"type": "yarn", "factor": 8.0, "original_max_position_embeddings": 8192}}
    sibling = {**base, "id": "org/sibling", "hidden_size": 128}
    del sibling["intermediate_size"]
    stranger = {**BASE, "id": "org/stranger", "architectures": ["MistralForCausalLM"]}
    rows = [json.loads(line) for line in packed([base, sibling, stranger])[1:]]
    assert rows[1]["like"] == "org/base"
    assert rows[1]["fields"] == {"hidden_size": 128, "intermediate_size": None}
    assert "like" not in rows[2]


def test_a_difference_laid_over_its_base_gives_the_fields_back() -> None:
    base, fields = {"a": 1, "b": 2, "c": 0}, {"a": 1, "b": 3, "d": False}
    laid = {**base, **difference(fields, base)}
    assert {key: value for key, value in laid.items() if value is not None} == fields


def test_what_a_copy_lacks_is_taken_from_its_sibling() -> None:
    """A quantised checkpoint without its quantization_config would count four times its size."""
    model_id, (field, sibling) = next(iter(LACKING.items()))
    trimmed = {**BASE, "id": model_id, "note": "trimmed copy"}
    whole = {**BASE, "id": sibling, field: {"quant_method": "compressed-tensors"}}
    row = completed([trimmed, whole])[0]
    assert row[field] == {"quant_method": "compressed-tensors"}
    assert row["note"] == f"trimmed copy; taken from {sibling}"
    assert completed([{**trimmed, field: {}, "note": "whole"}, whole])[0]["note"] == "whole"


def test_lists_that_the_table_cuts_short_are_taken_whole_from_the_file(tmp_path: Path) -> None:
    names = ["lm_head", *(f"model.layers.{layer}.mlp.gate" for layer in range(9))]
    stated = {
        "ignore": names,
        "config_groups": {"group_0": {"targets": ["model.layers.0.q", "model.layers.1.q"]}},
        "quantized_layers": {f"layers.0.experts.{expert}.w1": {"quant_algo": "NVFP4"} for expert in range(3)},
    }
    (tmp_path / "org--base_config.json").write_text(json.dumps({"quantization_config": stated}), "utf-8")
    cut = {
        "quant_method": "modelopt",
        "ignore": names[:6],
        "ignore_count": 10,
        "config_groups": {"group_0": {"weights": {"num_bits": 4}, "targets": ["model.layers.0.q"]}},
    }
    row = with_whole_lists({**BASE, "quantization_config": cut}, tmp_path)
    assert row["quantization_config"] == {
        "quant_method": "modelopt",
        "ignore": {"packed": [["lm_head"], ["model.layers.#.mlp.gate", [[0, 8]]]]},
        "config_groups": {
            "group_0": {"weights": {"num_bits": 4}, "targets": {"packed": [["model.layers.#.q", [[0, 1]]]]}}
        },
        "quantized_layers": {
            "by_scheme": [[{"quant_algo": "NVFP4"}, {"packed": [["layers.#.experts.*", [[0, 0]]]]}]]
        },
    }
    assert with_whole_lists(BASE, tmp_path) == BASE
