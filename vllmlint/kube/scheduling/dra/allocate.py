"""The search for devices that satisfy claims on one node (`scheduling.md` 7.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.scheduling.dra.capacity import consumption
from vllmlint.kube.scheduling.dra.cel import matches
from vllmlint.kube.scheduling.dra.objects import (
    Attribute,
    Claim,
    Constraint,
    Device,
    DeviceId,
    DeviceTaint,
    DraError,
    Request,
    amount,
    expressions,
    mapping,
)
from vllmlint.kube.scheduling.dra.pools import DevicePool, selected
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.record import record

#: Devices that one claim may hold (resource/v1 AllocationResultsMaxSize).
MAX_DEVICES = 32
#: Steps after which the search gives up; the scheduler itself stops after ten seconds
#: (DRASchedulerFilterTimeout).
_MAX_STEPS = 20_000


class TooHardError(Exception):
    """The search did not end within its steps."""


@record
class InUse:
    """What allocated claims hold: devices, and shares of the capacity of those that are shared."""

    devices: frozenset[DeviceId]
    shares: Mapping[tuple[DeviceId, str], Amount]


class _FullError(Exception):
    """A claim would hold more devices than it may: another alternative may still do."""


class Search:
    """One attempt to allocate claims on a node; what is found is thrown away, only whether counts.

    Raises DraError where the scheduler aborts the attempt, CelUnknownError where a selector cannot be judged.
    """

    def __init__(
        self,
        node: NodeState,
        pools: Sequence[DevicePool],
        classes: Mapping[str, Mapping[str, Any]],
        claims: Sequence[Claim],
        in_use: InUse,
        *,
        taints: bool = True,
    ) -> None:
        self.node, self.pools, self.classes, self.claims = node, pools, classes, claims
        self.in_use, self._taints = in_use, taints
        self._usable = [
            device for pool in pools if not (pool.incomplete or pool.invalid) for device in pool.devices
        ]
        self._steps = 0
        self._selectable: dict[tuple[DeviceId, int, int, int], bool] = {}
        self._taken: dict[DeviceId, set[int]] = {}
        self._shares: dict[tuple[DeviceId, str], Amount] = {}
        self._shared: dict[DeviceId, int] = {}
        self._held = [0 for _ in claims]
        self._groups: list[list[list[Attribute | None]]] = [[[] for _ in one.constraints] for one in claims]
        self._counters = _free_counters(pools, in_use)
        self._all: dict[tuple[int, int, int], list[Device]] = {}

    def succeeds(self) -> bool:
        """Whether all claims can be allocated."""
        for index, claim in enumerate(self.claims):
            least = 0
            for number, request in enumerate(claim.requests):
                options = request.alternatives or (request,)
                counts = [self._prepare(index, number, sub, one) for sub, one in enumerate(options)]
                least += min(counts)
                if least > MAX_DEVICES:
                    raise DraError(f"claim {claim.name}: more than {MAX_DEVICES} devices")
        try:
            return self._claim(0)
        except _FullError:
            return False

    @property
    def met_invalid_pool(self) -> bool:
        """Whether a pool that reaches the node is broken: then a failure is put down to it."""
        return any(pool.invalid for pool in self.pools)

    def _prepare(self, claim: int, number: int, sub: int, request: Request) -> int:
        """How many devices a request takes; those of mode All are found here."""
        if request.device_class not in self.classes:
            raise DraError(f"could not retrieve device class {request.device_class}")
        if request.count is not None:
            return request.count
        found = []
        for pool in self.pools:
            if pool.incomplete or pool.invalid:
                state = "being updated" if pool.incomplete else "invalid"
                raise DraError(
                    f"asks for all devices, but resource pool {pool.driver}/{pool.name} is currently {state}"
                )
            found += [
                device
                for device in pool.devices
                # a device that is too small is none of them; one whose room is taken still is
                if self._fits(claim, number, sub, request, device)
                and consumption(device, request) is not None
            ]
        self._all[claim, number, sub] = found
        return len(found)

    def _fits(self, claim: int, number: int, sub: int, request: Request, device: Device) -> bool:
        """Whether a device meets the selectors of class and request, and is the node's."""
        key = (device.id, claim, number, sub)
        if key not in self._selectable:
            selectors = (
                *expressions(mapping(self.classes[request.device_class].get("spec"))),
                *request.selectors,
            )
            self._selectable[key] = all(matches(one, device) for one in selectors) and (
                device.node is None or selected(device.node, self.node)
            )
        return self._selectable[key]

    def _claim(self, claim: int) -> bool:
        return claim >= len(self.claims) or self._request(claim, 0)

    def _request(self, claim: int, number: int) -> bool:
        requests = self.claims[claim].requests
        if number >= len(requests):
            try:
                return self._claim(claim + 1)
            except _FullError:
                return False
        request = requests[number]
        if not request.alternatives:
            return self._devices(_Option(claim, number, 0, request, ""), 0, 0)
        full = True
        for sub, option in enumerate(request.alternatives):
            try:
                if self._devices(_Option(claim, number, sub, option, request.name), 0, 0):
                    return True
                full = False
            except _FullError:
                continue
        if full:
            raise _FullError
        return False

    def _devices(self, option: _Option, got: int, start: int) -> bool:
        """Give a request its remaining devices, then go on with the next request.

        Devices are tried in order from `start`: a request takes none twice, not even a shared one.
        """
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise TooHardError
        claim, request = option.claim, option.request
        everything = self._all.get((claim, option.number, option.sub)) if request.count is None else None
        wanted = len(everything) if everything is not None else request.count or 0
        if everything is not None and not everything:
            return False
        if got >= wanted:
            return self._request(claim, option.number + 1)
        if wanted - got > MAX_DEVICES - self._held[claim]:
            raise _FullError
        if everything is not None:
            return self._try(option, everything[got], got, got + 1, must=True)
        for index in range(start, len(self._usable)):
            device = self._usable[index]
            if self._busy(device, request, claim):
                continue
            if self._fits(claim, option.number, option.sub, request, device) and self._try(
                option, device, got, index + 1
            ):
                return True
        return False

    def _try(self, option: _Option, device: Device, got: int, start: int, *, must: bool = False) -> bool:
        """Take a device and go on; it is given back whatever comes of it."""
        undo = self._take(option.claim, option.request, option.parent, device, must=must)
        if undo is None:
            return False
        try:
            return self._devices(option, got + 1, start)
        finally:
            self._give_back(option.claim, undo)

    def _busy(self, device: Device, request: Request, claim: int) -> bool:
        if request.admin:
            return claim in self._taken.get(device.id, ())
        return device.id in self.in_use.devices or bool(self._taken.get(device.id))

    def _take(
        self, claim: int, request: Request, parent: str, device: Device, *, must: bool = False
    ) -> _Undo | None:
        """Mark a device as taken; None where it cannot be."""
        if self._busy(device, request, claim):
            return None
        needs: dict[tuple[str, str, str, str], Amount] = {}
        # a device that is shared already has been counted
        if not (device.shareable and self._in_shares(device.id)):
            needs = {
                (device.id[0], device.id[1], one, counter): size for one, counter, size in device.counters
            }
        if any(self._counters.get(key, 0) < size for key, size in needs.items()):
            return None
        shares = consumption(device, request)
        if shares is None or not self._room(device, shares):
            return None
        if self._taints and any(_repels(taint, request.tolerations) for taint in device.taints):
            return None
        added: list[int] = []
        for index, constraint in enumerate(self.claims[claim].constraints):
            if not _concerns(constraint, request.name, parent):
                continue
            group = self._groups[claim][index]
            if not _agrees(constraint, device.attribute(constraint.attribute), group):
                for one in added:
                    self._groups[claim][one].pop()
                if must:
                    raise DraError(
                        f"cannot add device {device.id[2]} because a claim constraint would not be satisfied"
                    )
                return None
            group.append(device.attribute(constraint.attribute))
            added.append(index)
        for counter_key, size in needs.items():
            self._counters[counter_key] -= size
        for name, share in shares.items():
            self._shares[device.id, name] = self._shares.get((device.id, name), 0) + share
        if not device.shareable:
            self._taken.setdefault(device.id, set()).add(claim)
        self._shared[device.id] = self._shared.get(device.id, 0) + device.shareable
        self._held[claim] += 1
        return _Undo(device, needs, shares, tuple(added))

    def _in_shares(self, device: DeviceId) -> bool:
        return bool(self._shared.get(device)) or any(key[0] == device for key in self.in_use.shares)

    def _room(self, device: Device, shares: Mapping[str, Amount]) -> bool:
        """Whether a shared device has that much capacity left."""
        for name, share in shares.items():
            key = (device.id, name)
            held = self.in_use.shares.get(key, 0) + self._shares.get(key, 0)
            if held + share > amount(device.capacity.get(name)):
                return False
        return True

    def _give_back(self, claim: int, undo: _Undo) -> None:
        for key, size in undo.counters.items():
            self._counters[key] += size
        for name, share in undo.shares.items():
            self._shares[undo.device.id, name] -= share
        for index in undo.constraints:
            self._groups[claim][index].pop()
        if undo.device.shareable:
            self._shared[undo.device.id] -= 1
        else:
            self._taken[undo.device.id].discard(claim)
        self._held[claim] -= 1


