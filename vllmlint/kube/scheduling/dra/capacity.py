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
    if not request.capacity.keys() <= device.capacity.keys():
        return None
    taken: dict[str, Amount] = {}
    for name, capacity in device.capacity.items():
        share = _share(request.capacity.get(name), capacity)
        if share > amount(capacity) or _violates(share, mapping(capacity.get("requestPolicy"))):
            return None
        taken[name] = share
    return taken if device.shareable else {}


def _share(asked: Amount | None, capacity: Mapping[str, Any]) -> Amount:
    """What a request takes of a capacity, rounded up as its policy says."""
    policy = mapping(capacity.get("requestPolicy"))
    if asked is None:
        return amount(policy["default"]) if policy.get("default") is not None else amount(capacity)
    limits, values = mapping(policy.get("validRange")), policy.get("validValues")
    if limits.get("min") is not None:
        least, step = amount(limits["min"]), limits.get("step")
        if asked < least:
            return least
        return asked if step is None else least + ceil((asked - least) / amount(step)) * amount(step)
    if isinstance(values, list):
        return next((one for one in map(amount, values) if one >= asked), asked)
    return asked


def _violates(share: Amount, policy: Mapping[str, Any]) -> bool:
    """Whether a policy refuses a share; its own default is never refused."""
    if policy.get("default") is not None and share == amount(policy["default"]):
        return False
    limits, values = mapping(policy.get("validRange")), policy.get("validValues")
    if limits:
        if limits.get("max") is not None and share > amount(limits["max"]):
            return True
        step = amount(limits.get("step"))
        return bool(step) and (share - amount(limits.get("min"))) % step != 0
    return isinstance(values, list) and bool(values) and share not in [amount(one) for one in values]
