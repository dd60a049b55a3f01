"""Cloud machine types with accelerators."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from vllmlint.facts.hardware import hardware_table
from vllmlint.record import record


@record
class InstanceType:
    """A machine type. `gpus` are ids, several where the source does not tell which; `count` is None where the
    node pool decides it; `fraction` is the part of one GPU that fractional types have. `cpu` and
    `memory_gib` are the machine's, more than is allocatable, unless `is_allocatable` says they were read from
    a node. `resources` is what the vendor's device plugin advertises without sharing and MIG."""

    type: str
    cloud: str
    platform: str | None
    label: str
    gpus: tuple[str, ...]
    count: int | None
    fraction: float | None
    links: str | None
    arch: str
    cpu: float | None
    memory_gib: float | None
    is_allocatable: bool
    resources: Mapping[str, int]
    note: str
    source: str


@cache
def _types() -> tuple[InstanceType, ...]:
    return tuple(_instance_type(row) for row in hardware_table("instance_types")["instances"])


def _instance_type(row: dict[str, Any]) -> InstanceType:
    read = row.get("allocatable")
    cpu, memory_gib = read or (row.get("cpu"), row.get("memory_gib"))
    return InstanceType(
        type=row["type"],
        cloud=row["cloud"],
        platform=row.get("platform"),
        label=row.get("label", row["type"]),
        gpus=tuple(row.get("gpus", ())),
        count=row.get("count"),
        fraction=row.get("fraction"),
        links=row.get("links"),
        arch=row.get("arch", "amd64"),
        cpu=cpu,
        memory_gib=memory_gib,
        is_allocatable=read is not None,
        resources=row.get("resources", {}),
        note=row.get("note", ""),
        source=row["source"],
    )


@cache
def _by_label() -> dict[str, tuple[InstanceType, ...]]:
    found: dict[str, tuple[InstanceType, ...]] = {}
    for one in _types():
        for name in dict.fromkeys((one.label, one.type)):
            found[name] = (*found.get(name, ()), one)
    return found


def instance_type(name: str) -> InstanceType | None:
    """The machine type with a name, where it is known and only one goes by it."""
    found = instance_types_of_label(name)
    return found[0] if len(found) == 1 else None


def instance_types_of_label(value: str) -> tuple[InstanceType, ...]:
    """The machine types that a value of `node.kubernetes.io/instance-type` stands for: Nebius writes the
    platform there, which has several sizes."""
    return _by_label().get(value, ())


def instance_types_of(platform: str) -> tuple[InstanceType, ...]:
    """All known machine types with accelerators of a managed Kubernetes."""
    return tuple(one for one in _types() if one.platform == platform)


def platform_of_instance_type(name: str) -> str | None:
    """The managed Kubernetes whose cloud has a machine type; None where it is unknown."""
    platforms = {one.platform for one in instance_types_of_label(name)}
    return platforms.pop() if len(platforms) == 1 else None