@record
class _Option:
    """A request, or one of its alternatives (`parent` names the request then)."""

    claim: int
    number: int
    sub: int
    request: Request
    parent: str


@record
class _Undo:
    device: Device
    counters: dict[tuple[str, str, str, str], Amount]
    shares: Mapping[str, Amount]
    constraints: tuple[int, ...]


def _free_counters(pools: Sequence[DevicePool], in_use: InUse) -> dict[tuple[str, str, str, str], Amount]:
    """What is left of each pool's counters."""
    free: dict[tuple[str, str, str, str], Amount] = {}
    held = in_use.devices | {device for device, _ in in_use.shares}
    for pool in pools:
        for (one, counter), size in (pool.counters or {}).items():
            free[pool.driver, pool.name, one, counter] = size
        for device in (*pool.devices, *pool.elsewhere):
            if device.id in held:
                for one, counter, size in device.counters:
                    key = (pool.driver, pool.name, one, counter)
                    free[key] = free.get(key, 0) - size
    return free


def _repels(taint: DeviceTaint, tolerations: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a device's taint keeps a request away."""
    if taint.effect not in {"NoSchedule", "NoExecute"}:
        return False
    return not any(
        (not one.get("effect") or one["effect"] == taint.effect)
        and (not one.get("key") or one["key"] == taint.key)
        and ((one.get("operator") or "Equal") == "Exists" or (one.get("value") or "") == taint.value)
        for one in tolerations
    )


def _concerns(constraint: Constraint, name: str, parent: str) -> bool:
    """Whether a constraint is about a request, or about an alternative (`parent/name`) or its parent."""
    named = {parent, f"{parent}/{name}"} if parent else {name}
    return not constraint.requests or bool(named & constraint.requests)


def _agrees(constraint: Constraint, value: Attribute | None, group: Sequence[Attribute | None]) -> bool:
    """Whether one more device keeps a constraint; one without the attribute never does."""
    if value is None:
        return False
    if constraint.distinct:
        return value not in group
    return not group or group[0] == value
