"""The hardware tables hold together, and how their builder makes a row."""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vllmlint.facts.hardware import hardware_table

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
GPUS: list[dict[str, Any]] = hardware_table("gpus")["gpus"]
GEOMETRIES: list[dict[str, Any]] = hardware_table("gpus")["mig_geometries"]
INSTANCES: list[dict[str, Any]] = hardware_table("instance_types")["instances"]


def capability(row: dict[str, Any]) -> tuple[int, int]:
    """The compute capability of a row that has one."""
    major, minor = row["compute_capability"].split(".")
    return int(major), int(minor)


@pytest.mark.parametrize("name", ["gpus", "node_labels", "instance_types", "node_taints"])
def test_every_table_says_when_and_what_it_is(name: str) -> None:
    table = hardware_table(name)
    assert table["date"] >= "2026-11-23"
    assert table["about"]
    for rows in (value for value in table.values() if isinstance(value, list)):
        assert all(row["source"] for row in rows)


def test_nothing_is_there_twice() -> None:
    ids = Counter(row["id"] for row in GPUS)
    products = Counter(product for row in GPUS for product in row.get("products", ()))
    types = Counter(row["type"] for row in INSTANCES)
    keys = Counter(row["key"] for row in hardware_table("node_labels")["labels"])
    for counted in (ids, products, types, keys):
        assert max(counted.values()) == 1, counted.most_common(1)
    assert len(ids) == 82
    assert len(GEOMETRIES) == 14


def test_formats_follow_the_architecture() -> None:
    """bf16 from 8.0, fp8 from 8.9, fp4 from 10.0 (gpus.json of the research, `support_rules`)."""
    for row in (row for row in GPUS if row["vendor"] == "nvidia"):
        known = capability(row)
        expected = {"bf16": known >= (8, 0), "fp8": known >= (8, 9), "fp4": known >= (10, 0)}
        assert row["formats"] == expected, row["id"]


def test_families_follow_the_rule_of_feature_discovery() -> None:
    """NVIDIA/k8s-device-plugin internal/lm, getArchFamily."""
    families = {5: "maxwell", 6: "pascal", 9: "hopper", 10: "blackwell", 12: "blackwell", 13: "rubin"}
    for row in (row for row in GPUS if row["vendor"] == "nvidia"):
        major, minor = capability(row)
        expected = families.get(major, "undefined")
        if major == 7:
            expected = "volta" if minor < 5 else "turing"
        elif major == 8:
            expected = "ampere" if minor < 9 else "ada-lovelace"
        if major != 5:  # older than the rule
            assert row["architecture"] == expected, row["id"]


def test_every_card_names_a_geometry_that_exists_and_fits_it() -> None:
    known = {row["id"]: row for row in GEOMETRIES}
    used = {row["mig"] for row in GPUS if "mig" in row}
    assert used == known.keys()
    for geometry in known.values():
        for profile in geometry["profiles"]:
            assert profile["compute_slices"] * profile["max_instances"] <= geometry["slices"], profile
            assert profile["profile"].startswith(f"{profile['compute_slices']}g.")


def test_memory_names_its_certainty() -> None:
    by_id = {row["id"]: row for row in GPUS}
    for row in GPUS:
        assert ("memory_gib" in row) == ("memory" in row)
        if "memory_like" in row:
            assert by_id[row["memory_like"]]["memory_gib"] == row["memory_gib"]
        if row.get("memory") == "derived" and "driver_memory_mib" not in row:
            assert "memory_like" in row or row.get("unified"), row["id"]
        if "memory_gib" in row and "box_memory_gb" in row and "memory_like" not in row:
            # what is on the box is in GB, or in GiB, and is never much less than what software sees
            assert 0.85 < row["memory_gib"] / row["box_memory_gb"] < 1.01, row["id"]


def test_machine_types_count_what_they_advertise() -> None:
    for row in INSTANCES:
        counts = [n for name, n in row.get("resources", {}).items() if "neuroncore" not in name]
        if "count" in row and "fraction" not in row and counts:
            assert row["count"] in counts, row["type"]
        if row.get("links") == "single":
            assert row.get("count", 1) == 1, row["type"]


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script that builds the tables."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    made = importlib.import_module("build_hardware_tables")
    yield made
    for name in ("build_hardware_tables", "node_tables"):
        sys.modules.pop(name, None)


def card(name: str, **settings: Any) -> dict[str, Any]:
    """A row of the research."""
    empty = dict.fromkeys(
        [
            *("driver_memory_mib", "driver_memory_source", "torch_total_gib", "torch_total_source"),
            *("memory_bandwidth_gb_s", "memory_bandwidth_source", "marketing_memory_gb", "form_factor"),
            *("compute_capability", "gfx_arch", "gfd_family", "interconnect", "note", "mig_geometry"),
        ]
    )
    support = {"bf16": True, "fp8_native": None, "fp4_native": False}
    rest = {"aliases": [], "gfd_product": [], "unified_memory": False, "support": support, "source": ["s"]}
    return {"id": name, "name": name, "vendor": "nvidia", **empty, **rest, **settings}


def test_the_builder_derives_memory_from_the_drivers_figure(builder: Any) -> None:
    rows = [
        card("a", driver_memory_mib=10240, torch_total_gib=9.5),
        card("b", driver_memory_mib=20480, torch_total_gib=19.6),
        card("c", driver_memory_mib=40960, torch_total_gib=39.4),
        card("d", driver_memory_mib=51200),
        card("e", driver_memory_mib=51200, vendor="amd"),
        card("f"),
    ]
    table = builder.gpu_table({"date": "2026-01-01", "gpus": rows, "mig_geometries": []})
    assert table["driver_reserve_gib"] == 0.5  # the median of 0.5, 0.4 and 0.6
    found = {row["id"]: (row.get("memory_gib"), row.get("memory")) for row in table["gpus"]}
    assert found["a"] == (9.5, "measured")
    assert found["d"] == (49.5, "derived")
    assert found["e"] == (50.0, "derived")
    assert found["f"] == (None, None)
    assert table["gpus"][0]["formats"] == {"bf16": True, "fp4": False}


def test_the_builder_shortens_sources(builder: Any) -> None:
    texts = ["public GitHub file (public file 12)", None, "a; b", "b", "public GitHub file (public file 12)"]
    assert builder.short_source(texts) == "public file 12; a; b"
