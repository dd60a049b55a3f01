"""Section multi-node: the addresses under which ranks and KV peers find each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from vllmlint.checks._args import judgement
from vllmlint.checks._groups import (
    LITERAL_IP,
    LOOPBACK,
    LWS_VARIABLES,
    node_count,
    other_servers,
    templates_of,
    text_of,
    written_words,
)
from vllmlint.finding import Confidence, Finding, Related
from vllmlint.kube.env import EnvVar, is_complete, read_env
from vllmlint.kube.objects import string_map
from vllmlint.kube.pods import Container, Workload
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.flag_tables import env_table
from vllmlint.serving.server import Server
from vllmlint.serving.value import Value
from vllmlint.world import World

#: A reference to one of LeaderWorkerSet's variables, or to what looks like one; `$$` is an escape.
_LWS_REFERENCE = regex(
    r"(?<!\$)\$(?:\((?P<paren>LWS_\w+)\)|\{(?P<brace>LWS_\w+)(?P<rest>[^}]*)\}|(?P<bare>LWS_\w+))"
)
#: A reference that the kubelet would have to fill in, in the place of an address.
_ADDRESS_REFERENCE = regex(
    r"--(?:ray[_-]address|address|master-addr|data-parallel-address)(?:=|\s+)[\"']?\$\((?P<name>[A-Z][A-Z0-9_]*)\)"
)
#: A literal address that a Ray node is to join.
_RAY_LITERAL = regex(r"--(?:ray[_-])?address(?:=|\s+)[\"']?(?P<ip>\d{1,3}(?:\.\d{1,3}){3})(?![\d.])")
_REFERENCE = regex(r"(?<!\$)\$\((?P<name>[A-Z][A-Z0-9_]*)\)")
_ANY_ADDRESS = regex(r"0\.0\.0\.0|\[?::\]?|\*")
_NIXL = regex(r"Nixl\w*Connector")
_POD_IP = "valueFrom: {fieldRef: {fieldPath: status.podIP}}"


@record
class _Variables:
    """A container's environment: `complete` when every name is known, `script` the text that may set more."""

    env: Mapping[str, EnvVar]
    complete: bool
    script: str

    def defines(self, name: str) -> bool:
        """Whether a name is set, or may be."""
        return not self.complete or name in self.env or re.search(rf"\b{name}=", self.script) is not None


def leader_address_invalid(workload: Workload, world: World) -> Iterator[Finding]:
    """An address of the leader that no worker can reach, or that nothing fills in."""
    servers = [server for one in templates_of(workload.object, world) for server in world.servers_in(one)]
    if workload.carrier == "other" or not servers or any(server.is_simulator for server in servers):
        return
    for container in workload.containers:
        yield from _unset_variables(container, world)
    for server in world.servers_in(workload):
        yield from _bad_flag(server, world)


def kv_side_channel_localhost(server: Server, world: World) -> Iterator[Finding]:
    """A KV connector that tells its peers an address which leads back to themselves."""
    config = server.get("kv_transfer_config")
    if (
        server.workload.carrier == "other"
        or config.certainty == "unknown"
        or not isinstance(config.value, dict)
        or config.place is None
        or other_servers(server, world)
    ):
        return
    known = env_table(server.release).declared
    for kind, variable in (("NIXL", "VLLM_NIXL_SIDE_CHANNEL_HOST"), ("P2P", "VLLM_P2P_SIDE_CHANNEL_HOST")):
        role = _side_channel_role(config.value, kind)
        if role is not None and variable in known:
            yield from _side_channel(server, world, config, kind, variable, role)


