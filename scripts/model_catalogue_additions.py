"""What the shipped catalogue adds to the research table: fields that a row lacks and how they are known.

Each addition has a note that goes into the row. Widths that are worked out are here only where the count
of parameters that they give is the published one; `tests/models/test_catalogue.py` works it out again.
"""

from __future__ import annotations

from typing import Any

#: Small Qwen3.5: linear attention as in Qwen3.5-9B, the towers of Qwen3-VL-2B and 4B (24 layers) and a
#: smaller one. Of all combinations tried these alone give the published counts, to the parameter.
_QWEN3_5: dict[str, Any] = {
    "text_model_type": "qwen3_5_text",
    "head_dim": 256,
    "head_dim_source": "explicit",
    "tie_word_embeddings": True,
    "max_position_embeddings": 262144,
    "torch_dtype": "bfloat16",
    "attn_output_gate": True,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_value_head_dim": 128,
    "mamba_ssm_dtype": "float32",
    "mtp_num_hidden_layers": 1,
    "rope_scaling": {"mrope": True},
}
_QWEN3_5_TOWER: dict[str, Any] = {
    "model_type": "qwen3_5",
    "patch_size": 16,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "num_position_embeddings": 2304,
    "in_channels": 3,
}
_TOWER_24 = {**_QWEN3_5_TOWER, "depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "num_heads": 16}
_TOWER_12 = {**_QWEN3_5_TOWER, "depth": 12, "hidden_size": 768, "intermediate_size": 3072, "num_heads": 12}
_TO_THE_PARAMETER = "widths worked out: they give the published count to the parameter"
_PHI_3_MEDIUM = (
    {"model_type": "phi3", "intermediate_size": 17920, "vocab_size": 32064, "tie_word_embeddings": False,
     "torch_dtype": "bfloat16"},
    "MLP width as in phi-4 (the same layers), vocabulary as in Phi-3-mini: they give the published size of "
    "the checkpoint to 0.02 %",
)  # fmt: skip
_GRANITE_3_3 = (
    {"vocab_size": 49155},
    "same architecture fields as derived_from; vocab_size of 3.2, 3.3 may have a few tokens more",
)

#: By id: the fields and the note.
ADDITIONS: dict[str, tuple[dict[str, Any], str]] = {
    "Qwen/Qwen3.5-0.8B": (
        {**_QWEN3_5, "linear_num_value_heads": 16, "vision_config": {**_TOWER_12, "out_hidden_size": 1024}},
        _TO_THE_PARAMETER,
    ),
    "Qwen/Qwen3.5-2B": (
        {
            **_QWEN3_5,
            "intermediate_size": 6144,
            "linear_num_value_heads": 16,
            "vision_config": {**_TOWER_24, "out_hidden_size": 2048},
        },
        _TO_THE_PARAMETER,
    ),
    "Qwen/Qwen3.5-4B": (
        {
            **_QWEN3_5,
            "intermediate_size": 9216,
            "linear_num_value_heads": 32,
            "vision_config": {**_TOWER_24, "out_hidden_size": 2560},
        },
        _TO_THE_PARAMETER,
    ),
    "microsoft/Phi-3-medium-4k-instruct": _PHI_3_MEDIUM,
    "microsoft/Phi-3-medium-128k-instruct": _PHI_3_MEDIUM,
    "ibm-granite/granite-3.3-2b-instruct": _GRANITE_3_3,
    "ibm-granite/granite-3.3-8b-instruct": _GRANITE_3_3,
}


def with_additions(row: dict[str, Any]) -> dict[str, Any]:
    """A row with what is added to it; what the row states itself stays. It is whole then, and derived."""
    if row["id"] not in ADDITIONS:
        return row
    fields, note = ADDITIONS[row["id"]]
    whole = {**fields, **row, "note": note, "confidence": "derived"}
    whole.pop("partial", None)
    return whole
