"""What `vllmlint fit` is asked: options checked, servers or a command line read, plans made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vllmlint.cli.fit_errors import FitUsageError, UnreachableError
from vllmlint.record import record, replace
from vllmlint.serving.release import Release, known_releases

if TYPE_CHECKING:
    from vllmlint.hardware.gpu import Gpu
    from vllmlint.plans.fit import FitPlan
    from vllmlint.plans.fit_subject import FitSubject


@record
class FitArguments:
    """The options of `vllmlint fit`, as given; `serve` are the words after `--` (None: there is no `--`)."""

    paths: Sequence[str]
    serve: Sequence[str] | None
    model: str | None
    release: str | None
    gpu: str | None
    gpu_memory_gib: float | None
    model_config: str | None
    online: bool
    settings: Sequence[str]
    concurrency: int | None
    format: str
    explain: bool
    nodes: Sequence[str]
    compare_log: str | None
    append: str | None
    stdin_filename: str
    contract: str | None


def plan_document(arguments: FitArguments) -> dict[str, Any]:
    """The plans that are asked for, in the shape of `fit --format json`. Raises FitUsageError."""
    from vllmlint.plans.fit_data import fit_document
    from vllmlint.sources.files import SourceError

    _check(arguments)
    try:
        with hub_answers(arguments.online):
            if arguments.compare_log is not None:
                from vllmlint.cli.fit_compare import compared_plans

                return fit_document(compared_plans(arguments))
            return fit_document(_data(plan, arguments) for plan in plans(arguments))
    except SourceError as error:
        raise FitUsageError(str(error)) from error


@contextmanager
def hub_answers(online: bool) -> Iterator[None]:
    """Tell a hub that does not answer from everything else that can go wrong."""
    if not online:
        yield
        return
    from vllmlint.sources.hub import HubUnreachableError

    try:
        yield
    except HubUnreachableError as error:
        raise UnreachableError(str(error)) from error


def _check(arguments: FitArguments) -> None:
    if arguments.format not in {"text", "json"}:
        raise FitUsageError(f"--format {arguments.format!r}: choose one of text, json")
    if arguments.concurrency is not None and arguments.concurrency < 1:
        raise FitUsageError(f"--concurrency {arguments.concurrency}: at least 1")
    if arguments.serve is not None and arguments.paths:
        raise FitUsageError("give manifests or a command line behind `--`, not both")
    if arguments.append is not None and arguments.compare_log is None:
        raise FitUsageError("--append writes what --compare-log reads: give that too")
    if arguments.compare_log is not None:
        return
    if not is_bare(arguments) and not arguments.paths:
        raise FitUsageError(
            "nothing to plan: give manifests, --model, or a command line as in"
            " `vllmlint fit --gpu h100 -- meta-llama/Llama-3.1-8B-Instruct --max-model-len 32768`"
        )


def is_bare(arguments: FitArguments) -> bool:
    """Whether a command line is planned for, not manifests."""
    named = arguments.model is not None or arguments.model_config is not None
    return arguments.serve is not None or (named and not arguments.paths)


def plans(arguments: FitArguments) -> Iterator[FitPlan]:
    """The plans that are asked for. Raises FitUsageError, SourceError and HubUnreachableError."""
    gpus = named_gpus(arguments)
    return (
        _plans_of_command_line(arguments, gpus)
        if is_bare(arguments)
        else _plans_of_manifests(arguments, gpus)
    )


def _data(plan: FitPlan, arguments: FitArguments) -> dict[str, Any]:
    from vllmlint.hardware.gpus import gpu_by_id, gpu_ids
    from vllmlint.plans.fit import for_requests
    from vllmlint.plans.fit_data import plan_data
    from vllmlint.plans.fit_suggest import suggest

    suggestions: tuple[Any, ...] = ()
    if arguments.gpu != "all":
        known = (gpu_by_id(one) for one in gpu_ids())
        others = [gpu for gpu in known if gpu is not None and _is_for_servers(gpu)]
        suggestions = suggest(plan, arguments.concurrency, others)
    answer = for_requests(plan, arguments.concurrency)
    return plan_data(answer, suggestions, explain=arguments.explain)


def _is_for_servers(gpu: Gpu) -> bool:
    """Whether a GPU is one to suggest for a cluster: NVIDIA's data-centre cards."""
    return gpu.vendor == "nvidia" and ("-rtx-" not in gpu.id or gpu.id.endswith("-server"))


def release_named(text: str | None) -> Release | None:
    """The release of `--release`; None where it is not given. Raises FitUsageError."""
    if text is None:
        return None
    release = Release.parse(text)
    if release is None:
        raise FitUsageError(f"--release {text!r}: write a vLLM release such as 0.33.0")
    return release


