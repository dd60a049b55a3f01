"""One golden case for each release boundary that the vLLM notes name (tests/plans/data/boundaries.yaml)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from upgrade_runs import deployment, plan_of, rule

ROWS = yaml.safe_load(Path(__file__).with_name("data").joinpath("boundaries.yaml").read_text("utf-8"))


def _title(row: dict[str, Any]) -> str:
    words = [*row.get("args", ()), *row.get("command", ()), *row.get("env", ())]
    extra = [str(row[key]) for key in ("probe", "metric", "select") if key in row]
    return " ".join([f"{row['from']}-{row['to']}", *words, *extra])


@pytest.mark.parametrize("row", ROWS, ids=_title)
def test_boundary(row: dict[str, Any]) -> None:
    """The table's changes show, and none of the kinds it is complete for besides."""
    files = {"m.yaml": deployment(row)}
    if "metric" in row:
        files["rule.yaml"] = rule(row["metric"])
    (server,) = plan_of(files, row["to"])
    assert (server["from"], server["to"]) == (row["from"], row["to"])
    expected = [tuple(change) for change in row["changes"]]
    named = {(kind, name) for kind, name, *_ in expected}
    for kind, name, after, breaks, replacement in expected:
        found = [one for one in server["changes"] if (one["kind"], one["name"]) == (kind, name)]
        assert len(found) == 1, (name, server["changes"])
        assert after in found[0]["after"]
        assert found[0]["breaks"] is breaks
        assert found[0]["replacement"] == replacement
        assert kind == "default" or found[0]["line"]
    others = {
        (one["kind"], one["name"])
        for one in server["changes"]
        if one["kind"] != "default" and one["name"] != "entrypoint" and "dead engine" not in one["name"]
    }
    assert others <= named
    assert not {one["name"] for one in server["changes"]} & set(row.get("not", ()))
