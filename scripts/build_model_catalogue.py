#!/usr/bin/env python
"""Build vllmlint/facts/models.jsonl, the shipped catalogue of models, from the research table.

Usage: python scripts/build_model_catalogue.py CONFIGS [TABLE]

CONFIGS is `model_configs` of an unpacked aiconfigurator-core 0.12.0 wheel: the table cuts long lists of
unquantised modules short, the files there have them whole. TABLE is ../shared/data/models/catalog.jsonl
unless another is given.

The first line of the result is a JSON list of texts (sources and notes, referred to by position), each
other line one model: `id`, `like` (an earlier row of the same architecture whose fields this one takes
over), `fields` (config.json names; null drops a field of `like`) and `facts` (what is known beside the
config). Patterns and long lists of modules stay packed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from model_catalogue_additions import with_additions  # noqa: E402

from vllmlint.models.packed_names import collapsed_experts, packed_layers, packed_names  # noqa: E402

TABLE = ROOT.parent / "shared" / "data" / "models" / "catalog.jsonl"
TARGET = ROOT / "vllmlint" / "facts" / "models.jsonl"

#: Facts beside the config. TEXTS are kept in the first line.
TEXTS = ("source", "note", "params_source", "checkpoint_source", "hf_quant_config_source")
PLAIN = (
    "confidence",
    "derived_from",
    "revision",
    "total_params_b",
    "total_params_rounded",
    "checkpoint_gb",
    "gated",
    "license",
    "needs_trust_remote_code",
    "has_auto_map",
    "partial",
    "defaults_applied",
)
#: What the research table's own checks work out, or what says nothing about the model.
DROPPED = (
    "computed_params_b",
    "computed_vision_params_b",
    "computed_mtp_params_b",
    "params_note",
    "revision_source",
    "gated_source",
    "also_in",
    "head_dim_source",
)


#: Fields that a row's own note says its copy of the config lacks, and the row of the same publisher that
#: has them: "the published repo carries an int4 compressed-tensors quantization_config that the copy lacks".
LACKING = {"moonshotai/Kimi-K2-Thinking": ("quantization_config", "moonshotai/Kimi-K2.5")}


def completed(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, with what their copies of the config lack taken from a sibling."""
    by_id = {row["id"]: row for row in rows}
    for model_id, (field, sibling) in LACKING.items():
        if model_id in by_id and sibling in by_id and field not in by_id[model_id]:
            by_id[model_id][field] = by_id[sibling][field]
            by_id[model_id]["note"] += f"; taken from {sibling}"
    return [with_additions(row) for row in rows]


def with_whole_lists(row: dict[str, Any], configs: Path) -> dict[str, Any]:
    """A row with the whole lists of module names in its quantisation blocks, where a file has them."""
    stem = row["id"].replace("/", "--")
    row = dict(row)
    for part, file in (("quantization_config", "config"), ("hf_quant_config", "hf_quant_config")):
        path = configs / f"{stem}_{file}.json"
        if part not in row or not path.is_file():
            continue
        loaded = json.loads(path.read_text("utf-8"))
        text_part = loaded.get("text_config") or {}
        named = "quantization" if part == "hf_quant_config" else part
        stated = loaded.get(named) or text_part.get(named)
        if stated:
            row[part] = whole_block(row[part], stated)
    return row


def whole_block(cut: dict[str, Any], stated: dict[str, Any]) -> dict[str, Any]:
    """A quantisation block of the table with the lists of the file that it was made from."""
    block = dict(cut)
    for key in ("ignore", "exclude_modules", "modules_to_not_convert"):
        if isinstance(names := stated.get(key), list) and len(names) >= len(block.get(key, ())) and names:
            block[key] = packed_names(names)
            block.pop(f"{key}_count", None)
    if isinstance(layers := stated.get("quantized_layers"), dict):
        block["quantized_layers"] = packed_layers(collapsed_experts(layers))
    groups = {}
    for name, group in block.get("config_groups", {}).items():
        targets = stated["config_groups"].get(name, {}).get("targets")
        groups[name] = {**group, "targets": packed_names(targets)} if targets else group
    return {**block, "config_groups": groups} if groups else block


def fields_of(row: dict[str, Any]) -> dict[str, Any]:
    """The config fields of a row. A head_dim that was only worked out (hidden size over heads) goes: a
    config without one means the same, and for MLA models it is no width of anything."""
    facts = {"id", *TEXTS, *PLAIN, *DROPPED}
    kept = {
        key: value
        for key, value in row.items()
        if key not in facts and not key.endswith("_counts") and value is not None
    }
    if str(row.get("head_dim_source", "")).startswith("derived"):
        kept.pop("head_dim", None)
    return kept


def facts_of(row: dict[str, Any], texts: list[str]) -> dict[str, Any]:
    """What is known beside the config, long texts by their position in `texts`."""
    facts = {key: row[key] for key in PLAIN if row.get(key) is not None}
    if str(row.get("gated_source", "")).startswith("by family"):
        facts["gated_by_family"] = True
    for key in TEXTS:
        if text := row.get(key):
            if text not in texts:
                texts.append(text)
            facts[key] = texts.index(text)
    return facts


def difference(fields: dict[str, Any], base: dict[str, Any]) -> dict[str, Any]:
    """What to lay over `base` to get `fields`."""
    changed = {key: value for key, value in fields.items() if base.get(key) != value}
    return {**changed, **{key: None for key in base if key not in fields}}


def packed(rows: list[dict[str, Any]]) -> list[str]:
    """The lines of the catalogue."""
    texts: list[str] = []
    lines: list[str] = []
    whole: dict[str, dict[str, Any]] = {}
    for row in rows:
        fields = fields_of(row)
        entry: dict[str, Any] = {"id": row["id"], "fields": fields}
        for name, base in whole.items():
            if base.get("architectures") != fields.get("architectures"):
                continue
            shorter = {"id": row["id"], "like": name, "fields": difference(fields, base)}
            entry = min(entry, shorter, key=lambda each: len(_json(each)))
        if len(_json(entry)) * 2 > len(_json(fields)):
            whole[row["id"]] = fields
            entry = {"id": row["id"], "fields": fields}
        lines.append(_json({**entry, "facts": facts_of(row, texts)}))
    return [_json(texts), *lines]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def main() -> None:
    """Write the catalogue."""
    configs = Path(sys.argv[1])
    table = Path(sys.argv[2]) if len(sys.argv) > 2 else TABLE
    lines = table.read_text("utf-8").splitlines()
    rows = [with_whole_lists(json.loads(line), configs) for line in lines if line.strip()]
    rows.sort(key=lambda row: row["id"].lower())
    TARGET.write_text("\n".join(packed(completed(rows))) + "\n", "utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(rows)} models, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
