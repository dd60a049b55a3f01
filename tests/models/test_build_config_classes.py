"""The script that reads the configuration classes of transformers, on a small package of that shape."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from build_config_classes import build, constant

CONFIGURATION = """
class BaseTextConfig(PreTrainedConfig):
    model_type = "base"
    attribute_map = {"hidden_size": "n_embd", "num_local_experts": "n_routed_experts"}
    vocab_size: int = 100
    n_embd: int = 64 * 2
    max_position_embeddings: int = interval(min=1, max=9)(default=2048)
    sliding_window: int | None = None
    initializer_range: float = 0.02
    n_routed_experts: int = 4
    rope_parameters: dict | None = None

class TunedTextConfig(BaseTextConfig):
    model_type = "tuned_text"
    vocab_size: int = 200
    tie_word_embeddings: bool = True

class TowerConfig(PreTrainedConfig):
    model_type = "tower"
    depth: int = 3

class WholeConfig(PreTrainedConfig):
    model_type = "whole"
    sub_configs_defaults = {
        "text_config": TunedTextConfig,
        "vision_config": SubConfigSpec(config_class=AutoConfig, model_type="tower", init_kwargs={"depth": 5}),
    }
    tie_word_embeddings: bool = False
"""
MAPPING = """
CONFIG_MAPPING_NAMES = OrderedDict(
    [
        ("base", "BaseTextConfig"),
        ("tuned_text", "TunedTextConfig"),
        ("tower", "TowerConfig"),
        ("whole", "WholeConfig"),
    ]
)
"""


def test_defaults_names_and_parts_of_classes(tmp_path: Path) -> None:
    for name, text in (("whole/configuration_whole.py", CONFIGURATION), ("auto/auto_mappings.py", MAPPING)):
        path = tmp_path / "models" / name
        path.parent.mkdir(parents=True)
        path.write_text(text, "utf-8")
    table = build(tmp_path)
    assert table["types"] == {
        "base": "BaseTextConfig",
        "tower": "TowerConfig",
        "tuned_text": "TunedTextConfig",
        "whole": "WholeConfig",
    }
    base = table["classes"]["BaseTextConfig"]
    # what the catalogue calls by its own name is not renamed, and what says nothing of size is left out
    assert base["aliases"] == {"n_embd": "hidden_size"}
    assert base["defaults"] == {
        "vocab_size": 100,
        "n_embd": 128,
        "max_position_embeddings": 2048,
        "n_routed_experts": 4,
    }
    tuned = table["classes"]["TunedTextConfig"]["defaults"]
    assert (tuned["vocab_size"], tuned["n_embd"], tuned["tie_word_embeddings"]) == (200, 128, True)
    assert table["classes"]["WholeConfig"]["parts"] == {
        "text_config": ["TunedTextConfig", {}],
        "vision_config": ["TowerConfig", {"depth": 5}],
    }


def test_what_only_running_the_code_would_tell_is_no_constant() -> None:
    assert constant(ast.parse("4096 * 32", mode="eval").body) == 131072
    for text in ("some_name", "call()", "4096 // 3"):
        with pytest.raises(ValueError, match="malformed"):
            constant(ast.parse(text, mode="eval").body)
