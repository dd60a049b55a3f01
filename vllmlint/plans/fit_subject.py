"""What a plan is about: a server of a manifest or a command line, as vLLM's settings, model and release."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from vllmlint.kube.env import UNKNOWN_MARK, EnvVar
from vllmlint.models.architecture import ModelArchitecture
from vllmlint.models.lookup import at_most
from vllmlint.plans.fit_model import KnownModel
from vllmlint.plans.fit_settings import MEMORY_VARIABLES, bears_on_memory
from vllmlint.record import record
from vllmlint.serving.arg_results import UNKNOWN, ParsedArguments
from vllmlint.serving.release import Release, known_releases
from vllmlint.severity import Confidence

if TYPE_CHECKING:
    from vllmlint.serving.server import Server


@record
class FitSubject:
    """What vLLM is told, as far as it is known.

    `settings` holds the arguments that are given, `without` names those of them that hold on some paths
    of a script only. `problems` say what cannot be told and keeps a verdict from being one; a model
    without `architecture` is told by `model_problem`. `assumptions` are what the plan takes for granted.
    `confidence` is how sure model and release are. `gpu_count` is the number of GPUs of one pod, None where
    it is not known or another pod has more.
    """

    server: Server | None
    model_id: str
    architecture: ModelArchitecture | None
    model_problem: str
    release: Release
    settings: Mapping[str, Any]
    without: frozenset[str]
    env: Mapping[str, str]
    gpu_count: int | None
    problems: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    confidence: Confidence = "high"

    def changed(self, **settings: Any) -> FitSubject:
        """The same with other settings; None takes one away."""
        merged = {name: value for name, value in {**self.settings, **settings}.items() if value is not None}
        return FitSubject(
            self.server,
            self.model_id,
            self.architecture,
            self.model_problem,
            self.release,
            merged,
            self.without - frozenset(settings),
            self.env,
            self.gpu_count,
            self.problems,
            self.assumptions,
            self.confidence,
        )


def subject_of_arguments(
    arguments: ParsedArguments, model: KnownModel, env: Mapping[str, str] | None = None
) -> FitSubject:
    """A bare command line."""
    settings, problems = {}, []
    for name, setting in arguments.settings.items():
        if name in {"model", "config"}:
            continue
        if setting.value is UNKNOWN:
            if bears_on_memory(name, arguments.release):
                problems.append(f"{setting.spelling} has a value that cannot be told")
        else:
            settings[name] = setting.value
    if arguments.config is not None and not arguments.config.expanded:
        problems.append(
            f"the file of --config {arguments.config.path or ''} is not at hand".replace("  ", " ")
        )
    return FitSubject(
        None,
        model.id,
        model.architecture,
        model.problem,
        arguments.release,
        settings,
        frozenset(),
        env or {},
        None,
        tuple(problems),
        (*model.assumptions, *_newer(arguments.release)),
        at_most(model.confidence, "medium") if _newer(arguments.release) else model.confidence,
    )


def _newer(release: Release) -> list[str]:
    """What is taken for granted of a release that came after those that are known."""
    newest = known_releases()[-1]
    if release.key <= newest.key:
        return []
    return [f"vLLM {release} does as {newest} does, the newest release that is known"]


def subject_of_server(
    server: Server,
    model: KnownModel,
    *,
    release: Release | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> FitSubject:
    """A server of a manifest; `release` and `overrides` win over what the manifest says."""
    from vllmlint.serving.ranks import runs_in_one_pod

    chosen = release or server.release
    settings, without, problems = _settings_of(server, chosen, frozenset(overrides or ()))
    environment, hidden = _environment_of(server)
    problems += hidden
    assumptions = list(model.assumptions)
    confidence = model.confidence
    if release is None and server.release_certainty == "assumed":
        assumptions.append(f"vLLM {chosen}, the newest release known: the image does not tell")
        confidence = at_most(confidence, "medium")
    if _newer(chosen):
        assumptions += _newer(chosen)
        confidence = at_most(confidence, "medium")
    counted = server.gpu_count if runs_in_one_pod(server) else None
    return FitSubject(
        server,
        model.id,
        model.architecture,
        model.problem,
        chosen,
        {**settings, **(overrides or {})},
        frozenset(without) - frozenset(overrides or ()),
        environment,
        counted,
        tuple(problems),
        tuple(assumptions),
        confidence,
    )


def _settings_of(
    server: Server, release: Release, overridden: frozenset[str]
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The given settings, the names of those that hold on some paths only, and what cannot be told."""
    settings: dict[str, Any] = {}
    without: list[str] = []
    problems: list[str] = []
    if not server.arguments_known:
        problems.append("part of the command line cannot be told")
    if server.arguments.errors:
        problems.append(f"vLLM refuses the command line: {server.arguments.errors[0].message}")
    for name in dict.fromkeys((*server.arguments.settings, *server.injected)):
        if name in {"model", "config"} or name in overridden:
            continue
        value = server.get(name)
        if value.certainty == "unknown":
            if bears_on_memory(name, release):
                problems.append(f"{flag(name)}: {value.reason or 'its value cannot be told'}")
            continue
        settings[name] = value.value
        if value.certainty == "depends" and bears_on_memory(name, release):
            without.append(name)
    return settings, without, problems


def _environment_of(server: Server) -> tuple[dict[str, str], list[str]]:
    """The variables whose values are told, those before the command in a script last, and what is hidden."""
    values: dict[str, str | None] = {name: _told(variable) for name, variable in server.env.items()}
    command = server.invocation.command
    if command is not None:
        values |= command.assignments
    told = {name: value for name, value in values.items() if value is not None}
    hidden = sorted(MEMORY_VARIABLES & {name for name, value in values.items() if value is None})
    return told, [f"the value of {name} cannot be told" for name in hidden]


def _told(variable: EnvVar) -> str | None:
    """A variable's value; None where any of its characters cannot be told."""
    return None if variable.value is None or UNKNOWN_MARK in variable.value else variable.value


def flag(name: str) -> str:
    """A setting as it is written on a command line."""
    return "--" + name.replace("_", "-")
