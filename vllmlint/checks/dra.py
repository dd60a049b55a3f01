"""Section gpu: devices that come through resource claims (dynamic resource allocation)."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from vllmlint.checks._claims import (
    ContainerClaim,
    DeviceRequest,
    claim_object,
    claims_of,
    pod_claim,
    requests_of,
)
from vllmlint.finding import Finding, Related, where
from vllmlint.kube.objects import KubeObject
from vllmlint.kube.pods import Container, Workload
from vllmlint.manifest.nodes import Mapping, Scalar
from vllmlint.serving.ranks import ranks_of, runs_in_one_pod
from vllmlint.serving.server import Server
from vllmlint.wording import plural
from vllmlint.world import World


def dra_claim_unresolved(server: Server, world: World) -> Iterator[Finding]:
    """A claim of the container that the pod, the template or the run does not have."""
    workload = server.workload
    if workload.carrier == "other":  # its controller may add the claims of the pod
        return
    for claim in claims_of(server.container):
        name_node = claim.node.scalar("name")
        if name_node is None or not claim.name:
            continue
        entry = pod_claim(workload, claim.name)
        if entry is None:
            yield _not_in_pod(claim, name_node, workload)
        else:
            yield from _template_findings(claim, entry, workload, world)


def dra_count_vs_parallelism(server: Server, world: World) -> Iterator[Finding]:
    """Claims that hand out another number of GPUs than the server has GPU processes."""
    ranks = ranks_of(server)
    requests = _gpu_requests(server.container, server.workload, world)
    if ranks is None or not requests or server.gpus or not runs_in_one_pod(server):
        return
    counts = [request.count for _, request in requests]
    count = sum(number for number in counts if number is not None)
    if None in counts or ranks.total == count:
        return
    _, largest = max(requests, key=lambda pair: pair[1].count or 0)
    counted = largest.count_node or largest.node.key("name") or largest.node
    few = count < ranks.total
    if few:
        effect = "the server stops at start, for a rank finds no GPU of its own"
    else:
        effect = f"{plural(count - ranks.total, 'GPU')} of the claim stay idle, lost to other pods"
    written = ranks.place
    in_claim = Related(where(counted), f"the claim hands out {plural(count, 'GPU')}")
    yield Finding(
        written if written is not None else server.anchor,
        f"vLLM starts {plural(ranks.total, 'GPU process', 'es')} ({ranks.text}) but the container's claim "
        f"hands out {plural(count, 'GPU')}: {effect}",
        f"Write `count: {ranks.total}` in the claim's request, or change the parallel sizes.",
        f"needs {plural(ranks.total, 'GPU')}",
        severity=None if few else "warning",
        related=(in_claim,),
    )


def gpu_requested_twice(server: Server, world: World) -> Iterator[Finding]:
    """GPUs both from the device plugin and from a claim."""
    requests = _gpu_requests(server.container, server.workload, world)
    asked = [gpu for gpu in server.gpus if gpu.count != 0]
    if not requests or not asked:
        return
    claim, _ = requests[0]
    yield Finding(
        asked[0].node.content,
        f"the container asks for GPUs twice, as `{asked[0].resource}` and through the claim `{claim.name}`: "
        "two sets of GPUs are taken, vLLM uses one, the other stays idle",
        "Keep one of the two.",
        "first set",
        related=(Related(where(claim.node.scalar("name") or claim.node), "second set"),),
    )


def _not_in_pod(claim: ContainerClaim, name_node: Scalar, workload: Workload) -> Finding:
    declared = [one.string("name") or "" for one in workload.spec.mappings("resourceClaims")]
    near = difflib.get_close_matches(claim.name, declared, 1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    return Finding(
        name_node.content,
        f"the container takes the claim `{claim.name}`, which the pod's `resourceClaims` does not have: the "
        "API server refuses the pod",
        f"Add `{{name: {claim.name}, resourceClaimTemplateName: …}}` to the pod's resourceClaims.{hint}",
        "not in resourceClaims",
    )


def _template_findings(
    claim: ContainerClaim, entry: Mapping, workload: Workload, world: World
) -> Iterator[Finding]:
    found = claim_object(entry, workload, world)
    if found is None:
        yield from _missing_template(entry, workload, world)
        return
    names = [request.name for request in requests_of(found)]
    # `request/alternative` names one of the alternatives of a request (firstAvailable)
    wanted = claim.request.partition("/")[0]
    request_node = claim.node.scalar("request")
    if request_node is not None and names and wanted not in names:
        yield Finding(
            request_node.content,
            f"{found.title} has no request `{wanted}`: the pod stays Pending",
            f"Name one of its requests: {', '.join(names)}.",
            "no such request",
            related=(Related(found.anchor.place, "the claim's requests are here"),),
        )


def _missing_template(entry: Mapping, workload: Workload, world: World) -> Iterator[Finding]:
    """A template whose name nearly is that of one in sight; any other may be another chart's."""
    node = entry.scalar("resourceClaimTemplateName")
    others = [obj.name for obj in world.index.nearby("ResourceClaimTemplate", workload.object)]
    near = difflib.get_close_matches(node.text, others, 1) if node is not None else []
    if node is None or not near:
        return
    yield Finding(
        node.content,
        f"no ResourceClaimTemplate `{node.text}` is in sight, but one named `{near[0]}`: unless the cluster "
        "has both, the pod stays Pending",
        f"Did you mean `{near[0]}`?",
        "not among the manifests",
        severity="warning",
        confidence="medium",
        assumptions=("the template does not come from elsewhere",),
    )


def _gpu_requests(
    container: Container, workload: Workload, world: World
) -> list[tuple[ContainerClaim, DeviceRequest]]:
    """The GPU requests of the container's claims; empty when a claim is not in the run."""
    found: list[tuple[ContainerClaim, DeviceRequest]] = []
    for claim in claims_of(container):
        entry = pod_claim(workload, claim.name)
        template: KubeObject | None = claim_object(entry, workload, world) if entry is not None else None
        if template is None:
            return []
        found += [
            (claim, request)
            for request in requests_of(template)
            if request.is_gpu and claim.request in {"", request.name}
        ]
    return found
