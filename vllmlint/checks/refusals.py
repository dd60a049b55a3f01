"""What vLLM's own configuration step refuses for a model, its arguments and the GPU.

One rule for each kind of cause, all from the same resolved configuration.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from vllmlint.checks._fit import (
    Scope,
    assumptions_of,
    confidence_of,
    gpu_related,
    plans_of,
    refusal_place,
    scope_of,
)
from vllmlint.finding import Finding, Related
from vllmlint.serving.server import Server
from vllmlint.world import World

if TYPE_CHECKING:
    from vllmlint.engine.config import Refusal
    from vllmlint.plans.fit import FitPlan

#: Parallel sizes that the model's dimensions refuse.
_INDIVISIBLE = frozenset(
    {
        *("tp-does-not-divide-heads", "tp-does-not-divide-kv-heads", "tp-does-not-divide-vocabulary"),
        *("tp-does-not-divide-intermediate", "tp-above-experts", "experts-not-divisible"),
        *("pipeline-stage-without-layers", "pipeline-parallel-unsupported", "dcp-above-kv-replicas"),
        *("dcp-does-not-divide-query-groups", "dcp-does-not-divide-tp", "dcp-tp-not-above-kv-heads"),
    }
)
_QUANTIZED_SHAPE = frozenset({"tp-does-not-divide-quantized-weight"})
_EXPERTS = frozenset({"expert-parallel-on-dense-model"})
_METHOD_AND_GPU = frozenset({"quantization-needs-newer-gpu"})
_CONTRADICTION = frozenset({"quantization-mismatch", "quantization-config-missing", "quantization-dtype"})
_DTYPE = frozenset({"bfloat16-needs-ampere", "float16-unsupported-model"})
_CACHE_DTYPE = frozenset(
    {"fp8-cache-unsupported", "kv-cache-dtype-not-model-dtype", "nvfp4-kv-cache-with-mla", "v4-cache-dtype"}
)
_LENGTH = frozenset({"max-model-len-above-model"})
_ARCHITECTURE = frozenset(
    {"architecture-removed", "architecture-unsupported", "architecture-newer-than-release"}
)
_EXTERNAL_DP = frozenset({"dp-external-lb-dense-model"})
#: Causes that rules of other sections report from the command line alone, or from the memory plan.
_ELSEWHERE = frozenset(
    {
        *(
            "batched-tokens-below-max-model-len",
            "batched-tokens-below-max-num-seqs",
            "data-parallel-size-local",
        ),
        *("eplb-on-one-rank", "eplb-without-expert-parallel", "gpu-memory-utilization-range"),
        *("quantization-unknown", "quantization-deprecated", "world-size-above-gpus"),
        *("no-memory-for-kv-cache", "kv-cache-cannot-hold-max-len", "kv-cache-cannot-auto-fit"),
        *("free-memory-below-utilization", "out-of-memory-beside-budget"),
        "given-cache-exceeds-gpu",
    }
)
_OWN_RULE = (
    _INDIVISIBLE
    | _QUANTIZED_SHAPE
    | _EXPERTS
    | _METHOD_AND_GPU
    | _CONTRADICTION
    | _DTYPE
    | _CACHE_DTYPE
    | _LENGTH
    | _ARCHITECTURE
    | _EXTERNAL_DP
)
#: Settings without which, on a checkpoint that is not quantised, nothing but the GPU can be refused.
_TELLING = (
    *("tensor_parallel_size", "pipeline_parallel_size", "decode_context_parallel_size", "max_model_len"),
    *("enable_expert_parallel", "quantization", "kv_cache_dtype", "dtype", "data_parallel_rank"),
    *("data_parallel_external_lb", "speculative_config", "block_size"),
)
#: What stands in for the GPU where nothing tells it: it takes every dtype and method, so that what is refused
#: on it has other causes.
_ANY_GPU = "nvidia-h100-80gb-sxm"


def tp_indivisible(server: Server, world: World) -> Iterator[Finding]:
    """A parallel size that does not divide the model."""
    yield from _findings(
        server,
        world,
        _INDIVISIBLE,
        "Choose sizes that divide the model's heads, KV heads and layers.",
        "does not divide the model",
    )


def quantized_shape_indivisible(server: Server, world: World) -> Iterator[Finding]:
    """Shards of a quantised weight that no longer hold whole blocks or groups."""
    yield from _findings(
        server,
        world,
        _QUANTIZED_SHAPE,
        "Lower `--tensor-parallel-size` (for experts, `--enable-expert-parallel` keeps them whole), or "
        "use another checkpoint.",
        "cuts through quantised blocks",
    )


def expert_parallel_on_dense_model(server: Server, world: World) -> Iterator[Finding]:
    """Expert parallelism for a model without experts."""
    yield from _findings(server, world, _EXPERTS, "Remove `--enable-expert-parallel`.", "no experts")


def quantization_needs_newer_gpu(server: Server, world: World) -> Iterator[Finding]:
    """A quantisation method that the GPU cannot compute."""
    yield from _findings(
        server,
        world,
        _METHOD_AND_GPU,
        "Select a newer GPU, or a checkpoint quantised by another method (AWQ and GPTQ run on older ones).",
        "needs a newer GPU",
    )


def quantization_contradicts_checkpoint(server: Server, world: World) -> Iterator[Finding]:
    """`--quantization` or `--dtype` that the checkpoint's own quantisation does not allow."""
    yield from _findings(
        server,
        world,
        _CONTRADICTION,
        "Remove `--quantization`: vLLM reads the method from the checkpoint's config.json.",
        "contradicts the checkpoint",
    )


