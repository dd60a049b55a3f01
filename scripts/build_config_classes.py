#!/usr/bin/env python
"""Build vllmlint/facts/config_classes.json: what transformers fills in where a config.json is silent.

Usage: python scripts/build_config_classes.py UNPACKED_WHEEL     (the folder that holds `transformers/`)

The configuration classes are only parsed, nothing of them is run. The result has the classes of language
models and of the towers beside them: `types` (model_type to class name), and for each class `defaults`
(only the fields that say how large a model is or how its memory is laid out), `aliases` (an older key that
the class takes for a common one, `n_embd`) and `parts` (the class of `text_config`, `vision_config`, ...
with values that the outer class sets in it).
"""

from __future__ import annotations

import ast
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "vllmlint" / "facts" / "config_classes.json"
CATALOGUE = ROOT / "vllmlint" / "facts" / "models.jsonl"

#: Fields that the catalogue does not have but a memory estimate needs.
MORE_FIELDS = {
    "attn_layer_offset",
    "attn_layer_period",
    "conv_L_cache",
    "expert_layer_offset",
    "expert_layer_period",
    "full_attn_idxs",
    "global_attn_every_n_layers",
    "layer_types",
    "layers_block_type",
    "mamba_dt_rank",
    "mlp_bias",
    "mlp_layer_types",
    "n_inner",
    "no_rope_layer_interval",
    "no_rope_layers",
    "new_decoder_architecture",
    "num_mel_bins",
    "encoder_layers",
    "encoder_attention_heads",
    "encoder_ffn_dim",
    "d_model",
    "multi_query",
    "num_kv_heads",
    "parallel_attn",
    "partial_rotary_factor",
    "qkv_bias",
    "use_bias",
    "embed_dim",
    "mlp_ratio",
    "sliding_window_pattern",
}
#: Fields that go by one name here, whatever a family calls them.
RENAMED = {
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "max_position_embeddings",
    "vocab_size",
    "head_dim",
}
#: Fields that transformers names anew; the catalogue and vLLM keep the older name.
NOT_FIELDS = {"architectures", "model_type", "id", "torch_dtype", "rope_scaling", "quantization_config"}
PARTS = ("text_config", "llm_config", "thinker_config", "language_config", "vision_config", "audio_config")


class Class:
    """A configuration class as its source states it."""

    def __init__(self, node: ast.ClassDef) -> None:
        self.bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
        self.defaults: dict[str, Any] = {}
        self.model_type = ""
        self.aliases: dict[str, str] = {}
        self.parts: dict[str, list[Any]] = {}
        for item in node.body:
            self._read(item)

    def _read(self, item: ast.stmt) -> None:
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value is not None:
            self._default(item.target.id, item.value)
        elif isinstance(item, ast.Assign) and isinstance(item.targets[0], ast.Name):
            name = item.targets[0].id
            if name == "model_type":
                self.model_type = constant(item.value)
            elif name == "attribute_map":
                self.aliases = ast.literal_eval(item.value)
            elif name == "sub_configs_defaults" and isinstance(item.value, ast.Dict):
                for key, value in zip(item.value.keys, item.value.values, strict=True):
                    self.parts[ast.literal_eval(key)] = part_class(value)  # type: ignore[arg-type]
            else:
                self._default(name, item.value)

    def _default(self, name: str, value: ast.expr) -> None:
        try:
            self.defaults[name] = constant(value)
        except (ValueError, TypeError):
            self.defaults.pop(name, None)


def constant(node: ast.expr) -> Any:
    """The value of a default: a literal, a product or sum of literals, or `interval(...)(default=x)`.

    Raises ValueError for anything that only running the code would tell.
    """
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Add):
        left, right = constant(node.left), constant(node.right)
        return left * right if isinstance(node.op, ast.Mult) else left + right
    if isinstance(node, ast.Call):
        given = [word.value for word in node.keywords if word.arg == "default"]
        if len(given) == 1:
            return constant(given[0])
    return ast.literal_eval(node)


def part_class(node: ast.expr) -> list[Any]:
    """The class of a part (or `type:NAME` where a model_type says it) and the values set in it."""
    if isinstance(node, ast.Name):
        return [node.id, {}]
    assert isinstance(node, ast.Call), ast.dump(node)
    words = {word.arg: word.value for word in node.keywords}
    values: dict[str, Any] = {}
    if isinstance(words.get("init_kwargs"), ast.Dict):
        given = words["init_kwargs"]
        for key, value in zip(given.keys, given.values, strict=True):  # type: ignore[attr-defined]
            try:
                values[ast.literal_eval(key)] = constant(value)
            except ValueError:
                continue
    if "model_type" in words and ast.literal_eval(words["model_type"]):
        return [f"type:{ast.literal_eval(words['model_type'])}", values]
    named = words.get("config_class", node.args[0] if node.args else None)
    return [named.id if isinstance(named, ast.Name) else "", values]


