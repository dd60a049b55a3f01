"""What vllmlint believes about each server, as plain data in the shape of the design page."""

from __future__ import annotations

from typing import Any

from vllmlint.kube.pods import Mount
from vllmlint.kube.probes import Probe
from vllmlint.kube.quantity import parse_quantity
from vllmlint.manifest.text import Place
from vllmlint.plans.place import named_cards, placement_of
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.ranks import ranks_of
from vllmlint.serving.server import Server
from vllmlint.serving.value import Certainty, Origin, Value
from vllmlint.world import World

SCHEMA_VERSION = "1"


def inspect_world(world: World, *, defaults: bool = False) -> dict[str, Any]:
    """Every server of a run; `defaults` adds what the release decides where nothing is set."""
    servers = [server for facts in world.files for server in facts.servers]
    return {"schema_version": SCHEMA_VERSION, "servers": [_server(one, world, defaults) for one in servers]}


def _server(server: Server, world: World, defaults: bool) -> dict[str, Any]:
    obj, workload, container = server.object, server.workload, server.container
    return {
        "file": obj.file.path,
        "document": obj.document,
        "object": {
            "apiVersion": obj.api_version,
            "kind": obj.kind,
            "namespace": obj.namespace,
            "name": obj.name,
        },
        "container": container.name,
        "simulator": server.is_simulator,
        "group": _group(server),
        "image": _image(server),
        "entrypoint": server.invocation.entrypoint,
        "model": {
            "id": server.model.id or None,
            "revision": _plain(server.get("revision")) if server.arguments_known else None,
            "source": server.model.source,
        },
        "settings": _settings(server, defaults),
        "unknown_flags": [
            {
                "flag": flag.name,
                "line": server.unknown_flag_place(flag).line,
                "suggestion": flag.suggestion,
            }
            for flag in server.arguments.unknown
        ],
        "env": {name: {"value": var.value, "source": var.source} for name, var in sorted(server.env.items())},
        "gpu": _gpu(server),
        "node": {"selectors": _selectors(server), "candidates": candidates(server, world)},
        "parallelism": _parallelism(server),
        "probes": {
            "startup": _probe(container.probes.get("startupProbe")),
            "readiness": _probe(container.probes.get("readinessProbe")),
            "liveness": _probe(container.probes.get("livenessProbe")),
        },
        "port": server.port,
        "shm_bytes": _shm_bytes(container.mount_of("/dev/shm")),
        "mounts": [
            {"path": mount.path, "kind": mount.volume.kind if mount.volume is not None else None}
            for mount in sorted(container.mounts, key=lambda one: one.path)
        ],
        "replicas": workload.replicas,
        "strategy": obj.node.string("spec", "strategy", "type"),
        "memory": _memory(server, world),
    }


def _memory(server: Server, world: World) -> dict[str, Any] | None:
    """The plan of `fit` for the worst of the GPUs the pod may land on; None where nothing can be planned."""
    from vllmlint.plans.fit import worst
    from vllmlint.plans.fit_data import plan_data
    from vllmlint.plans.fit_world import fit_plans

    if server.is_simulator:
        return None
    plan = worst(fit_plans(server, world))
    return plan_data(plan) if plan is not None and plan.memory is not None else None


def _plain(value: Value) -> Any:
    return value.value if value.known else None


def _group(server: Server) -> dict[str, Any] | None:
    group = server.group
    return None if group is None else {"name": group.name, "role": group.role, "size": group.size}


def _image(server: Server) -> dict[str, Any]:
    image = server.image
    return {
        "reference": image.reference if image is not None else None,
        "tag": (image.tag or None) if image is not None else None,
        "digest": (image.digest or None) if image is not None else None,
        "release": str(server.release),
        "release_certainty": server.release_certainty,
    }


def _settings(server: Server, defaults: bool) -> dict[str, Any]:
    names = {*server.arguments.settings, *server.injected}
    if defaults and server.arguments_known:
        table = flag_table(server.release)
        names |= {table.spec(name).key for name in table.names}
    settings = {name: _setting(server.get(name)) for name in names}
    model = server.model
    if model.place is not None:
        known = model.kind != "unknown"
        origin, name = _model_origin(server)
        certainty: Certainty = "certain" if known else "unknown"
        value = Value(model.id, origin, name, model.place, None, certainty)
        settings["model"] = _setting(value)
    return dict(sorted(settings.items()))


def _model_origin(server: Server) -> tuple[Origin, str]:
    """Where the model comes from: an argument, a field of a wrapper object, a download of its controller."""
    wrapper = server.wrapper
    if wrapper is not None and wrapper.model is not None and server.model.place == wrapper.model.uri.content:
        return "wrapper", wrapper.controller
    source = server.invocation.source_of(server.arguments.model_word or 0)
    return ("args", server.model.source) if source is None else (source.origin, source.name)


def _setting(value: Value) -> dict[str, Any]:
    place: Place | None = value.place
    position = place.source.position(place.start) if place is not None else None
    return {
        "value": value.value,
        "certainty": value.certainty,
        "reason": value.reason or None,
        "origin": value.origin,
        "origin_name": value.origin_name or None,
        "file": place.source.path if place is not None else None,
        "line": position.line if position is not None else None,
        "column": position.column if position is not None else None,
    }


def _gpu(server: Server) -> dict[str, Any] | None:
    if not server.gpus:
        return None
    first = server.gpus[0]
    return {"resource": first.resource, "count": first.count}


def _selectors(server: Server) -> dict[str, str]:
    node = server.workload.spec.mapping("nodeSelector")
    return {} if node is None else {key: node.string(key) or "" for key in node.entries}


def candidates(server: Server, world: World) -> list[dict[str, str | None]]:
    """The node pools that take the server's pod or may, each with every GPU it may have."""
    found: list[dict[str, str | None]] = []
    placement = placement_of(server.workload, world)
    for pool in placement.possible:
        gpu = pool.profile.gpu
        cards = named_cards(gpu.candidates, placement.pod) if gpu is not None else ()
        found += [{"pool": pool.profile.name, "gpu": card.id} for card in cards]
        if not cards:
            found.append({"pool": pool.profile.name, "gpu": None})
    return found


def _parallelism(server: Server) -> dict[str, Any]:
    expert = server.get("enable_expert_parallel")
    ranks = ranks_of(server)
    return {
        "tensor": server.integer("tensor_parallel_size"),
        "pipeline": server.integer("pipeline_parallel_size"),
        "data": server.integer("data_parallel_size"),
        "expert": bool(expert.value) if expert.known else None,
        "world_size": ranks.total if ranks is not None else None,
    }


def _probe(probe: Probe | None) -> dict[str, Any] | None:
    if probe is None:
        return None
    return {
        "type": probe.type or None,
        "path": probe.path if probe.type == "httpGet" else None,
        "port": probe.port.text if probe.port is not None else None,
        "budget_seconds": probe.budget_seconds,
    }


def _shm_bytes(mount: Mount | None) -> int | float | None:
    """The size limit of the Memory volume at /dev/shm; None for the runtime's 64 MiB or no limit."""
    if mount is None or mount.volume is None or mount.volume.source is None:
        return None
    limit = mount.volume.source.string("sizeLimit")
    return parse_quantity(limit) if limit is not None and mount.volume.medium == "Memory" else None
