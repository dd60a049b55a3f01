"""`fit --compare-log`: the plans that stand beside a log."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from vllmlint.cli.fit_errors import FitUsageError
from vllmlint.cli.fit_input import (
    FitArguments,
    is_bare,
    named_gpus,
    plans,
    release_named,
    subject_of_command_line,
)
from vllmlint.cli.fit_log import append_row, read_log
from vllmlint.record import replace

if TYPE_CHECKING:
    from vllmlint.plans.fit import FitPlan
    from vllmlint.plans.startup_log import StartupLog


def compared_plans(arguments: FitArguments) -> Iterator[dict[str, Any]]:
    """The plans with what the log says of the same numbers, as data. Raises FitUsageError.

    Settings, model and release are the manifest's or the command line's where there is one, else the log's.
    """
    from vllmlint.plans.fit_compare import comparison_data
    from vllmlint.plans.fit_data import plan_data

    assert arguments.compare_log is not None
    log = read_log(arguments.compare_log)
    made = list(plans(arguments)) if arguments.paths else [_plan_of_log(arguments, log)]
    if arguments.append is not None:
        gpu = made[0].gpu if made else None
        if gpu is None:
            raise FitUsageError("--append: nothing tells the GPU, name it with --gpu")
        append_row(log, arguments.append, gpu, arguments.compare_log)
    for plan in made:
        data = plan_data(plan, explain=arguments.explain)
        yield {**data, "comparison": comparison_data(plan, log, arguments.compare_log)}


def _plan_of_log(arguments: FitArguments, log: StartupLog) -> FitPlan:
    from vllmlint.plans.fit import plan_subject
    from vllmlint.plans.fit_compare import gpu_of_log

    gpus = named_gpus(arguments)
    if gpus is None or arguments.gpu == "all":
        raise FitUsageError("--gpu is missing: a log does not name the GPU")
    gpu = gpus[0] if arguments.gpu_memory_gib is not None else gpu_of_log(gpus, log)
    return plan_subject(_subject(arguments, log), gpu)


def _subject(arguments: FitArguments, log: StartupLog) -> Any:
    from vllmlint.cli.fit_words import overriding
    from vllmlint.plans.fit_compare import subject_of_log
    from vllmlint.plans.fit_model import known_model
    from vllmlint.sources.models import models_outside

    if arguments.serve is not None and is_bare(arguments):
        release = arguments.release or (str(log.release) if log.release is not None else None)
        return subject_of_command_line(replace(arguments, release=release))
    name = arguments.model or log.model
    if name is None:
        raise FitUsageError("the log does not name the model: give it with --model")
    outside = models_outside(model_config=arguments.model_config, online=arguments.online)
    subject = subject_of_log(log, known_model(name, outside=outside))
    if subject.architecture is None:
        raise FitUsageError(subject.model_problem)
    asked = release_named(arguments.release)
    if asked is not None:
        subject = replace(subject, release=asked)
    return subject.changed(**overriding(arguments.settings, subject.release))
