"""Section probes: the time a start is given against the time it takes."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vllmlint.checks._args import judgement, servers_by_default
from vllmlint.checks._load import KnownStart, known_start
from vllmlint.checks._probe_facts import asks_server, has_placeholder
from vllmlint.finding import Edit, Finding, Fix, Related
from vllmlint.kube.probes import Probe
from vllmlint.manifest.text import Place
from vllmlint.serving.server import Server
from vllmlint.world import World

_VARIABLE = "VLLM_ENGINE_READY_TIMEOUT_S"
#: Since 0.14.0 (schemas/vllm/env.json), 600 s by default.
_VARIABLE_SINCE = "0.14.0"
_DEFAULT_TIMEOUT_SECONDS = 600


def startup_budget_too_small(server: Server, world: World) -> Iterator[Finding]:
    """A startup probe that gives up before the model can be there."""
    probe = server.container.probes.get("startupProbe")
    if probe is None or not _is_told(server, probe):
        return
    start = known_start(server, world)
    budget = probe.budget_seconds
    if start is None or budget >= start.seconds.mid:
        return
    hopeless = budget < start.seconds.low
    node = probe.node.scalar("failureThreshold") or probe.key
    wanted = start.budget_seconds
    threshold = math.ceil((wanted - probe.initial_delay_seconds) / probe.period_seconds)
    repeat = "downloads it again, " if start.downloads else ""
    yield Finding(
        node.content,
        f"the startup probe gives vLLM {budget} s to load `{server.model.id}`, which takes {start.words}: "
        "the kubelet kills it before it serves, and the next try "
        f"{repeat}{'ends' if hopeless else 'may end'} the same way",
        f"Write `failureThreshold: {threshold}` with `periodSeconds: {probe.period_seconds}` ({wanted} s): a "
        "generous budget costs nothing, as a ready server ends it.",
        f"{budget} s of {start.seconds.mid:.0f} s",
        severity=None if hopeless else "warning",
        confidence="low" if start.size.confidence == "low" else "medium",
        assumptions=(*start.assumptions, *start.size.assumptions),
        related=_model_related(server, start),
        fix=_raised(probe, threshold),
    )


def engine_ready_timeout_vs_startup(server: Server, world: World) -> Iterator[Finding]:
    """API servers that stop waiting for the engines before these can have loaded."""
    if not server.release.at_least(_VARIABLE_SINCE) or server.is_headless:
        return
    variable = server.env.get(_VARIABLE)
    timeout = _DEFAULT_TIMEOUT_SECONDS if variable is None else _seconds(variable.value)
    if timeout is None:
        return
    if variable is not None:
        yield from _never_reached(server, timeout)
    several = _api_servers(server)
    if several is None:
        return
    start = known_start(server, world)
    if start is None or timeout >= start.seconds.mid:
        return
    judged = judgement(server)
    place = None if variable is None else (variable.value_node or variable.name_node).content
    stated = (
        f"`{_VARIABLE}` is {timeout}"
        if variable is not None
        else f"the default of `{_VARIABLE}` is {timeout}"
    )
    yield Finding(
        place or several[1] or server.model.place or server.anchor,
        f"{several[0]} API servers wait for the engines no longer than {timeout} s ({stated}), and loading "
        f"`{server.model.id}` takes {start.words}: they stop with `Timed out waiting for engine core "
        "processes to start`, whatever the startup probe allows",
        f'Add `{{name: {_VARIABLE}, value: "{start.budget_seconds}"}}` to the environment.',
        f"{timeout} s of {start.seconds.mid:.0f} s",
        severity="error" if timeout < start.seconds.low else None,
        confidence="low" if "low" in (judged.confidence, start.size.confidence) else "medium",
        assumptions=(*judged.assumptions, *start.assumptions, *start.size.assumptions),
        related=_model_related(server, start),
    )


def _never_reached(server: Server, timeout: int) -> Iterator[Finding]:
    """A timeout that is written beside a startup budget that ends before it."""
    probe = server.container.probes.get("startupProbe")
    variable = server.env[_VARIABLE]
    if probe is None or not _is_told(server, probe) or probe.budget_seconds >= timeout:
        return
    if variable.source != "value" or variable.value_node is None:
        return
    node = probe.node.scalar("failureThreshold") or probe.key
    threshold = math.ceil((timeout - probe.initial_delay_seconds) / probe.period_seconds)
    yield Finding(
        variable.value_node.content,
        f"vLLM may take {timeout} s to start by `{_VARIABLE}`, but the startup probe ends after "
        f"{probe.budget_seconds} s: a start between the two is killed by the kubelet, without vLLM's own "
        "message",
        f"Set both from one number: `failureThreshold: {threshold}` for {timeout} s, or lower the variable.",
        "never reached",
        severity="info",
        confidence="high",
        related=(Related(node.content, f"{probe.budget_seconds} s"),),
    )


def _api_servers(server: Server) -> tuple[int, Place | None] | None:
    """API servers in processes of their own, and what asks for them; None for one, or where it is not told.

    A single server waits for its engine without a limit; several wait for the message that each engine sends
    when it has loaded (vllm/v1/engine/core_client.py, vllm-project/vllm#48031).
    """
    if server.arguments.entrypoint != "serve" or not server.arguments_known:
        return None
    count = server.get("api_server_count")
    if count.explicit:
        number, place = count.value if count.known else None, count.place
    else:
        number, place = servers_by_default(server), server.get("data_parallel_size").place
    return (number, place) if isinstance(number, int) and number > 1 else None


def _seconds(text: str | None) -> int | None:
    """A whole number of seconds; None for anything else."""
    return int(text) if text is not None and text.strip().isdigit() else None


def _is_told(server: Server, probe: Probe) -> bool:
    """Whether a startup probe's budget stands in the manifest, and it waits for vLLM."""
    if server.is_headless or has_placeholder(probe) or not asks_server(server, probe):
        return False
    written = all(probe.node.scalar(name) is not None for name in ("periodSeconds", "failureThreshold"))
    return written or server.workload.carrier != "other"


def _model_related(server: Server, start: KnownStart) -> tuple[Related, ...]:
    place = server.model.place
    return (Related(place, f"{start.size.gib:.3g} GiB"),) if place is not None else ()


def _raised(probe: Probe, threshold: int) -> Fix | None:
    node = probe.node.scalar("failureThreshold")
    if node is None:
        return None
    return Fix(f"raise failureThreshold to {threshold}", (Edit(node.content, str(threshold)),), safe=True)