def read_classes(package: Path) -> dict[str, Class]:
    """Every class of every `configuration_*.py`, by name."""
    classes: dict[str, Class] = {}
    for path in sorted(package.glob("models/*/configuration_*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef):
                classes[node.name] = Class(node)
    return classes


def inherited(classes: dict[str, Class], name: str, attribute: str) -> dict[str, Any]:
    """A mapping of a class with what its bases add."""
    own = classes.get(name)
    if own is None:
        return {}
    merged: dict[str, Any] = {}
    for base in reversed(own.bases):
        merged.update(inherited(classes, base, attribute))
    return {**merged, **getattr(own, attribute)}


def type_classes(package: Path) -> dict[str, str]:
    """CONFIG_MAPPING_NAMES: which class a model_type stands for."""
    text = (package / "models" / "auto" / "auto_mappings.py").read_text("utf-8")
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "CONFIG_MAPPING_NAMES":
            assert isinstance(node.value, ast.Call)
            return dict(ast.literal_eval(node.value.args[0]))
    raise SystemExit("CONFIG_MAPPING_NAMES not found")


def catalogue_rows() -> list[dict[str, Any]]:
    """The rows of the shipped catalogue."""
    return [json.loads(line) for line in CATALOGUE.read_text("utf-8").splitlines()[1:]]


def catalogue_fields() -> set[str]:
    """The fields of the language models in the catalogue."""
    return {re.sub(r"(_pattern|_rle)$", "", name) for row in catalogue_rows() for name in row["fields"]}


def wanted_fields() -> set[str]:
    """The fields of the catalogue, those of its towers, and some more."""
    towers = {name for row in catalogue_rows() for name in row["fields"].get("vision_config") or {}}
    names = {name for name in catalogue_fields() | towers if not name.endswith(("_index", "_token_id"))}
    return (names | MORE_FIELDS) - NOT_FIELDS - set(PARTS)


def build(package: Path) -> dict[str, Any]:
    """The whole table."""
    classes, types, wanted = read_classes(package), type_classes(package), wanted_fields()
    common = catalogue_fields() | RENAMED
    rows: dict[str, dict[str, Any]] = {}

    def add(name: str) -> None:
        if name in rows or name not in classes:
            return
        defaults = inherited(classes, name, "defaults")
        aliases = inherited(classes, name, "aliases")
        row: dict[str, Any] = {}
        if used := {old: new for new, old in aliases.items() if new in RENAMED and old not in common}:
            row["aliases"] = used
        named = wanted | set(row.get("aliases", ()))
        kept = {key: value for key, value in defaults.items() if key in named}
        # a head_dim of 0 (a model without rotary embedding) is no width of a head
        if kept.get("head_dim") == 0:
            del kept["head_dim"]
        row["defaults"] = {key: value for key, value in kept.items() if value is not None}
        rows[name] = row
        parts = {}
        for key, (part, values) in inherited(classes, name, "parts").items():
            part_name = types.get(part.removeprefix("type:"), "") if part.startswith("type:") else part
            if key in PARTS and part_name in classes:
                add(part_name)
                parts[key] = [part_name, {k: v for k, v in values.items() if k in wanted}]
        if parts:
            row["parts"] = parts

    for name in types.values():
        fields = inherited(classes, name, "defaults")
        text = set(inherited(classes, name, "parts")) & set(PARTS[:4])
        if name in classes and ("vocab_size" in fields or text):
            add(name)
    served = {model_type: name for model_type, name in sorted(types.items()) if name in rows}
    return {"types": served, "classes": dict(sorted(rows.items()))}


def main() -> None:
    """Write the table."""
    package = Path(sys.argv[1]) / "transformers"
    version = re.search(r'__version__ = "([^"]+)"', (package / "__init__.py").read_text("utf-8"))
    assert version is not None
    source = f"transformers {version[1]}, models/*/configuration_*.py"
    table = {"source": source, **build(package)}
    TARGET.write_text(json.dumps(table, separators=(",", ":"), ensure_ascii=False) + "\n", "utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(table['classes'])} classes, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
