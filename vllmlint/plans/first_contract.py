"""A first contract from the manifests at hand: what they already promise, written down."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

from vllmlint.facts.images import is_official
from vllmlint.hardware.profile import NodeProfile
from vllmlint.kube.pods import Workload
from vllmlint.regex import regex
from vllmlint.serving.server import Server
from vllmlint.world import World

_NAME = regex(r"[^A-Za-z0-9]+")
#: What a first contract asks every server to state: the settings that decide whether it fits and starts.
_REQUIRED = ("model", "revision", "tensor-parallel-size", "max-model-len")


def first_contract(world: World, nodes: Sequence[NodeProfile] = ()) -> str:
    """The text of a `vllmlint.yaml` for the servers of a run; valid even when there are none.

    With real nodes, the pools are theirs, not what the manifests select.
    """
    servers = [server for facts in world.files for server in facts.servers if not server.is_simulator]
    blocks = [
        "# What the deployments here promise; vllmlint checks manifests against it.\n"
        "# Every section is optional; `vllmlint schema contract` describes them all.",
        _images(servers),
        _models(servers),
        _pools_of_nodes(nodes) if nodes else _pools(servers),
        "serving:\n  # settings that must be written, not left to a default of the release\n  "
        f"requireExplicit: [{', '.join(_written_by_all(servers))}]",
    ]
    return "\n".join(block for block in blocks if block) + "\n"


def _written_by_all(servers: Sequence[Server]) -> list[str]:
    """Those of the required settings that every server writes already: a first contract is kept from the
    start, and is made stricter by hand."""
    return [
        name
        for name in _REQUIRED
        if name == "model"
        or (servers and all(server.get(name.replace("-", "_")).explicit for server in servers))
    ]


def _text(value: str) -> str:
    """A YAML scalar: JSON strings are YAML."""
    return json.dumps(value, ensure_ascii=False)


def _images(servers: Iterable[Server]) -> str:
    images = [(server.image, server) for server in servers if server.image is not None]
    registries = {image.registry for image, _ in images if image.registry and not image.unresolved}
    hub = any(not image.registry and not image.unresolved for image, _ in images)
    lines = ["images:", "  pin: release  # digest: also want `@sha256:…`; any: accept moving tags"]
    if registries:
        names = [*sorted(registries), *(["docker.io"] if hub else [])]
        lines.append(f"  allowedRegistries: [{', '.join(map(_text, names))}]")
    # a tag of the official image that names no release moves: it is to be pinned, not written down
    unknown = {
        image.reference: one.release
        for image, one in images
        if one.release_certainty == "assumed"
        and not image.unresolved
        and not is_official(image.full_repository)
    }
    if unknown:
        lines.append("  # the tags of these do not say which vLLM is inside: correct the releases")
        lines.append("  releases:")
        lines += [
            f"    - {{match: {_text(name)}, vllm: {release}}}" for name, release in sorted(unknown.items())
        ]
    return "\n".join(lines)


def _models(servers: Iterable[Server]) -> str:
    revisions: dict[str, str | None] = {}
    for server in servers:
        if server.model.kind == "hub" and server.model.source != "default":
            value = server.get("revision")
            revision = (
                value.value if value.known and value.explicit and isinstance(value.value, str) else None
            )
            revisions[server.model.id] = revision or revisions.get(server.model.id)
    if not revisions:
        return ""
    lines = ["models:"]
    for model, revision in sorted(revisions.items()):
        lines.append(f"  - id: {_text(model)}")
        lines.append(
            f"    revision: {_text(revision)}"
            if revision
            else "    # revision: <the commit that is to be served>"
        )
    return "\n".join(lines)


def _pools_of_nodes(nodes: Sequence[NodeProfile]) -> str:
    from vllmlint.plans.node_pools import pool_drafts, pools_text

    return pools_text(pool_drafts(nodes))


def _pools(servers: Iterable[Server]) -> str:
    pools: dict[str, list[str]] = {}
    for server in servers:
        if not server.gpus:
            continue
        node = server.workload.spec.mapping("nodeSelector")
        labels = {} if node is None else {key: node.string(key) or "" for key in node.entries}
        if labels:
            name = _NAME.sub("-", "-".join(labels.values())).strip("-").lower() or "gpu"
            pools.setdefault(name, _pool(labels, server.workload))
    if not pools:
        return ""
    lines = [
        "nodePools:  # from the nodeSelectors and tolerations found; add gpu, gpusPerNode, nodes, spareGpus"
    ]
    for name, body in sorted(pools.items()):
        lines += [f"  {_text(name)}:", *body]
    return "\n".join(lines)


def _pool(labels: dict[str, str], workload: Workload) -> list[str]:
    lines = ["    labels:", *(f"      {_text(key)}: {_text(value)}" for key, value in sorted(labels.items()))]
    taints = []
    for toleration in workload.spec.mappings("tolerations"):
        key, effect = toleration.string("key"), toleration.string("effect")
        if key and effect in {"NoSchedule", "NoExecute", "PreferNoSchedule"}:
            value = toleration.string("value") or ""
            taints.append(f"      - {{key: {_text(key)}, value: {_text(value)}, effect: {effect}}}")
    return [*lines, "    taints:", *taints] if taints else lines
