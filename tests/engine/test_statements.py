"""Every statement of the tables beside this file: what is refused, by which rule, and what is resolved."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from engine_requests import request

from vllmlint.engine.config import EngineConfig, Refusal
from vllmlint.engine.device import device_refusal
from vllmlint.engine.layers import layer_refusal
from vllmlint.engine.resolve import resolve

HERE = Path(__file__).parent
KEYS = {"says", "release", "model", "gpu", "gpus", "with", "config", "env", "at", "refused", "resolved"}


def _cases(name: str) -> list[Any]:
    rows = yaml.safe_load((HERE / name).read_text("utf-8"))
    return [pytest.param(row, id=f"{row['release']} {row['says']}") for row in rows]


def _outcome(row: dict[str, Any]) -> tuple[EngineConfig | None, Refusal | None]:
    asked = request(
        row["release"],
        row["model"],
        row.get("gpu", "H100"),
        config=row.get("config"),
        env=row.get("env"),
        gpus_per_node=row.get("gpus", 8),
        **row.get("with", {}),
    )
    outcome = resolve(asked)
    if isinstance(outcome, Refusal):
        return None, outcome
    later = {"device": device_refusal, "model": layer_refusal}.get(row.get("at", ""))
    return outcome, None if later is None else later(outcome)


@pytest.mark.parametrize("row", _cases("refusals.yaml") + _cases("defaults.yaml"))
def test_statement(row: dict[str, Any]) -> None:
    assert set(row) <= KEYS
    config, refusal = _outcome(row)
    assert (refusal.rule if refusal else None) == row.get("refused"), refusal
    if refusal is not None:
        assert refusal.stage == row.get("at", "config")
        assert refusal.message
        return
    assert config is not None
    for name, value in row.get("resolved", {}).items():
        assert getattr(config, name) == value, name
