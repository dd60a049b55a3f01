"""Volumes that tie a pod to nodes (VolumeBinding, VolumeZone, VolumeRestrictions)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vllmlint.kube.node import Amount
from vllmlint.kube.quantity import exact_quantity
from vllmlint.kube.scheduling.labels import selects, term_matches
from vllmlint.kube.scheduling.nodes import NodeState
from vllmlint.kube.scheduling.read_terms import label_selector, node_selector
from vllmlint.kube.scheduling.records import Pod, Reason, Volume
from vllmlint.record import record

_BIND_COMPLETED = "pv.kubernetes.io/bind-completed"
_SELECTED_NODE = "volume.kubernetes.io/selected-node"
_NO_PROVISIONER = "kubernetes.io/no-provisioner"
_ZONE_KEYS = (
    "failure-domain.beta.kubernetes.io/zone",
    "failure-domain.beta.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.kubernetes.io/region",
)
_GENERAL = {key: key.replace("failure-domain.beta", "topology") for key in _ZONE_KEYS}


@record
class Storage:
    """The storage objects of a cluster: claims by (namespace, name), volumes and classes by name.

    `complete` says that a claim that is not here does not exist.
    """

    claims: Mapping[tuple[str, str], Mapping[str, Any]]
    volumes: Mapping[str, Mapping[str, Any]]
    classes: Mapping[str, Mapping[str, Any]]
    complete: bool = True


def _at(value: Any, *route: str) -> Any:
    for step in route:
        value = value.get(step) if isinstance(value, Mapping) else None
    return value


class VolumeState:
    """What a pod's volumes ask of its node; `everywhere` holds for all nodes."""

    def __init__(self, pod: Pod, storage: Storage, running: Sequence[Pod]) -> None:
        self.pod = pod
        self.storage = storage
        self.everywhere: list[Reason] = []
        self._bound: list[tuple[Volume, Mapping[str, Any]]] = []
        self._waiting: list[tuple[Volume, Mapping[str, Any]]] = []
        for volume in pod.volumes:
            self._read(volume, running)
        self._waiting.sort(key=_size)

    def _read(self, volume: Volume, running: Sequence[Pod]) -> None:
        claim = self.storage.claims.get((self.pod.namespace, volume.claim))
        if claim is None:
            if self.storage.complete:
                what = f'persistentvolumeclaim "{volume.claim}"'
                waits = f"waiting for ephemeral volume controller to create the {what}"
                self._fail(volume, "volume", waits if volume.ephemeral else f"{what} not found")
            return
        if _at(claim, "status", "phase") == "Lost":
            self._fail(
                volume,
                "volume",
                f'persistentvolumeclaim "{volume.claim}" bound to non-existent persistentvolume',
            )
        if _at(claim, "metadata", "deletionTimestamp") is not None:
            self._fail(volume, "volume", f'persistentvolumeclaim "{volume.claim}" is being deleted')
        if "ReadWriteOncePod" in (_at(claim, "spec", "accessModes") or ()) and any(
            other.namespace == self.pod.namespace and any(one.claim == volume.claim for one in other.volumes)
            for other in running
        ):
            self._fail(volume, "volume-in-use", f"claim {volume.claim} is ReadWriteOncePod and in use")
        if (
            _at(claim, "spec", "volumeName")
            and _at(claim, "metadata", "annotations", _BIND_COMPLETED) is not None
        ):
            self._bound.append((volume, claim))
        elif not self.storage.complete:
            # a manifest of a claim says nothing of its state; what it names ties the pod all the same
            if _at(claim, "spec", "volumeName"):
                self._bound.append((volume, claim))
        elif not _at(claim, "spec", "volumeName") and self._delayed(claim):
            self._waiting.append((volume, claim))
        else:
            self._fail(volume, "volume", "pod has unbound immediate PersistentVolumeClaims")

    def _fail(self, volume: Volume, code: str, detail: str) -> None:
        self.everywhere.append(Reason("VolumeBinding", code, "no", volume.claim, volume.route, "", detail))

    def _class_of(self, claim: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
        """A claim's storage class. The default one is not looked for: the API server has written it into the
        claim where there is one, and the scheduler takes a claim without a class for one of class ""."""
        name = str(_at(claim, "spec", "storageClassName") or "")
        return name, self.storage.classes.get(name, {})

    def _delayed(self, claim: Mapping[str, Any]) -> bool:
        return bool(_at(self._class_of(claim)[1], "volumeBindingMode") == "WaitForFirstConsumer")

    def check(self, node: NodeState) -> Iterator[Reason]:
        """Why a node cannot have the volumes."""
        yield from self.everywhere
        for volume, claim in self._bound:
            yield from self._check_bound(volume, claim, node)
        taken: set[str] = set()
        for volume, claim in self._waiting:
            yield from self._check_waiting(volume, claim, node, taken)

    def _check_bound(self, volume: Volume, claim: Mapping[str, Any], node: NodeState) -> Iterator[Reason]:
        name = str(_at(claim, "spec", "volumeName"))
        found = self.storage.volumes.get(name)
        if found is None:
            if self.storage.complete:
                detail = f"claim {volume.claim} is bound to {name}, which does not exist"
                yield Reason("VolumeBinding", "volume-missing", "no", name, volume.route, "", detail)
            return
        answer = _reachable(found, node)
        if answer is not True:
            detail = f"the volume {name} of claim {volume.claim} is not reachable from the node"
            if answer is None:
                detail = f"whether the node has the labels that the volume {name} is bound to is not known"
            yield Reason(
                "VolumeBinding", "volume-affinity", "no" if answer is False else "unknown",
                name, volume.route, "", detail,
            )  # fmt: skip
        yield from _check_zone(found, volume, node)

    def _check_waiting(
        self, volume: Volume, claim: Mapping[str, Any], node: NodeState, taken: set[str]
    ) -> Iterator[Reason]:
        chosen = _at(claim, "metadata", "annotations", _SELECTED_NODE)
        name, kind = self._class_of(claim)
        if chosen is None:
            match = self._matching(claim, name, node, taken)
            if match is not None:
                taken.add(match)
                return
        elif chosen != node.name:
            detail = f"claim {volume.claim} is being provisioned for node {chosen}"
            yield Reason("VolumeBinding", "volume-bind", "no", volume.claim, volume.route, "", detail)
            return
        if not kind.get("provisioner") or kind.get("provisioner") == _NO_PROVISIONER:
            detail = f"no free volume matches claim {volume.claim} there, and class {name} makes none"
            yield Reason("VolumeBinding", "volume-bind", "no", volume.claim, volume.route, "", detail)
        elif not _topology_allowed(kind.get("allowedTopologies"), node):
            detail = f"class {name} makes no volumes for the node's topology"
            yield Reason("VolumeBinding", "volume-bind", "no", volume.claim, volume.route, "", detail)

    def _matching(self, claim: Mapping[str, Any], kind: str, node: NodeState, taken: set[str]) -> str | None:
        """The smallest free volume of the class that the claim could be bound to on the node."""
        wanted = exact_quantity(str(_at(claim, "spec", "resources", "requests", "storage"))) or 0
        modes = set(_at(claim, "spec", "accessModes") or ())
        selector = label_selector(_at(claim, "spec", "selector"))
        best: tuple[Amount, str] | None = None
        for name, one in sorted(self.storage.volumes.items()):
            holder = _at(one, "spec", "claimRef")
            if holder is not None:
                mine = (_at(holder, "namespace"), _at(holder, "name")) == (
                    self.pod.namespace,
                    _at(claim, "metadata", "name"),
                )
                if not mine:
                    continue
                # a volume that is kept for the claim needs only its class, size and mode
                if _kept_for(one, claim, kind, wanted):
                    return name if _reachable(one, node) is True else None
                continue
            size = exact_quantity(str(_at(one, "spec", "capacity", "storage"))) or 0
            labels = {str(k): str(v) for k, v in (_at(one, "metadata", "labels") or {}).items()}
            fits = (
                name not in taken
                and (_at(one, "spec", "storageClassName") or "") == kind
                and size >= wanted
                and modes <= set(_at(one, "spec", "accessModes") or ())
                and (_at(one, "spec", "volumeMode") or "Filesystem")
                == (_at(claim, "spec", "volumeMode") or "Filesystem")
                and (selector is None or selects(selector, labels))
                and _at(one, "status", "phase") in {None, "Available", "Pending"}
                and _reachable(one, node) is True
            )
            if fits and (best is None or size < best[0]):
                best = (size, name)
        return best[1] if best is not None else None


def _kept_for(volume: Mapping[str, Any], claim: Mapping[str, Any], kind: str, wanted: Amount) -> bool:
    """Whether a volume whose `claimRef` names a claim can be bound to it."""
    return (
        (_at(volume, "spec", "storageClassName") or "") == kind
        and (exact_quantity(str(_at(volume, "spec", "capacity", "storage"))) or 0) >= wanted
        and (_at(volume, "spec", "volumeMode") or "Filesystem")
        == (_at(claim, "spec", "volumeMode") or "Filesystem")
    )


def _size(entry: tuple[Volume, Mapping[str, Any]]) -> Amount:
    return exact_quantity(str(_at(entry[1], "spec", "resources", "requests", "storage"))) or 0


def _reachable(volume: Mapping[str, Any], node: NodeState) -> bool | None:
    """Whether a volume's node affinity lets the node have it; None when the node's labels do not tell."""
    required = _at(volume, "spec", "nodeAffinity", "required")
    if not isinstance(required, Mapping):
        return True
    terms = node_selector(required)
    if any(term_matches(term, node.labels, node.name) for term in terms):
        return True
    keys = [one.key for term in terms for one in term.expressions]
    return None if any(node.node.label_values(key) is None for key in keys) else False


def _check_zone(volume: Mapping[str, Any], origin: Volume, node: NodeState) -> Iterator[Reason]:
    """VolumeZone: zone labels of a volume against the node's, where the node has any."""
    if not any(key in node.labels for key in _ZONE_KEYS):
        return
    labels = _at(volume, "metadata", "labels") or {}
    for key in _ZONE_KEYS:
        if key not in labels:
            continue
        zones = set(str(labels[key]).split("__"))
        value = node.labels.get(key, node.labels.get(_GENERAL[key]))
        if value is None or value not in zones:
            detail = f"the volume of claim {origin.claim} is in {key}={labels[key]}"
            fact = f"label {key}={value}" if value is not None else f"no label {key}"
            yield Reason("VolumeZone", "volume-zone", "no", key, origin.route, fact, detail)
            return


def _topology_allowed(terms: Any, node: NodeState) -> bool:
    """Whether a node meets `allowedTopologies` of a storage class (one of the terms, all its labels)."""
    if not terms:
        return True
    return any(
        all(
            node.labels.get(str(one.get("key"))) in [str(value) for value in one.get("values") or ()]
            for one in term.get("matchLabelExpressions") or ()
        )
        for term in terms
        if isinstance(term, Mapping) and term.get("matchLabelExpressions")
    )
