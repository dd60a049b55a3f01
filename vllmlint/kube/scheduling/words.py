"""The scheduler's messages, in the words of a release (`scheduling.md` 9)."""

from __future__ import annotations

from vllmlint.kube.scheduling.records import Reason

#: Messages that do not depend on the release or on a subject.
_FIXED = {
    "affinity": "node(s) didn't match Pod's node affinity/selector",
    "cordon": "node(s) were unschedulable",
    "node-name": "node(s) didn't match the requested node name",
    "ports": "node(s) didn't have free ports for the requested pod ports",
    "pods": "Too many pods",
    "pod-affinity": "node(s) didn't match pod affinity rules",
    "anti-affinity": "node(s) didn't match pod anti-affinity rules",
    "existing-anti-affinity": "node(s) didn't satisfy existing pods anti-affinity rules",
    "spread": "node(s) didn't match pod topology spread constraints",
    "spread-label": "node(s) didn't match pod topology spread constraints (missing required label)",
    "volume-bind": "node(s) didn't find available persistent volumes to bind",
    "volume-missing": "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)",
    "volume-zone": "node(s) had no available volume zone",
    "volume-in-use": (
        "node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already in-use "
        "by another pod"
    ),
    "dra": "cannot allocate all claims",
    "dra-in-use": "resourceclaim in use",
    "dra-elsewhere": "resourceclaim not available on the node",
}


def message(reason: Reason, version: tuple[int, int] = (1, 37)) -> str:
    """A reason as the scheduler of a release words it in an event."""
    if reason.code == "taint":
        if version >= (1, 34):
            return "node(s) had untolerated taint(s)"
        key, _, value = reason.subject.rpartition(":")[0].partition("=")
        return f"node(s) had untolerated taint {{{key}: {value}}}"
    if reason.code == "resource":
        return f"Insufficient {reason.subject}"
    if reason.code == "volume-affinity":
        if version >= (1, 33):
            return "node(s) didn't match PersistentVolume's node affinity"
        return "node(s) had volume node affinity conflict"
    return _FIXED.get(reason.code, reason.detail)


def headline(reason: Reason) -> str:
    """A reason as people read it: the scheduler's words, with the taint by name."""
    if reason.code == "taint" and reason.subject:
        key, _, value = reason.subject.rpartition(":")[0].partition("=")
        return f"had untolerated taint {{{key}: {value}}}"
    if reason.answer == "unknown":
        return f"cannot tell: {reason.detail}"
    return message(reason).removeprefix("node(s) ")