def host_ip_static(server: Server, world: World) -> Iterator[Finding]:
    """One address for every pod of a template."""
    variable = server.env.get("VLLM_HOST_IP")
    text = (variable.value or "").strip() if variable is not None else ""
    if (
        variable is None
        or not LITERAL_IP.fullmatch(text)
        or _ANY_ADDRESS.fullmatch(text)
        or _bound_to_node(server)
    ):
        return
    nodes = node_count(server)
    alone = nodes == 1 and server.workload.carrier == "plain"
    if LOOPBACK.fullmatch(text) and alone:
        return
    node = variable.value_node or variable.name_node
    inward = LOOPBACK.fullmatch(text) is not None
    why = (
        "which each pod reaches in itself only: the ranks never meet"
        if inward
        else "but a pod gets its address when it is made: vLLM listens on, or connects to, an address that "
        "is not its own, and the start hangs"
    )
    yield Finding(
        node.content,
        f"every pod of this template tells the other ranks that it is at {text}, {why}",
        f"Write `{_POD_IP}`" + (", or drop the variable: vLLM finds its own address." if alone else "."),
        "leads back to the pod itself" if inward else "not this pod's address",
    )


def _unset_variables(container: Container, world: World) -> Iterator[Finding]:
    """References that stay as they are written, because nothing sets the variable."""
    workload, variables = container.workload, _variables(container, world)
    values = [entry.scalar("value") for entry in container.node.mappings("env")]
    for scalar in (*written_words(container), *(value for value in values if value is not None)):
        for match in _LWS_REFERENCE.finditer(scalar.text):
            name = match["paren"] or match["brace"] or match["bare"]
            known = variables.defines(name) or (workload.carrier == "lws" and name in LWS_VARIABLES)
            if known or match["rest"] or _is_placeholder(scalar.text, workload):
                continue
            yield _unset(scalar.part(*match.span()), name, workload)
        for match in _ADDRESS_REFERENCE.finditer(scalar.text):
            name = match["name"]
            known = name.startswith("LWS_") or variables.defines(name)
            if not known and not _is_placeholder(scalar.text, workload):
                start = match.start("name") - 2
                yield _unset(scalar.part(start, match.end()), name, workload)
        literal = _RAY_LITERAL.search(scalar.text)
        if literal is not None and workload.carrier == "lws" and not LOOPBACK.fullmatch(literal["ip"]):
            yield _literal(scalar.part(*literal.span("ip")), literal["ip"], workload)


def _is_placeholder(text: str, workload: Workload) -> bool:
    """Whether placeholder-left-in-manifest speaks of a reference: outside of scripts, where Kubernetes alone
    makes the pods."""
    return workload.carrier == "plain" and not any(space in text for space in " \t\n")


def _variables(container: Container, world: World) -> _Variables:
    def lookup(name: str) -> Any:
        return world.index.config_map_data(name, container.workload.object)

    node = container.node
    return _Variables(read_env(node, lookup), is_complete(node, lookup), text_of(container))


def _unset(place: Place, name: str, workload: Workload) -> Finding:
    if name in LWS_VARIABLES:
        return Finding(
            place,
            f"only LeaderWorkerSet sets {name}, and this is a {workload.kind}: nothing fills it in, and the "
            "ranks never meet",
            "Write the address of the first rank (the DNS name of its pod under a headless Service), or make "
            "this a LeaderWorkerSet.",
            "nothing sets this",
        )
    near = get_close_matches(name, LWS_VARIABLES, 1, 0.5) if name.startswith("LWS_") else []
    lws = workload.carrier == "lws"
    hint = near[0] if near else "LWS_LEADER_ADDRESS"
    return Finding(
        place,
        f"nothing sets {name}"
        + (f" (LeaderWorkerSet sets {', '.join(LWS_VARIABLES[:2])} and {LWS_VARIABLES[2]})" if lws else "")
        + ", so nothing fills it in, and this pod never joins its group",
        f"Write `$({hint})`." if lws else f"Set {name} in `env`, before what refers to it.",
        f"should be {hint}" if near else "nothing sets this",
        # a shell may have a variable from a file or from the image
        confidence="high" if near or place.text.startswith("$(") else "medium",
    )


