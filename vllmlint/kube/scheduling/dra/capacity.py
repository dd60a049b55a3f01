"""Capacity that a request consumes of a device (DRAConsumableCapacity)."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.scheduling.dra.objects import Device, Request, amount, mapping


def consumption(device: Device, request: Request) -> dict[str, Amount] | None:
    """What a request takes of each capacity of a device; None where the device cannot serve it.

    A device of its own serves any request that it is large enough for and is not shared out: nothing is
    consumed. Of a device that allows several allocations, a request takes what it asks for, rounded as the
    capacity's policy says, else the policy's default, else all of it.
    """
    if any(_capacity(device, name) is None for name in request.capacity):
        return None
    taken: dict[str, Amount] = {}
    for name, capacity in device.capacity.items():
        asked = next((one for key, one in request.capacity.items() if _same(device, key, name)), None)
        share = _share(asked, capacity)
        if share is None or share > amount(capacity):
            return None
        taken[name] = share
    return taken if device.shareable else {}


def _same(device: Device, key: str, name: str) -> bool:
    """Whether two names mean one capacity: names without a domain are the driver's."""
    return key == name or key == f"{device.driver}/{name}" or name == f"{device.driver}/{key}"


def _capacity(device: Device, name: str) -> Mapping[str, Any] | None:
    return next((one for key, one in device.capacity.items() if _same(device, name, key)), None)


def _share(asked: Amount | None, capacity: Mapping[str, Any]) -> Amount | None:
    policy = mapping(capacity.get("requestPolicy"))
    if not policy:
        return amount(capacity) if asked is None else asked
    wanted = amount(policy.get("default")) if asked is None else asked
    values = policy.get("validValues")
    if isinstance(values, list) and values:
        fitting = [one for one in map(amount, values) if one >= wanted]
        return min(fitting) if fitting else None
    limits = mapping(policy.get("validRange"))
    if limits:
        least = amount(limits.get("min"))
        wanted = max(wanted, least)
        step = amount(limits.get("step")) if limits.get("step") is not None else 0
        if step:
            wanted = least + ceil((wanted - least) / step) * step
        if limits.get("max") is not None and wanted > amount(limits["max"]):
            return None
    return wanted
