"""A pod's resource claims against a node's devices (the scheduler's DynamicResources)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.scheduling.amounts import is_extended
from vllmlint.kube.scheduling.cluster import Cluster, Devices
from vllmlint.kube.scheduling.dra.allocate import InUse, Search, TooHardError
from vllmlint.kube.scheduling.dra.cel import CelUnknownError
from vllmlint.kube.scheduling.dra.objects import (
    Claim,
    DeviceId,
    DraError,
    Request,
    amount,
    listed,
    mapping,
    read_claim,
)
from vllmlint.kube.scheduling.dra.pools import DevicePool, gather_pools, selected
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.records import Answer, Pod, PodClaim, Reason, Route

_PLUGIN = "DynamicResources"
#: A class serves this name without stating one (resource/v1 ResourceDeviceClassPrefix).
_IMPLICIT = "deviceclass.resource.kubernetes.io/"
_POD_CLAIM = "resource.kubernetes.io/pod-claim-name"
#: Pods that one claim may be reserved for (resource/v1 ResourceClaimReservedForMaxSize).
_MAX_RESERVED = 256


class ClaimState:
    """What a pod's claims need; `errors` abort its scheduling on every node."""

    def __init__(self, pod: Pod, cluster: Cluster) -> None:
        self.pod = pod
        self.cluster = cluster
        self.devices: Devices = cluster.devices
        self._known = self.devices.slices is not None and self.devices.classes is not None
        self._allocated: list[tuple[PodClaim, Claim]] = []
        self._to_allocate: list[Claim] = []
        self._route: Route = ("spec", "resourceClaims") if pod.claims else ()
        self.everywhere: list[Reason] = []
        self._in_use = _in_use(self.devices)
        self._pools: dict[int, list[DevicePool]] = {}
        for one in pod.claims:
            self._read(one)

    def _read(self, one: PodClaim) -> None:
        data = self._find(one)
        if data is None:
            answer: Answer = "no" if self._known else "unknown"
            what = f'could not find ResourceClaim "{self.pod.namespace}/{one.claim}"'
            if one.template:
                what = f"waiting for the resource claim of template {one.template}, which does not exist"
            if not self._known:
                what = f"claim {one.claim or one.template} is not among the objects that are known"
            self.everywhere.append(Reason(_PLUGIN, "dra-missing", answer, one.name, one.route, "", what))
            return
        if mapping(data.get("metadata")).get("deletionTimestamp") is not None:
            what = f'resourceclaim "{one.claim}" is being deleted'
            self.everywhere.append(Reason(_PLUGIN, "dra-missing", "no", one.name, one.route, "", what))
        claim = read_claim(data, one.claim or f"{self.pod.name}-{one.name}")
        if claim.allocation is not None:
            reserved = mapping(data.get("status")).get("reservedFor") or []
            mine = any(holder.get("name") == self.pod.name for holder in listed(reserved))
            if len(reserved) >= _MAX_RESERVED and not mine:
                what = "the claim is reserved for as many pods as it may be"
                self.everywhere.append(Reason(_PLUGIN, "dra-in-use", "no", one.name, one.route, "", what))
            self._allocated.append((one, claim))
        else:
            self._to_allocate.append(claim)

    def _find(self, one: PodClaim) -> Mapping[str, Any] | None:
        """The claim of a pod's entry: by name, as made from a template for this pod, else the template."""
        space = self.pod.namespace
        if one.claim:
            return self.devices.claims.get((space, one.claim))
        statuses = mapping(self.pod.source.get("status")).get("resourceClaimStatuses")
        for status in listed(statuses):
            if status.get("name") == one.name and status.get("resourceClaimName"):
                return self.devices.claims.get((space, str(status["resourceClaimName"])))
        for (namespace, _), data in self.devices.claims.items():
            metadata = mapping(data.get("metadata"))
            owners = [owner.get("name") for owner in listed(metadata.get("ownerReferences"))]
            made_for = mapping(metadata.get("annotations")).get(_POD_CLAIM)
            if namespace == space and made_for == one.name and self.pod.name in owners:
                return data
        return self.devices.templates.get((space, one.template))

    def serves(self, resource: str, node: NodeState) -> bool:
        """Whether a device class stands for a resource name on a node that does not advertise it (7.6)."""
        if not self.cluster.gate("DRAExtendedResource") or node.allocatable.get(resource, 0) > 0:
            return False
        return self.class_of(resource) is not None

    def class_of(self, resource: str) -> str | None:
        """The device class behind an extended resource name: the newest one, then the lowest name."""
        classes = self.devices.classes or {}
        if not is_extended(resource) and not resource.startswith(_IMPLICIT):
            return None
        named = [
            (str(mapping(one.get("metadata")).get("creationTimestamp") or ""), name)
            for name, one in classes.items()
            if mapping(one.get("spec")).get("extendedResourceName") == resource
        ]
        if named:
            newest = max(created for created, _ in named)
            return min(name for created, name in named if created == newest)
        implicit = resource.removeprefix(_IMPLICIT)
        return implicit if resource.startswith(_IMPLICIT) and implicit in classes else None

    def needs_devices(self, node: NodeState) -> bool:
        """Whether anything of the pod is to be served by devices of a node."""
        return bool(self.pod.claims) or any(
            ask.amount > 0 and self.serves(name, node) for name, ask in self.pod.requests.items()
        )

    def check(self, node: NodeState) -> Iterator[Reason]:
        """Why the claims cannot be had on a node; the code `dra-error` is what aborts the whole attempt."""
        if not self.needs_devices(node):
            return
        yield from self.everywhere
        # a cluster that has slices has the gate on, whatever its release
        switched_on = self.cluster.gate("DynamicResourceAllocation") or bool(self.devices.slices)
        if self.pod.claims and not switched_on:
            what = "the cluster's release has no stable dynamic resource allocation (before 1.34)"
            yield Reason(_PLUGIN, "dra", "unknown", "", self._route, "", what)
            return
        for entry, claim in self._allocated:
            selector = mapping(claim.allocation).get("nodeSelector")
            if selector is not None and not selected({"nodeSelector": selector}, node):
                what = f"claim {claim.name} is allocated to devices elsewhere"
                yield Reason(_PLUGIN, "dra-elsewhere", "no", entry.name, entry.route, "", what)
        claims = [*self._to_allocate, *self._extended_claim(node)]
        if not claims:
            return
        route = self._route or self._resource_route(node)
        if not self._known:
            what = "which devices the nodes have is not known (no resource slices)"
            yield Reason(_PLUGIN, "dra", "unknown", "", route, "", what)
            return
        yield from self._allocate(claims, node, route)

    def _allocate(self, claims: list[Claim], node: NodeState, route: Route) -> Iterator[Reason]:
        rules = self.devices.taint_rules if self.cluster.gate("DRADeviceTaintRules") else ()
        pools = gather_pools(self.devices.slices or (), node, rules)
        taints = self.cluster.gate("DRADeviceTaints")
        search = Search(node, pools, self.devices.classes or {}, claims, self._in_use, taints=taints)
        names = ", ".join(claim.name for claim in claims)
        try:
            if search.succeeds():
                return
        except DraError as error:
            yield Reason(_PLUGIN, "dra-error", "no", names, route, "", str(error))
            return
        except CelUnknownError as error:
            yield Reason(_PLUGIN, "dra", "unknown", names, route, "", f"a selector cannot be judged: {error}")
            return
        except TooHardError:
            yield Reason(_PLUGIN, "dra", "unknown", names, route, "", "too many ways to allocate the devices")
            return
        what = f"the node's free devices do not satisfy {names}"
        code = "dra-pool" if search.met_invalid_pool else "dra"
        if code == "dra-pool":
            what = "invalid resource pools were encountered"
        yield Reason(_PLUGIN, code, "no", names, route, _free(pools, self._in_use), what)

    def _resource_route(self, node: NodeState) -> Route:
        for name, ask in self.pod.requests.items():
            if ask.amount > 0 and self.serves(name, node) and ask.routes:
                return ask.routes[0]
        return ()

    def _extended_claim(self, node: NodeState) -> list[Claim]:
        """The hidden claim for extended resources that a class serves on this node (7.6)."""
        requests: list[Request] = []
        spec = mapping(self.pod.source.get("spec"))
        inits = len(list(listed(spec.get("initContainers"))))
        sidecars = [one.get("restartPolicy") == "Always" for one in listed(spec.get("initContainers"))]
        for name, ask in sorted(self.pod.requests.items()):
            kind = self.class_of(name)
            if kind is None or ask.amount <= 0 or not self.serves(name, node):
                continue
            shares = [share.get(name, 0) for share in self.pod.containers]
            lasting = [share if i >= inits or sidecars[i] else 0 for i, share in enumerate(shares)]
            requests += [
                Request(f"container-{i}-{name}", kind, count=share)
                for i, share in enumerate(lasting)
                if share
            ]
            # an init container uses what later containers hold, and needs devices for the rest only
            missing = [share - sum(lasting[i:]) for i, share in enumerate(shares[:inits]) if not sidecars[i]]
            if missing and max(missing) > 0:
                requests.append(Request(f"init-{name}", kind, count=max(missing)))
        return [Claim("<extended-resources>", tuple(requests))] if requests else []


def _free(pools: list[DevicePool], in_use: InUse) -> str:
    devices = [device for pool in pools for device in pool.devices]
    free = sum(device.id not in in_use.devices for device in devices)
    return f"{free} of {len(devices)} devices are free"


def _in_use(devices: Devices) -> InUse:
    """What the claims that are allocated hold; admin access holds nothing."""
    whole: set[DeviceId] = set()
    shares: dict[tuple[DeviceId, str], Amount] = {}
    for claim in devices.claims.values():
        allocation = mapping(mapping(claim.get("status")).get("allocation"))
        for result in listed(mapping(allocation.get("devices")).get("results")):
            if result.get("adminAccess") is True:
                continue
            key = (str(result.get("driver")), str(result.get("pool")), str(result.get("device")))
            consumed = mapping(result.get("consumedCapacity"))
            for name, value in consumed.items():
                shares[key, str(name)] = shares.get((key, str(name)), 0) + amount(value)
            if not consumed and result.get("shareID") is None:
                whole.add(key)
    return InUse(frozenset(whole), shares)