def _bad_flag(server: Server, world: World) -> Iterator[Finding]:
    """The leader's address in vLLM's own flags."""
    nodes = node_count(server)
    if nodes is None or other_servers(server, world):
        return
    if nodes > 1:
        name, cause, why = "master_addr", server.get("nnodes"), f"{nodes} nodes"
    else:
        spread = _data_parallel_spread(server)
        if spread is None:
            return
        name, cause, why = "data_parallel_address", spread, "ranks in other pods"
    value = server.get(name)
    flag = f"--{name.replace('_', '-')}"
    related = (Related(cause.flag_place, why),) if cause.flag_place is not None else ()
    sure = judgement(server)
    if not value.known:
        return
    text = str(value.value or "127.0.0.1")
    reference = _REFERENCE.fullmatch(text)
    if LOOPBACK.fullmatch(text):
        default = "" if value.explicit else ", the default"
        place = value.place or cause.flag_place
        if place is None:
            return
        yield Finding(
            place,
            f"`{flag}` is {text}{default}: each pod looks for the first rank in itself, so the ranks never "
            "meet and the start ends in a timeout",
            f"Write `{flag}=$(LWS_LEADER_ADDRESS)`."
            if server.workload.carrier == "lws"
            else f"Give `{flag}` the address of the first rank: the DNS name of its pod under a headless "
            "Service.",
            "leads back to the pod itself" if value.explicit else f"{flag} is missing",
            confidence=sure.confidence,
            assumptions=sure.assumptions,
            related=related if value.explicit else (),
        )
    elif value.place is not None and LITERAL_IP.fullmatch(text) and not _bound_to_node(server):
        yield _literal(value.place, text, server.workload, related)
    elif (
        reference is not None
        and value.place is not None
        and _ADDRESS_REFERENCE.search(value.place.text) is None
    ):
        yield from _unset_flag(server, value.place, reference["name"], world)


def _unset_flag(server: Server, place: Place, name: str, world: World) -> Iterator[Finding]:
    """A reference in a word of its own behind the flag; those in one word with it are found in the text."""
    joined = any(
        match["name"] == name
        for word in written_words(server.container)
        for match in _ADDRESS_REFERENCE.finditer(word.text)
    )
    known = name.startswith("LWS_") or _variables(server.container, world).defines(name)
    if known or joined or server.workload.carrier == "plain":
        return
    yield _unset(place, name, server.workload)


def _literal(place: Place, text: str, workload: Workload, related: tuple[Related, ...] = ()) -> Finding:
    return Finding(
        place,
        f"the leader's address is written out as {text}, but a pod gets another address each time it is "
        "made: after the next restart the ranks look for a leader that is gone",
        "Write `$(LWS_LEADER_ADDRESS)`."
        if workload.carrier == "lws"
        else "Write the DNS name of the first rank's pod under a headless Service.",
        "gone with the next restart",
        confidence="medium",
        assumptions=("the address is a pod's, not that of a Service or a node",),
        related=related,
    )


def _data_parallel_spread(server: Server) -> Value | None:
    """What says that data parallel engines run in other pods; None when nothing does."""
    if server.get("data_parallel_backend").value == "ray" or server.arguments.entrypoint != "serve":
        return None
    if server.get("master_addr").explicit and not server.get("data_parallel_address").explicit:
        # without an address of its own the data parallel group meets there
        return None
    headless = server.get("headless")
    local, size = server.get("data_parallel_size_local"), server.get("data_parallel_size")
    if headless.known and headless.value is True:
        # a headless rank of a single engine belongs to `--nnodes`, which this pod was not given
        return None if size.known and size.value in (None, 1) else headless
    if not local.known or not size.known or not local.explicit:
        return None
    fewer = isinstance(local.value, int) and isinstance(size.value, int) and 0 < local.value < size.value
    return local if fewer else None


def _bound_to_node(server: Server) -> bool:
    """Whether the pods have a node's address, and keep it: the host's network on one chosen machine."""
    spec = server.workload.spec
    if spec.flag("hostNetwork") is not True:
        return False
    return spec.scalar("nodeName") is not None or "kubernetes.io/hostname" in string_map(
        spec.at("nodeSelector")
    )


