#!/usr/bin/env python
"""Build vllmlint/facts/models.jsonl, the shipped catalogue of models, from the research table.

Usage: python scripts/build_model_catalogue.py [TABLE]   (default: ../shared/data/models/catalog.jsonl)

The first line of the result is a JSON list of texts (sources and notes, referred to by position), each
other line one model: `id`, `like` (an earlier row of the same architecture whose fields this one takes
over), `fields` (config.json names; null drops a field of `like`) and `facts` (what is known beside the
config). Patterns stay packed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
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
    return rows


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
    table = Path(sys.argv[1]) if len(sys.argv) > 1 else TABLE
    rows = [json.loads(line) for line in table.read_text("utf-8").splitlines() if line.strip()]
    rows.sort(key=lambda row: row["id"].lower())
    TARGET.write_text("\n".join(packed(completed(rows))) + "\n", "utf-8")
    print(f"{TARGET.relative_to(ROOT)}: {len(rows)} models, {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