def bfloat_on_pre_ampere(server: Server, world: World) -> Iterator[Finding]:
    """A number format that the GPU, or the model, does not work in."""
    yield from _findings(
        server,
        world,
        _DTYPE,
        "Write `--dtype=half`, or select GPUs of compute capability 8.0 and up (A100, L4, L40S, H100).",
        "not on this GPU",
    )


def kv_cache_dtype_unsupported(server: Server, world: World) -> Iterator[Finding]:
    """A KV cache format that no attention backend of the GPU and release takes."""
    yield from _findings(
        server,
        world,
        _CACHE_DTYPE,
        "Write `--kv-cache-dtype=auto`, or select a GPU whose backends take it.",
        "no backend takes it",
    )


def max_model_len_above_model(server: Server, world: World) -> Iterator[Finding]:
    """A context length beyond what the model's config.json allows."""
    yield from _findings(
        server,
        world,
        _LENGTH,
        "Write a length up to the model's, or extend it the way the model's authors say "
        "(`--hf-overrides` with its rope parameters; since 0.30.0 with max_position_embeddings too).",
        "beyond the model",
    )


def architecture_not_in_release(server: Server, world: World) -> Iterator[Finding]:
    """A model whose class this release does not have."""
    yield from _findings(
        server,
        world,
        _ARCHITECTURE,
        "Use a release that serves this architecture.",
        f"not in vLLM {server.release}",
    )


def dp_external_lb_dense_model(server: Server, world: World) -> Iterator[Finding]:
    """External load balancing among data parallel ranks of a model without experts."""
    yield from _findings(
        server,
        world,
        _EXTERNAL_DP,
        "Remove the data parallel flags and run replicas: ranks of a dense model share nothing.",
        "for models with experts only",
    )


def engine_refuses_configuration(server: Server, world: World) -> Iterator[Finding]:
    """Anything else that vLLM's configuration refuses for this model and GPU."""
    others = frozenset(_by_rule(server, world)) - _OWN_RULE - _ELSEWHERE
    yield from _findings(server, world, others, "Change what the message names.", "refused")


def _findings(
    server: Server, world: World, rules: frozenset[str], help_text: str, label: str
) -> Iterator[Finding]:
    for refusal, plan, scope in _refused(server, world, rules):
        yield _finding(server, refusal, plan, scope, help_text, label)


def _refused(server: Server, world: World, rules: frozenset[str]) -> Iterator[tuple[Refusal, FitPlan, Scope]]:
    """The refusals of some kinds, each with its first plan and the GPUs it stands for."""
    for rule, found in _by_rule(server, world).items():
        memory = found[0].memory
        if rule in rules and memory is not None and memory.refusal is not None:
            yield memory.refusal, found[0], scope_of(found, _judged(server, world))


def _by_rule(server: Server, world: World) -> dict[str, list[FitPlan]]:
    """The plans that fail, by the rule of their refusal; gathered once for the rules of this module."""
    found: dict[str, list[FitPlan]] | None = server.memo.get("refused plans")
    if found is None:
        found = server.memo["refused plans"] = {}
        for plan in _judged(server, world):
            refusal = plan.memory.refusal if plan.memory is not None else None
            if refusal is not None:
                found.setdefault(refusal.rule, []).append(plan)
    return found


def _judged(server: Server, world: World) -> Sequence[FitPlan]:
    """The plans of a server whose arguments are all told, on the GPUs it may get or on the stand-in."""
    plans = plans_of(server, world)
    if any(plan.subject.problems or plan.subject.without for plan in plans):
        return ()
    if any(plan.gpu is not None for plan in plans):
        return [plan for plan in plans if plan.gpu is not None]
    if not plans or plans[0].subject.architecture is None or not _has_something_to_refuse(server, plans[0]):
        return ()
    return [_on_any_gpu(server, plans[0])]


def _has_something_to_refuse(server: Server, plan: FitPlan) -> bool:
    architecture = plan.subject.architecture
    quantised = architecture is not None and bool(architecture.part("quantization_config"))
    return quantised or any(server.get(name).explicit for name in _TELLING)


def _on_any_gpu(server: Server, plan: FitPlan) -> FitPlan:
    """The plan on the stand-in; what it says of memory is not looked at."""
    found: FitPlan | None = server.memo.get("fit on any GPU")
    if found is None:
        from vllmlint.hardware.gpus import gpu_by_id
        from vllmlint.plans.fit import plan_subject

        found = server.memo["fit on any GPU"] = plan_subject(plan.subject, gpu_by_id(_ANY_GPU))
    return found


def _finding(
    server: Server, refusal: Refusal, plan: FitPlan, scope: Scope, help_text: str, label: str
) -> Finding:
    told = plan.pool is not None or bool(_tells_gpu(server))
    place = refusal_place(server, refusal)
    model = server.model.place
    related = [Related(model, "the model")] if model is not None and model != place else []
    if told:
        related += gpu_related(server, plan)
    where = f" {scope.text}" if told else ""
    return Finding(
        place,
        f"vLLM {plan.subject.release} refuses to start{where}: {refusal.message.rstrip('.')}",
        help_text,
        label,
        severity=None if scope.everywhere else "warning",
        confidence=confidence_of(server, scope, plan),
        assumptions=assumptions_of(scope, plan),
        related=tuple(related),
    )


def _tells_gpu(server: Server) -> bool:
    """Whether the plans of a server are for GPUs that the manifest or the contract tells."""
    plans: Sequence[FitPlan] = server.memo.get("fit", ())
    return any(plan.gpu is not None for plan in plans)
