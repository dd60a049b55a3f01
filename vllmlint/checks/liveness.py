"""Section probes: liveness probes that kill a server which loads, or one that is only busy."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vllmlint.checks._load import known_start
from vllmlint.checks._probe_facts import asks_server, has_placeholder, ordered_probes, probe_word
from vllmlint.finding import Finding, Related
from vllmlint.kube.probes import DEFAULT_TIMEOUT_SECONDS, Probe
from vllmlint.manifest.nodes import Scalar
from vllmlint.serving.server import Server
from vllmlint.world import World

#: From this fixed delay on (seconds), an initialDelaySeconds stands in for a startupProbe.
_LONG_DELAY_SECONDS = 60
#: Below this budget (seconds) hardly any GPU server starts: imports, weights, compilation and graph capture.
_HOPELESS_SECONDS = 120
#: A liveness probe with the default timeout must bear this many seconds of load before it kills.
_PATIENCE_SECONDS = 60


def liveness_without_startup(server: Server, world: World) -> Iterator[Finding]:
    """A liveness probe whose patience is shorter than a start, and no startup probe to hold it back."""
    liveness = server.container.probes.get("livenessProbe")
    if liveness is None or "startupProbe" in server.container.probes or server.workload.carrier == "other":
        return
    if server.is_headless or has_placeholder(liveness) or not asks_server(server, liveness):
        return
    slow, least, assumption = _patience(server, world)
    budget = liveness.budget_seconds
    if budget >= slow:
        return
    sum_of = f"{liveness.initial_delay_seconds} + {liveness.period_seconds} × {liveness.failure_threshold}"
    drop = ", and drop initialDelaySeconds" if liveness.initial_delay_seconds else ""
    yield Finding(
        liveness.key.content,
        f"the liveness probe gives vLLM {budget} s to start ({sum_of}) and there is no startup probe: "
        f"a start that takes longer (up to {slow} s is assumed) is killed and begins again",
        "Add `startupProbe` with the same handler, `periodSeconds: 10` and "
        f"`failureThreshold: {-(-slow // 10)}`{drop}.",
        f"kills after {budget} s",
        severity="error" if budget < least else "warning",
        confidence="high" if budget < min(least, _HOPELESS_SECONDS) else "medium",
        assumptions=(assumption,),
    )


def _patience(server: Server, world: World) -> tuple[int, int, str]:
    """Seconds that a slow start takes, seconds below which a start is surely killed, and what both rest on.

    The estimate of a known model's start counts where the contract sets no option: what it takes at most,
    though no more than the option's default or, for a large model, the middle of the estimate.
    """
    rule = "liveness-without-startup"
    slow = world.option(rule, "startupSeconds", server.object)
    least = world.option(rule, "errorBelowSeconds", server.object)
    assumed = f"a start takes up to {slow} s (option startupSeconds)"
    if world.contract(server.object).rules.options.get(rule):
        return slow, least, assumed
    start = known_start(server, world)
    if start is None:
        return slow, least, assumed
    band = start.seconds
    most = math.ceil(min(band.high, max(slow, band.mid)))
    sure = math.ceil(max(band.low, min(least, band.mid)))
    return most, sure, f"`{server.model.id}` takes {start.words} to start"


def initial_delay_instead_of_startup(server: Server, world: World) -> Iterator[Finding]:
    """A long fixed delay that does a startup probe's work."""
    probes = server.container.probes
    if "startupProbe" in probes or server.workload.carrier == "other" or server.is_headless:
        return
    long = [
        (probe, delay)
        for probe in ordered_probes(server)
        if probe.initial_delay_seconds >= _LONG_DELAY_SECONDS and asks_server(server, probe)
        if (delay := probe.node.scalar("initialDelaySeconds")) is not None
    ]
    if not long:
        return
    probe, delay = long[0]
    yield Finding(
        delay.content,
        f"the {probe_word(probe)} waits {probe.initial_delay_seconds} s whatever the start takes: "
        "a quick start serves late, and a slow one is judged while it loads",
        "Use a `startupProbe` (`periodSeconds: 10` and a failureThreshold for the slowest start): "
        "the other probes wait for it, and begin at once when vLLM is ready.",
        "a fixed delay",
        related=tuple(Related(other.content, "and here") for _, other in long[1:]),
    )


def liveness_too_aggressive(server: Server, world: World) -> Iterator[Finding]:
    """A liveness probe that a busy but healthy engine misses."""
    liveness = server.container.probes.get("livenessProbe")
    if liveness is None or server.is_headless or has_placeholder(liveness):
        return
    # the kernel accepts a connection however busy vLLM is
    if liveness.type == "tcpSocket" or not asks_server(server, liveness):
        return
    threshold = liveness.node.scalar("failureThreshold")
    timeout = liveness.node.scalar("timeoutSeconds")
    advice = (
        "Write `timeoutSeconds: 10` and `failureThreshold: 6`; a restart costs a full load, a hang is rare."
    )
    costs = "a restart drops every stream, costs a full load and moves the traffic to the next replica"
    if threshold is not None and liveness.failure_threshold == 1:
        yield Finding(
            threshold.content,
            f"one missed liveness probe (timeout {liveness.timeout_seconds} s) kills the server: {costs}",
            advice,
            "kills at the first miss",
        )
        return
    patience = liveness.period_seconds * liveness.failure_threshold
    if liveness.timeout_seconds > DEFAULT_TIMEOUT_SECONDS or patience >= _PATIENCE_SECONDS:
        return
    if server.workload.carrier == "other" and not _all_written(liveness):
        return
    place: Scalar = timeout if timeout is not None else liveness.key
    yield Finding(
        place.content,
        f"the liveness probe allows 1 s an answer and kills after {patience} s of misses "
        f"({liveness.period_seconds} s × {liveness.failure_threshold}): a saturated engine answers late, "
        f"and {costs}",
        advice,
        "1 s to answer" if timeout is not None else "timeoutSeconds is 1 by default",
    )


def _all_written(probe: Probe) -> bool:
    """Whether the probe leaves nothing to a preset that a controller merges in."""
    return all(
        probe.node.scalar(name) is not None
        for name in ("timeoutSeconds", "periodSeconds", "failureThreshold")
    )
