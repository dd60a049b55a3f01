"""Section parallelism: flags of data and expert parallelism that exclude or need each other."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._args import REFUSED, judgement
from vllmlint.finding import Finding, Related
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.server import Server
from vllmlint.world import World

#: From this release on `vllm serve` refuses two modes; before, external balancing won silently
#: (vllm/entrypoints/cli/serve.py).
_MODES_EXCLUDE_SINCE = "0.15.0"


def dp_lb_modes_conflict(server: Server, world: World) -> Iterator[Finding]:
    """Two ways of sharing requests among data parallel engines."""
    if server.arguments.entrypoint != "serve" or not server.release.at_least(_MODES_EXCLUDE_SINCE):
        return
    modes = _modes(server)
    if len(modes) < 2:
        return
    (first, kept), (second, extra) = modes[:2]
    sure = judgement(server)
    yield Finding(
        server.flag_place(extra),
        f"`{extra.spelling}` means {second} load balancing and `{kept.spelling}` means {first} load "
        f"balancing, and vLLM {server.release} accepts only one of them: {REFUSED}",
        "Keep one: `--data-parallel-rank` where each rank is a pod of its own behind an external balancer, "
        "`--data-parallel-start-rank` where each pod balances among its own ranks.",
        f"{second} mode",
        confidence=sure.confidence,
        assumptions=sure.assumptions,
        related=(Related(server.flag_place(kept), f"{first} mode"), *sure.related),
    )


def eplb_without_expert_parallel(server: Server, world: World) -> Iterator[Finding]:
    """Balancing of experts over ranks in a server that has no expert parallel ranks."""
    eplb = server.get("enable_eplb")
    if eplb.value is not True or eplb.certainty == "unknown" or eplb.flag_place is None:
        return
    expert = server.get("enable_expert_parallel")
    if expert.certainty == "unknown":
        return
    sure = judgement(server)
    if expert.value is not True:
        off = (Related(expert.flag_place, "switched off"),) if expert.flag_place is not None else ()
        yield Finding(
            eplb.flag_place,
            "`--enable-eplb` moves experts between expert parallel ranks, but expert parallelism is off: "
            "vLLM ends with `enable_expert_parallel must be True to use EPLB`, and the pod restarts forever",
            "Add `--enable-expert-parallel`, or drop `--enable-eplb`.",
            "needs --enable-expert-parallel",
            confidence=sure.confidence,
            assumptions=sure.assumptions,
            related=(*off, *sure.related),
        )
    elif _single_rank(server):
        yield Finding(
            eplb.flag_place,
            "`--enable-eplb` moves experts between ranks, but tensor and data parallel size are both 1: "
            "vLLM ends with a ValueError (EPLB requires more than one rank), and the pod restarts forever",
            "Drop `--enable-eplb`, or spread the experts with `--tensor-parallel-size` or "
            "`--data-parallel-size`.",
            "only one rank",
            confidence=sure.confidence,
            assumptions=sure.assumptions,
            related=sure.related,
        )


def _modes(server: Server) -> list[tuple[str, Setting]]:
    """The load balancing modes that the flags ask for, each with the flag that does, in written order."""
    on = {
        name: setting
        for name, setting in server.arguments.settings.items()
        if name.startswith("data_parallel_") and setting.certain and setting.value not in (False, None)
    }
    multi = on.get("data_parallel_multi_port_external_lb")
    external = on.get("data_parallel_external_lb") or on.get("data_parallel_rank")
    hybrid = on.get("data_parallel_hybrid_lb")
    if hybrid is None and multi is None:
        # beside the supervisor of many ports a start rank is no mode of its own
        hybrid = on.get("data_parallel_start_rank")
    found = [("multi-port external", multi), ("external", external), ("hybrid", hybrid)]
    given = [(mode, setting) for mode, setting in found if setting is not None]
    return sorted(given, key=lambda pair: (pair[1].flag_word, pair[1].flag_span))


def _single_rank(server: Server) -> bool:
    """Whether tensor, prefill context and data parallel sizes are 1 for certain."""
    if "VLLM_DP_SIZE" in server.env:
        return False
    for name in ("tensor_parallel_size", "prefill_context_parallel_size", "data_parallel_size"):
        value = server.get(name)
        if not value.known or value.value not in (1, None):
            return False
    return True