def named_gpus(arguments: FitArguments) -> tuple[Gpu, ...] | None:
    """The GPUs of `--gpu`; None where the manifest decides. Raises FitUsageError."""
    name, memory = arguments.gpu, arguments.gpu_memory_gib
    if memory is not None and memory <= 0:
        raise FitUsageError(f"--gpu-memory-gib {memory:g}: more than 0")
    if name is None:
        return None
    from vllmlint.hardware.gpus import find_gpu, gpu_by_id, gpu_ids, nearest_gpu
    from vllmlint.plans.fit import can_plan

    if name == "all":
        if memory is not None:
            raise FitUsageError("--gpu-memory-gib is about one GPU: name it instead of `all`")
        known = (gpu_by_id(one) for one in gpu_ids())
        return tuple(gpu for gpu in known if gpu is not None and gpu.memory_gib is not None and can_plan(gpu))
    found = find_gpu(name)
    if not found:
        near = nearest_gpu(name)
        hint = f": did you mean {near}?" if near else "; `--gpu all` shows those that are known"
        raise FitUsageError(f"no GPU {name!r} is known{hint}")
    return found if memory is None else tuple(_with_memory(gpu, memory) for gpu in found[:1])


def _with_memory(gpu: Gpu, memory_gib: float) -> Gpu:
    return replace(gpu, memory_gib=memory_gib, memory_certainty="stated")


def _plans_of_command_line(arguments: FitArguments, gpus: Sequence[Gpu] | None) -> Iterator[FitPlan]:
    from vllmlint.plans.fit import plan_subject

    if gpus is None:
        raise FitUsageError("--gpu is missing: a command line does not tell the GPU (`--gpu all` tries all)")
    subject = subject_of_command_line(arguments)
    for gpu in gpus:
        for one in _sizes(subject, arguments):
            yield plan_subject(one, gpu)


def _sizes(subject: FitSubject, arguments: FitArguments) -> Iterator[FitSubject]:
    """For `--gpu all` the subject at each tensor parallel size, else as it is."""
    if arguments.gpu != "all":
        yield subject
        return
    for size in (1, 2, 4, 8):
        yield subject.changed(tensor_parallel_size=size)


def subject_of_command_line(arguments: FitArguments) -> FitSubject:
    from vllmlint.cli.fit_words import parsed_words
    from vllmlint.plans.fit_model import known_model
    from vllmlint.plans.fit_subject import subject_of_arguments
    from vllmlint.sources.models import models_outside

    release = release_named(arguments.release) or known_releases()[-1]
    model = arguments.model
    if model is None and not arguments.serve:
        model = arguments.model_config
    parsed = parsed_words(arguments.serve or (), model, arguments.settings, release)
    outside = models_outside(model_config=arguments.model_config, online=arguments.online)
    revision = parsed.get("revision")
    told = revision if isinstance(revision, str) else None
    known = known_model(parsed.model or "", revision=told, outside=outside)
    subject = subject_of_arguments(parsed, known)
    if subject.architecture is None:
        raise FitUsageError(subject.model_problem)
    return subject


def _plans_of_manifests(arguments: FitArguments, gpus: Sequence[Gpu] | None) -> Iterator[FitPlan]:
    from vllmlint.cli.check import contract_error_lines, read_stdin
    from vllmlint.cli.fit_words import overriding
    from vllmlint.lint.contracts import ContractError
    from vllmlint.lint.outside import outside_of
    from vllmlint.lint.run import RunOptions, Shard
    from vllmlint.plans.fit import plan_subject
    from vllmlint.plans.fit_world import plans_of_subject, subject_in

    try:
        inputs = read_stdin(arguments.paths, arguments.stdin_filename)
        options = RunOptions(inputs, contract_path=arguments.contract, node_files=arguments.nodes)
        shard = Shard(options, inputs)
    except ContractError as error:
        raise FitUsageError(*contract_error_lines(error)) from error
    shard.world.models_outside = outside_of(
        shard.contracts, model_config=arguments.model_config, online=arguments.online
    )
    shard.world.build_servers()
    release = release_named(arguments.release)
    for facts in shard.world.files:
        for server in facts.servers:
            chosen = release or server.release
            overrides = overriding(arguments.settings, chosen)
            subject = subject_in(
                server, shard.world, release=release, overrides=overrides, model=arguments.model
            )
            if gpus is None:
                memory = arguments.gpu_memory_gib
                yield from plans_of_subject(subject, server, shard.world, gpu_memory_gib=memory)
            else:
                yield from (plan_subject(one, gpu) for gpu in gpus for one in _sizes(subject, arguments))
