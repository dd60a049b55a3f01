"""Models that ship with vllmlint, by their hub ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from vllmlint.facts.models import model_ids, model_row
from vllmlint.models.architecture import ModelArchitecture


def catalogue_ids() -> tuple[str, ...]:
    """Every hub id of the catalogue, as the hub spells it, sorted without regard to case."""
    return model_ids()


def find_architecture(model_id: str) -> ModelArchitecture | None:
    """The architecture of a hub id (case does not matter); None where the catalogue has none.

    Exact ids alone: `vllmlint.models.lookup` knows prefixes, mirrors and the contract's names.
    """
    return _architecture(model_id.lower())


@cache
def _architecture(model_id: str) -> ModelArchitecture | None:
    row = model_row(model_id)
    if row is None:
        return None
    from vllmlint.models.layer_types import with_layer_lists

    beside = {key: value for key, value in row.facts.items() if key not in ("source", "confidence")}
    return ModelArchitecture(
        row.id,
        with_layer_lists(unpacked(row.fields)),
        source=row.facts["source"],
        confidence=row.facts["confidence"],
        published=beside,
    )


def unpacked(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with their lists written out: those by layer (`layer_types_pattern` becomes `layer_types`) and
    those of modules in quantisation blocks."""
    plain: dict[str, Any] = {}
    for name, value in fields.items():
        if name == "block_configs_rle":
            plain["block_configs"] = [_block_config(*block) for block in _run_lengths(value)]
        elif name in ("quantization_config", "hf_quant_config"):
            from vllmlint.models.packed_names import unpacked_names

            plain[name] = unpacked_names(value)
        elif name.endswith("_pattern") and isinstance(value, Mapping):
            plain[name.removesuffix("_pattern")] = _per_layer(value)
        else:
            plain[name] = value
    return plain


def _per_layer(packed: Mapping[str, Any]) -> list[Any]:
    """`{"period": [...], "length": n}` or `{"rle": [[value, count], ...]}` as a plain list."""
    if "rle" in packed:
        return _run_lengths(packed["rle"])
    period, length = packed["period"], packed["length"]
    return [period[at % len(period)] for at in range(length)]


def _run_lengths(runs: Sequence[Sequence[Any]]) -> list[Any]:
    return [value for value, count in runs for _ in range(count)]


def _block_config(heads_in_group: int | None, ffn_mult: float | None) -> dict[str, Any]:
    """One entry of `block_configs` of a Nemotron NAS config, in the shape its config.json has."""
    return {
        "attention": {"n_heads_in_group": heads_in_group, "no_op": heads_in_group is None},
        "ffn": {"ffn_mult": ffn_mult, "no_op": ffn_mult is None},
    }
