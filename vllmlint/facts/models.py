"""The shipped catalogue of models: one line of a file each, parsed when it is asked for."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from vllmlint.record import record

#: Facts that the file refers to by their position in its first line.
_TEXTS = ("source", "note", "params_source", "checkpoint_source", "hf_quant_config_source")


@record
class ModelRow:
    """One model: `fields` of its config.json (per-layer lists packed), `facts` known beside the config."""

    id: str
    fields: dict[str, Any]
    facts: dict[str, Any]


@cache
def _data() -> bytes:
    return b"\n" + Path(__file__).with_name("models.jsonl").read_bytes()


@cache
def _lowered() -> bytes:
    """The same length as the data: bytes.lower() touches ASCII letters alone."""
    return _data().lower()


@cache
def _texts() -> list[str]:
    loaded: list[str] = json.loads(_data()[1 : _data().index(b"\n", 1)])
    return loaded


@cache
def model_row(model_id: str) -> ModelRow | None:
    """The row of a hub id, whatever its case; None where the catalogue has none. The row is shared:
    do not change it."""
    start = _lowered().find(b'\n{"id":"' + model_id.encode().lower() + b'",')
    if start < 0 or '"' in model_id:
        return None
    loaded = json.loads(_data()[start + 1 : _data().index(b"\n", start + 1)])
    fields = loaded["fields"]
    if like := loaded.get("like"):
        base = model_row(like)
        assert base is not None, like
        fields = {key: value for key, value in {**base.fields, **fields}.items() if value is not None}
    texts = {key: _texts()[loaded["facts"][key]] for key in _TEXTS if key in loaded["facts"]}
    return ModelRow(loaded["id"], fields, {**loaded["facts"], **texts})


@cache
def model_ids() -> tuple[str, ...]:
    """Every hub id of the catalogue, sorted without regard to case."""
    marker = b'{"id":"'
    lines = _data().split(b"\n")
    return tuple(
        line[len(marker) : line.index(b'"', len(marker))].decode()
        for line in lines
        if line.startswith(marker)
    )