def _side_channel_role(config: Mapping[str, Any], kind: str) -> str | None:
    """The role of a connector with a side channel, also inside a MultiConnector; None when there is none."""
    if kind == "NIXL" and _NIXL.fullmatch(str(config.get("kv_connector", ""))):
        return str(config.get("kv_role", ""))
    extra = config.get("kv_connector_extra_config")
    if not isinstance(extra, dict):
        return None
    if kind == "P2P" and any(
        isinstance(tier, dict) and tier.get("type") == "p2p" and not tier.get("host")
        for tier in _dicts(extra)
    ):
        return str(config.get("kv_role", ""))
    inner = extra.get("connectors")
    for one in inner if isinstance(inner, list) else ():
        role = _side_channel_role(one, kind) if isinstance(one, dict) else None
        if role is not None:
            return role
    return None


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside the lists and mappings of a value, not those of inner connectors."""
    for child in value.values() if isinstance(value, dict) else value:
        if isinstance(child, dict):
            if "kv_connector" in child:
                continue
            yield child
        if isinstance(child, dict | list):
            yield from _dicts(child)


def _side_channel(
    server: Server, world: World, config: Value, kind: str, variable: str, role: str
) -> Iterator[Finding]:
    """Judge the host of one side channel."""
    place = config.place
    # the consumer asks, and nobody asks it
    if place is None or (role == "kv_consumer" and kind == "NIXL") or _decodes(server):
        return
    set_to = server.env.get(variable)
    sure: Confidence = "high" if role == "kv_producer" else "medium"
    assumptions = () if role == "kv_producer" else ("another pod takes KV blocks from this one",)
    advice = f"Add `- name: {variable}` with `{_POD_IP}` to the container's env."
    if set_to is None:
        command, script = server.invocation.command, server.invocation.script
        assigned = (command is not None and variable in command.assignments) or (
            script is not None
            and (variable in script.parsed.variables or f"{variable}=" in (script.word.text or ""))
        )
        if assigned or not _variables(server.container, world).complete:
            return
        yield Finding(
            _connector_place(place, kind),
            f"{variable} is not set and means localhost: the {kind} side channel listens inside this pod "
            "only and peers are told `localhost`, so whoever fetches dials itself and every KV transfer "
            "fails",
            advice,
            "side channel on localhost",
            confidence=sure,
            assumptions=assumptions,
        )
        return
    text = (set_to.value or "").strip()
    node = set_to.value_node
    inward = LOOPBACK.fullmatch(text) or _ANY_ADDRESS.fullmatch(text)
    if node is None or not (inward or LITERAL_IP.fullmatch(text)) or _bound_to_node(server):
        return
    if _ANY_ADDRESS.fullmatch(text):
        sure, assumptions = "medium", ("the router passes on the address that vLLM names",)
    yield Finding(
        node.content,
        f"peers are told to fetch KV blocks from {text}, "
        + (
            "which leads each of them back to itself"
            if inward
            else "but a pod gets its address when it is made"
        )
        + ": KV transfers fail",
        f"Write `{_POD_IP}` in the place of the value.",
        "the decode pod dials itself" if inward else "not this pod's address",
        confidence=sure,
        assumptions=assumptions,
        related=(Related(_connector_place(place, kind), "connector with a side channel"),),
    )


def _connector_place(place: Place, kind: str) -> Place:
    """The connector's name inside the JSON; all of it for a name that does not stand there as such."""
    match = _NIXL.search(place.text) if kind == "NIXL" else re.search(r"p2p", place.text)
    if match is None:
        return place
    return place._replace(start=place.start + match.start(), end=place.start + match.end())


def _decodes(server: Server) -> bool:
    """Whether names and labels say that this is the side that fetches."""
    workload = server.workload
    texts = (workload.role, workload.object.name, *workload.labels.values())
    return any("decode" in text.lower() for text in texts) and not any(
        "prefill" in text.lower() for text in texts
    )
