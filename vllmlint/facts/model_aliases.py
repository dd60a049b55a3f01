"""Other hub ids under which a model of the catalogue is published."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

from vllmlint.record import record


@record
class ModelAlias:
    """`model` is the catalogue's id of what another repository holds: the `same` checkpoint under a `renamed`
    organisation, a `copy`, or its weights in bitsandbytes' 4 bit (`nf4`)."""

    model: str
    kind: Literal["renamed", "copy", "nf4"]
    source: str


@cache
def _file() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(Path(__file__).with_name("model_aliases.json").read_text("utf-8"))
    return loaded


@cache
def _unsloth() -> dict[str, ModelAlias]:
    table = _file()["unsloth"]
    rows = [(name, model, "copy") for name, model in table["same"].items()]
    rows += [(name, model, "nf4") for name, model in table["nf4"].items()]
    return {name.lower(): ModelAlias(model, kind, table["source"]) for name, model, kind in rows}  # type: ignore[arg-type]


def model_aliases(model_id: str) -> tuple[ModelAlias, ...]:
    """What a repository may hold by name, best first; the catalogue says whether it has that model."""
    listed = _unsloth().get(model_id.lower())
    if listed is not None:
        return (listed,)
    organisation, _, name = model_id.partition("/")
    return tuple(
        ModelAlias(f"{target}/{name}", row["kind"], row["source"])
        for row in _file()["organisations"]
        if name and row["from"].lower() == organisation.lower()
        for target in row["to"]
    )
