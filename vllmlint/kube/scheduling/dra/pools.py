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
    #: devices of its slices for other nodes: what they hold is gone from the counters too
    elsewhere: tuple[Device, ...] = ()
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
    """The pools whose slices reach a node, those of outdated generations left out, in the order in which the
    scheduler tries them: by driver and name, their slices by name."""
    by_pool: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    ordered = sorted(slices, key=lambda one: str(mapping(one.get("metadata")).get("name") or ""))
    for one in ordered:
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
    found = [_pool(key, specs, ordered, taint_rules) for key, specs in sorted(by_pool.items())]
    return [pool for pool in found if pool is not None]


def _reaches(spec: Mapping[str, Any], node: NodeState) -> bool:
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
    """A pool from its slices that reach a node; counters are also those of its other slices."""
    driver, name = key
    generation = _generation(specs[0])
    elsewhere: list[Mapping[str, Any]] = []
    wanted = mapping(specs[0].get("pool")).get("resourceSliceCount")
    if len(specs) != wanted:
        everywhere = [
            spec
            for one in slices
            if (spec := mapping(one.get("spec"))).get("driver") == driver
            and mapping(spec.get("pool")).get("name") == name
        ]
        if any(_generation(spec) > generation for spec in everywhere):
            return None
        same = [spec for spec in everywhere if _generation(spec) == generation]
        if len(same) != wanted:
            return DevicePool(driver, name, incomplete=True)
        elsewhere = [spec for spec in same if not any(spec is one for one in specs)]
    counters, clashing = _counters([*specs, *elsewhere])
    here = _devices(specs, key, taint_rules)
    names = {device.id[2] for device in here}
    others = _devices(elsewhere, key, ())
    dangling = any(
        (one, counter) not in counters for device in (*here, *others) for one, counter, _ in device.counters
    )
    invalid = clashing or dangling or len(names) < len(here)
    return DevicePool(driver, name, tuple(here), counters, tuple(others), invalid=invalid)


def _counters(specs: Sequence[Mapping[str, Any]]) -> tuple[dict[tuple[str, str], Amount], bool]:
    """The amounts of all counter sets, and whether two sets have one name."""
    counters: dict[tuple[str, str], Amount] = {}
    names: list[str] = []
    for spec in specs:
        for one in listed(spec.get("sharedCounters")):
            names.append(str(one.get("name")))
            for counter, value in mapping(one.get("counters")).items():
                counters[names[-1], str(counter)] = amount(value)
    return counters, len(set(names)) < len(names)


def _devices(
    specs: Sequence[Mapping[str, Any]], key: tuple[str, str], rules: Sequence[Mapping[str, Any]]
) -> list[Device]:
    """The devices of slices in their order; a slice with counters has none."""
    return [
        _tainted(read_device(data, *key), spec, rules)
        for spec in specs
        if not spec.get("sharedCounters")
        for data in listed(spec.get("devices"))
    ]


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
