"""The taints that platforms put on nodes, and the tolerations that appear by themselves."""

from __future__ import annotations

from functools import cache
from typing import Literal

from vllmlint.facts.hardware import hardware_table
from vllmlint.kube.node import Taint
from vllmlint.record import record


@record
class PlatformTaint:
    """A taint that nodes of a platform may carry.

    `by`: `platform` (set on such nodes by default), `condition` (a state of the node, gone when it ends),
    `convention` (guides tell users to set it) or `unknown`. `any_value`: the value differs between clusters.
    `added_by` names what adds the toleration to pods; None: nothing does.
    """

    platform: str
    key: str
    value: str
    effects: tuple[str, ...]
    any_value: bool
    when: str
    by: Literal["platform", "condition", "convention", "unknown"]
    added_by: str | None
    confidence: str
    source: str

    @property
    def taints(self) -> tuple[Taint, ...]:
        """The taints as a node carries them, one for each effect."""
        return tuple(Taint(self.key, self.value, effect) for effect in self.effects)


@cache
def platform_taints() -> tuple[PlatformTaint, ...]:
    """All rows."""
    return tuple(
        PlatformTaint(
            platform=row["platform"],
            key=row["key"],
            value=row.get("value", ""),
            effects=tuple(row["effects"]),
            any_value=row.get("any_value", False),
            when=row["when"],
            by=row["by"],
            added_by=row.get("added_by"),
            confidence=row["confidence"],
            source=row["source"],
        )
        for row in hardware_table("node_taints")["taints"]
    )


def known_taints(key: str, platform: str | None = None) -> tuple[PlatformTaint, ...]:
    """What is known of taints with a key: on one platform and on Kubernetes itself, or anywhere."""
    return tuple(
        row
        for row in platform_taints()
        if row.key == key and (platform is None or row.platform in {platform, "kubernetes"})
    )


def default_taints(platform: str, resource: str) -> tuple[Taint, ...]:
    """The taints that a platform puts on nodes with an extended resource: those whose key is its name."""
    return tuple(
        taint
        for row in platform_taints()
        if row.platform == platform and row.by == "platform" and row.key == resource
        for taint in row.taints
    )


def adds_resource_tolerations(platform: str | None) -> bool | None:
    """Whether a platform runs the admission plugin ExtendedResourceToleration, which adds to each pod that
    requests an extended resource a toleration for `NoSchedule` taints whose key is the resource's name
    (scheduling.md 4.3). None: not known; upstream it is off by default."""
    known: dict[str, bool] = hardware_table("node_taints")["extended_resource_toleration"]
    return None if platform is None else known.get(platform)


def toleration_is_added(taint: Taint, requested: frozenset[str], platform: str | None) -> bool | None:
    """Whether a pod that requests these extended resources gets a toleration for a taint by itself.

    None where that depends on a cluster that is not known. The plugin covers `NoSchedule` only, and only keys
    that are names of requested resources.
    """
    if taint.effect != "NoSchedule" or taint.key not in requested:
        return False
    return adds_resource_tolerations(platform)
