"""The plain records of placement: what a pod asks, what stands in the way."""

from __future__ import annotations

from dataclasses import field
from typing import Any, Literal

from vllmlint.record import record

#: A step in an object: a mapping key or a sequence index.
Route = tuple[str | int, ...]
Answer = Literal["yes", "no", "unknown"]


@record
class Requirement:
    """One `matchExpressions` or `matchFields` entry; `route` is its place in the pod."""

    key: str
    operator: str
    values: tuple[str, ...] = ()
    route: Route = ()


@record
class NodeTerm:
    """One of the OR-ed terms of a node selector."""

    expressions: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()
    route: Route = ()


@record
class Toleration:
    """A toleration; empty texts stand for absent fields. `added_by` names who added it, if not the author."""

    key: str = ""
    operator: str = ""
    value: str = ""
    effect: str = ""
    seconds: int | None = None
    route: Route = ()
    added_by: str = ""


@record
class LabelSelector:
    """A label selector of pods or namespaces; without requirements it matches everything."""

    requirements: tuple[Requirement, ...] = ()


@record
class PodTerm:
    """A required term of pod affinity or anti-affinity, with the namespaces it looks in.

    `selector` None matches no pod. `namespace_selector` None adds no namespaces by label.
    """

    selector: LabelSelector | None
    topology_key: str
    namespaces: frozenset[str]
    namespace_selector: LabelSelector | None = None
    route: Route = ()


@record
class Spread:
    """A topology spread constraint that rejects (`whenUnsatisfiable: DoNotSchedule`)."""

    max_skew: int
    topology_key: str
    selector: LabelSelector | None
    min_domains: int = 1
    honor_affinity: bool = True
    honor_taints: bool = False
    route: Route = ()


@record
class HostPort:
    """A port that a container takes on its node."""

    ip: str
    protocol: str
    port: int
    route: Route = ()


@record
class PodClaim:
    """An entry of `spec.resourceClaims`; `claim` and `template` are names, one of them is set."""

    name: str
    claim: str = ""
    template: str = ""
    route: Route = ()


@record
class Volume:
    """A volume with a claim of its own: `claim` is the PersistentVolumeClaim's name."""

    name: str
    claim: str
    ephemeral: bool = False
    route: Route = ()


@record
class Ask:
    """The containers' request of one resource, and where it is written (`routes`, the largest first)."""

    amount: int
    routes: tuple[Route, ...] = ()


@record
class Pod:
    """A pod as the scheduler sees it; amounts in the scheduler's units (`amounts.scheduler_units`).

    `unread` are fields whose value cannot be read (a placeholder, a wrong type): nothing that depends on
    them is ever answered with yes. `source` is the object it was read from.
    """

    name: str = ""
    namespace: str = "default"
    labels: dict[str, str] = field(default_factory=dict)
    node_name: str = ""
    scheduler: str = "default-scheduler"
    gates: tuple[str, ...] = ()
    selector: dict[str, str] = field(default_factory=dict)
    node_terms: tuple[NodeTerm, ...] | None = None
    tolerations: tuple[Toleration, ...] = ()
    requests: dict[str, Ask] = field(default_factory=dict)
    containers: tuple[dict[str, int], ...] = ()
    ports: tuple[HostPort, ...] = ()
    affinity: tuple[PodTerm, ...] = ()
    anti_affinity: tuple[PodTerm, ...] = ()
    spread: tuple[Spread, ...] = ()
    claims: tuple[PodClaim, ...] = ()
    volumes: tuple[Volume, ...] = ()
    terminating: bool = False
    finished: bool = False
    unread: tuple[Route, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)


@record
class NearMiss:
    """A part of the pod that almost lets it in: where, and what is wrong with it."""

    route: Route
    flaw: str


@record
class Reason:
    """Why a pod cannot run on a node, or why that cannot be told.

    `plugin` is the scheduler's plugin (or `admission`, `kubelet`), `code` what kind of reason it is (see
    `words`), `subject` the taint, resource or label it is about. `route` is the field of the pod, `node_fact`
    the fact of the node, `detail` the comparison in words.
    """

    plugin: str
    code: str
    answer: Answer = "no"
    subject: str = ""
    route: Route = ()
    node_fact: str = ""
    detail: str = ""
    near: NearMiss | None = None
    #: Whether more nodes of the same kind, or pods that leave, could not help (UnschedulableAndUnresolvable).
    for_good: bool = True


@record
class Verdict:
    """Whether a pod can run on a node, with every reason against it."""

    node: str
    answer: Answer
    reasons: tuple[Reason, ...] = ()


def verdict(node: str, reasons: list[Reason]) -> Verdict:
    """The verdict that follows from reasons: one definite one is enough for no."""
    if any(reason.answer == "no" for reason in reasons):
        answer: Answer = "no"
    elif any(reason.answer == "unknown" for reason in reasons):
        answer = "unknown"
    else:
        answer = "yes"
    return Verdict(node, answer, tuple(reasons))
