"""Devices, requests and claims as records, from plain data of resource.k8s.io (v1, and v1beta1's nesting)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any, Literal

from vllmlint.kube.node import Amount
from vllmlint.kube.quantity import exact_quantity
from vllmlint.record import record

#: Driver, pool and device name.
DeviceId = tuple[str, str, str]
#: A device attribute with its type: a version is a text that compares otherwise.
Attribute = tuple[Literal["string", "int", "bool", "version"], str | int | bool]


class DraError(Exception):
    """What aborts a scheduling attempt: a broken expression, a class that is missing, too many devices."""


@record
class DeviceTaint:
    """A taint of a device."""

    key: str
    value: str
    effect: str


@record
class Device:
    """A device of a slice; names of attributes and capacities as the slice writes them.

    `counters` are what it consumes: (counter set, counter, amount). `node` is its own node selection where
    the slice leaves that to its devices.
    """

    id: DeviceId
    attributes: dict[str, Attribute] = field(default_factory=dict)
    capacity: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    taints: tuple[DeviceTaint, ...] = ()
    counters: tuple[tuple[str, str, Amount], ...] = ()
    shareable: bool = False
    node: Mapping[str, Any] | None = None

    @property
    def driver(self) -> str:
        """The driver that publishes it."""
        return self.id[0]

    def attribute(self, name: str) -> Attribute | None:
        """An attribute by its full name; names without a domain are the driver's own."""
        found = self.attributes.get(name)
        if found is None and name.startswith(f"{self.driver}/"):
            found = self.attributes.get(name.removeprefix(f"{self.driver}/"))
        return found


@record
class Request:
    """A request of a claim, or one of its `firstAvailable` alternatives; without a `count`: all devices."""

    name: str
    device_class: str
    selectors: tuple[str, ...] = ()
    count: int | None = 1
    admin: bool = False
    tolerations: tuple[Mapping[str, Any], ...] = ()
    capacity: dict[str, Amount] = field(default_factory=dict)
    alternatives: tuple[Request, ...] = ()


@record
class Constraint:
    """What the devices of some requests (none named: all) must have in common, or apart."""

    attribute: str
    requests: frozenset[str]
    distinct: bool = False


@record
class Claim:
    """A claim: what it asks for, and where it is allocated already (`allocation`)."""

    name: str
    requests: tuple[Request, ...]
    constraints: tuple[Constraint, ...] = ()
    allocation: Mapping[str, Any] | None = None


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping, or an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> Iterator[Mapping[str, Any]]:
    """The mappings of a list."""
    for one in value if isinstance(value, list | tuple) else ():
        if isinstance(one, Mapping):
            yield one


def amount(value: Any) -> Amount:
    """A quantity, as it is or under `value`; 0 for anything else."""
    text = value.get("value") if isinstance(value, Mapping) else value
    return exact_quantity(str(text)) or 0


def read_device(data: Mapping[str, Any], driver: str, pool: str) -> Device:
    """A device of a resource slice."""
    body = mapping(data.get("basic")) or data
    return Device(
        (driver, pool, str(data.get("name") or "")),
        {str(name): one for name, raw in mapping(body.get("attributes")).items() if (one := _attribute(raw))},
        {
            str(name): one if isinstance(one, Mapping) else {"value": one}
            for name, one in mapping(body.get("capacity")).items()
        },
        tuple(
            DeviceTaint(str(one.get("key") or ""), str(one.get("value") or ""), str(one.get("effect") or ""))
            for one in listed(body.get("taints"))
        ),
        tuple(
            (str(one.get("counterSet") or ""), str(name), amount(value))
            for one in listed(body.get("consumesCounters"))
            for name, value in mapping(one.get("counters")).items()
        ),
        body.get("allowMultipleAllocations") is True,
        body,
    )


def _attribute(raw: Any) -> Attribute | None:
    for kind in ("string", "int", "bool", "version"):
        value = mapping(raw).get(kind)
        if value is not None:
            return kind, value
    return None


def read_claim(data: Mapping[str, Any], name: str = "") -> Claim:
    """A ResourceClaim, or the claim that a template makes (its `spec`)."""
    spec = mapping(data.get("spec"))
    spec = mapping(spec.get("spec")) or spec
    devices = mapping(spec.get("devices"))
    return Claim(
        name or str(mapping(data.get("metadata")).get("name") or ""),
        tuple(_request(one) for one in listed(devices.get("requests"))),
        tuple(_constraints(devices)),
        mapping(data.get("status")).get("allocation"),
    )


def _request(data: Mapping[str, Any]) -> Request:
    name = str(data.get("name") or "")
    alternatives = tuple(
        _exact(one, str(one.get("name") or "")) for one in listed(data.get("firstAvailable"))
    )
    if alternatives:
        return Request(name, "", alternatives=alternatives)
    return _exact(mapping(data.get("exactly")) or data, name)


def _exact(data: Mapping[str, Any], name: str) -> Request:
    count = data.get("count")
    return Request(
        name,
        str(data.get("deviceClassName") or ""),
        expressions(data),
        None if data.get("allocationMode") == "All" else count if isinstance(count, int) else 1,
        data.get("adminAccess") is True,
        tuple(listed(data.get("tolerations"))),
        {
            str(key): amount(value)
            for key, value in mapping(mapping(data.get("capacity")).get("requests")).items()
        },
    )


def expressions(data: Mapping[str, Any]) -> tuple[str, ...]:
    """The CEL selectors of a request or class."""
    return tuple(
        str(mapping(one.get("cel")).get("expression") or "") for one in listed(data.get("selectors"))
    )


def _constraints(devices: Mapping[str, Any]) -> Iterator[Constraint]:
    for one in listed(devices.get("constraints")):
        names = one.get("requests")
        requests = frozenset(str(each) for each in names) if isinstance(names, list) else frozenset()
        for field_name, distinct in (("matchAttribute", False), ("distinctAttribute", True)):
            if one.get(field_name):
                yield Constraint(str(one[field_name]), requests, distinct)
