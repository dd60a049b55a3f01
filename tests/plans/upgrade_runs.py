"""Small manifests and their upgrade plans; shared by the tests of the upgrade plan."""

from __future__ import annotations

import datetime
from typing import Any

import yaml

from vllmlint.contract.settings import Contract
from vllmlint.manifest.reader import read_manifest
from vllmlint.plans.upgrade import upgrade_world
from vllmlint.serving.release import Release
from vllmlint.world import ContractView, World


def release(text: str) -> Release:
    """A release that surely parses."""
    found = Release.parse(text)
    assert found is not None
    return found


def world_of(files: dict[str, str], contract: Contract | None = None) -> World:
    """A run over files given as text."""
    rules = contract or Contract()
    sources = [read_manifest(path, text.encode()) for path, text in files.items()]
    world = World(sources, lambda path: ContractView(rules, path), datetime.date(2026, 11, 23), {})
    world.build_servers()
    return world


def plan_of(files: dict[str, str], to: str, **options: Any) -> list[dict[str, Any]]:
    """The servers of an upgrade plan."""
    contract = options.pop("contract", None)
    servers: list[dict[str, Any]] = upgrade_world(world_of(files, contract), release(to), **options)[
        "servers"
    ]
    return servers


def deployment(row: dict[str, Any]) -> str:
    """A Deployment of a row of the table: `from`, `args`, `command`, `env`, `probe`, `select`."""
    container: dict[str, Any] = {
        "name": "vllm",
        "image": row.get("image", f"vllm/vllm-openai:v{row.get('from')}"),
        "ports": [{"name": "http", "containerPort": 8000}],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
    }
    container |= {key: row[key] for key in ("command", "args") if key in row}
    if "env" in row:
        container["env"] = [{"name": name, "value": value} for name, value in row["env"].items()]
    if "probe" in row:
        container["readinessProbe"] = {"httpGet": {"path": row["probe"], "port": "http"}}
    spec: dict[str, Any] = {"containers": [container]}
    if "select" in row:
        spec["nodeSelector"] = {"nvidia.com/gpu.product": row["select"]}
    labels = {"app": "m"}
    return yaml.safe_dump(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": row.get("name", "m")},
            "spec": {
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": spec},
            },
        },
        sort_keys=False,
        width=1000,
    )


def rule(expression: str, name: str = "r") -> str:
    """A PrometheusRule with one alert."""
    groups = [{"name": "g", "rules": [{"alert": "A", "expr": expression}]}]
    return yaml.safe_dump(
        {
            "apiVersion": "monitoring.coreos.com/v1",
            "kind": "PrometheusRule",
            "metadata": {"name": name},
            "spec": {"groups": groups},
        },
        width=1000,
    )
