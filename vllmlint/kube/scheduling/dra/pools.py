"""The pools of devices that a node can reach (`scheduling.md` 7.3, step 1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.scheduling.dra.objects import Device, DeviceTaint, amount, listed, mapping, read_device
from vllmlint.kube.scheduling.labels import term_matches
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.read_terms import node_selector
from vllmlint.record import record, replace


@record
class DevicePool:
    """A pool of a driver with the devices that a node can reach, in slice order.

    An incomplete pool (some slices missing) and an invalid one (names that clash, counters that do not exist)
    give nothing; `counters` are the amounts of each counter set.
    """

    driver: str
    name: str
    devices: tuple[Device, ...] = ()
    counters: dict[tuple[str, str], Amount] | None = None
    incomplete: bool = False
    invalid: bool = False


def selected(selection: Mapping[str, Any], node: NodeState) -> bool:
    """Whether nodeName, allNodes or nodeSelector of a slice, a device or an allocation chooses a node."""
    if selection.get("nodeName"):
        return bool(selection["nodeName"] == node.name)
    if selection.get("allNodes") is True:
        return True
    selector = selection.get("nodeSelector")
    if not isinstance(selector, Mapping):
        return False
    return any(term_matches(term, node.labels, node.name) for term in node_selector(selector))


def gather_pools(
    slices: Sequence[Mapping[str, Any]], node: NodeState, taint_rules: Sequence[Mapping[str, Any]] = ()
) -> list[DevicePool]:
    """The pools whose slices reach a node, those of outdated generations left out."""
    by_pool: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in slices:
        spec = mapping(one.get("spec"))
        pool = mapping(spec.get("pool"))
        if not _reaches(spec, node):
            continue
        there = by_pool.setdefault((str(spec.get("driver")), str(pool.get("name"))), [])
        newest = _generation(there[0]) if there else None
        if newest is not None and _generation(spec) > newest:
            there.clear()
        if newest is None or _generation(spec) >= newest:
            there.append(spec)
    found = [_pool(key, specs, slices, taint_rules) for key, specs in by_pool.items()]
    return [pool for pool in found if pool is not None]


def _reaches(spec: Mapping[str, Any], node: NodeState) -> bool:
    if spec.get("sharedCounters"):
        return True
    if spec.get("perDeviceNodeSelection") is True:
        return any(selected(mapping(one.get("basic")) or one, node) for one in listed(spec.get("devices")))
    return selected(spec, node)


def _generation(spec: Mapping[str, Any]) -> int:
    value = mapping(spec.get("pool")).get("generation")
    return value if isinstance(value, int) else 0


def _pool(
    key: tuple[str, str],
    specs: list[Mapping[str, Any]],
    slices: Sequence[Mapping[str, Any]],
    taint_rules: Sequence[Mapping[str, Any]],
) -> DevicePool | None:
    driver, name = key
    generation = _generation(specs[0])
    everywhere = [
        spec
        for one in slices
        if (spec := mapping(one.get("spec"))).get("driver") == driver
        and mapping(spec.get("pool")).get("name") == name
    ]
    wanted = mapping(specs[0].get("pool")).get("resourceSliceCount")
    if len(specs) != wanted:
        if any(_generation(spec) > generation for spec in everywhere):
            return None
        if sum(_generation(spec) == generation for spec in everywhere) != wanted:
            return DevicePool(driver, name, incomplete=True)
    counters: dict[tuple[str, str], Amount] = {}
    names: set[str] = set()
    devices: list[Device] = []
    invalid = False
    for spec in specs:
        sets = list(listed(spec.get("sharedCounters")))
        invalid = invalid or any(any(key[0] == str(one.get("name")) for key in counters) for one in sets)
        for one in sets:
            for counter, value in mapping(one.get("counters")).items():
                counters[str(one.get("name")), str(counter)] = amount(value)
        if sets:
            continue
        for data in listed(spec.get("devices")):
            device = read_device(data, driver, name)
            invalid = invalid or device.id[2] in names
            names.add(device.id[2])
            devices.append(_tainted(device, spec, taint_rules))
    invalid = invalid or any(
        (one, counter) not in counters for device in devices for one, counter, _ in device.counters
    )
    return DevicePool(driver, name, tuple(devices), counters, invalid=invalid)


def _tainted(device: Device, spec: Mapping[str, Any], rules: Sequence[Mapping[str, Any]]) -> Device:
    """A device with the taints of DeviceTaintRules, and its own node selection where the slice says so."""
    node = device.node if spec.get("perDeviceNodeSelection") is True else None
    return replace(device, taints=(*device.taints, *_rule_taints(device, rules)), node=node)


def _rule_taints(device: Device, rules: Sequence[Mapping[str, Any]]) -> Iterator[DeviceTaint]:
    for rule in rules:
        spec = mapping(rule.get("spec"))
        chosen, taint = mapping(spec.get("deviceSelector")), mapping(spec.get("taint"))
        pairs = zip(("driver", "pool", "device"), device.id, strict=True)
        if all(chosen.get(part) in {None, value} for part, value in pairs):
            yield DeviceTaint(
                str(taint.get("key") or ""), str(taint.get("value") or ""), str(taint.get("effect") or "")
            )
