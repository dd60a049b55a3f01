"""How the model and the program reach vLLM: forms that end the process, or serve another model."""

from __future__ import annotations

from collections.abc import Iterator

from vllmlint.checks._args import REFUSED, Judgement, judgement
from vllmlint.facts.images import image_facts, is_official
from vllmlint.finding import Edit, Fix, Related, Severity
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.command import GRPC_MODULE
from vllmlint.serving.detect import entrypoint_of
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.server import Server

_MODULE = "python3 -m vllm.entrypoints.openai.api_server"
#: From this release on the module parses a positional model, and ignores it (vllm-command-line.md, 1).
_MODULE_TAKES_POSITIONAL = "0.10.0"


@record
class FormProblem:
    """What is wrong with the form of a command line.

    `errors` are the parser's errors that come of it, `words` the words that are unrecognized only
    because of it: other rules have nothing to say about them. `absent` is set when there is no model at all.
    """

    place: Place
    fact: str
    help: str
    label: str
    judged: Judgement
    related: tuple[Related, ...] = ()
    errors: tuple[ArgumentError, ...] = ()
    words: frozenset[int] = frozenset()
    severity: Severity | None = None
    fix: Fix | None = None
    absent: bool = False


def form_problem(server: Server) -> FormProblem | None:
    """The first thing wrong with how this server is given its program and its model."""
    invocation = server.invocation
    if invocation.opaque or invocation.untokenised is not None:
        return None
    if invocation.launcher and invocation.launcher[-1].text == GRPC_MODULE:
        return None
    return next(_problems(server), None)


def _problems(server: Server) -> Iterator[FormProblem]:
    for look in (
        _program_repeated,
        _model_option_refused,
        _served_name_first,
        _positional_ignored,
        _no_model,
    ):
        found = look(server)
        if found is not None:
            yield found


def _program_repeated(server: Server) -> FormProblem | None:
    """`args` that start with the program, in an image whose entrypoint is the program."""
    line, image = server.line, server.image
    if line.has_command or not line.argv or image is None or image.unresolved:
        return None
    facts = image_facts(image.full_repository)
    if server.workload.carrier == "other" or facts is None or facts.entrypoint != "official":
        return None
    first = line.argv[0].text
    if server.invocation.implied and first != "serve":
        return None
    if first is None:
        return None
    starts = "vllm serve" if entrypoint_of(server.release) == "serve" else _MODULE
    script = line.script is not None
    shown = " ".join(word.text or "…" for word in (*line.argv[:2],)) if not script else f"{first} -c"
    judged = judgement(server).at_least("high" if is_official(image.full_repository) else "medium")
    model = "the model" if server.model.place is None or server.invocation.implied else f"`{server.model.id}`"
    advice = (
        f'Move `{first} -c` from `args` to `command: ["{first}", "-c"]`.'
        if script
        else f'Start `args` with {model} alone, or write `command: ["vllm", "serve"]` beside it.'
    )
    arguments = server.arguments
    stray = server.invocation.implied
    return FormProblem(
        line.argv[0].place,
        f"the image's own entrypoint starts the server, and `args` only come after it: the container runs "
        f"`{starts} {shown} …`, takes `{first}` for an argument, and {REFUSED}",
        advice,
        "the entrypoint is not replaced",
        judged,
        (Related(image.node.content, f"starts `{starts}`"),),
        tuple(one for one in arguments.errors if one.kind == "unrecognized" and not one.flag)
        if stray
        else (),
        frozenset(arguments.positionals) if stray else frozenset(),
    )


def _model_option_refused(server: Server) -> FormProblem | None:
    """`vllm serve --model X` in the releases that refuse it."""
    arguments = server.arguments
    errors = tuple(
        error
        for error in arguments.errors
        if error.kind == "required" or (error.kind == "exception" and "via the `--model`" in error.message)
    )
    option = next((one for one in arguments.occurrences if one.name == "model"), None)
    if not errors or option is None:
        return None
    model = option.value if isinstance(option.value, str) else "MODEL"
    return FormProblem(
        server.flag_place(option),
        f"`vllm serve` of vLLM {server.release} does not start with `--model`: it wants the model as "
        f"its first argument; {REFUSED}",
        f"Write `vllm serve {model}`, without `--model`.",
        "refused by `vllm serve`",
        judgement(server),
        judgement(server).related,
        errors,
    )


def _served_name_first(server: Server) -> FormProblem | None:
    """`vllm serve --served-model-name a …` with the model behind it (0.17.0 and newer)."""
    error = next(
        (one for one in server.arguments.errors if "`model` should be provided" in one.message), None
    )
    if error is None or error.word is None:
        return None
    return FormProblem(
        server.word_place(error.word, *(error.span or (None, None))),
        f"vLLM {server.release} wants the model as the first argument where `--served-model-name` is given, "
        f"for that flag takes every word up to the next flag; {REFUSED}",
        "Put the model in front of all flags.",
        "the model must come first",
        judgement(server),
        judgement(server).related,
        (error,),
    )


def _positional_ignored(server: Server) -> FormProblem | None:
    """A positional model under the module, which refuses it or parses and ignores it."""
    arguments = server.arguments
    if arguments.entrypoint != "module" or not arguments.positionals:
        return None
    refuses = not server.release.at_least(_MODULE_TAKES_POSITIONAL)
    index = arguments.positionals[0]
    text = server.invocation.words[index].text
    if text is None or not _is_model(text) or (not refuses and arguments.positional != text):
        return None
    errors = tuple(
        error for error in arguments.errors if error.kind == "unrecognized" and error.word == index
    )
    if refuses and (not errors or arguments.model_source != "default"):
        return None
    return _module_problem(server, index, text, errors)


def _module_problem(
    server: Server, index: int, text: str, errors: tuple[ArgumentError, ...]
) -> FormProblem | None:
    arguments = server.arguments
    implied = server.invocation.implied
    given, default = arguments.model, flag_table(server.release).spec("--model").default
    if arguments.model_source not in {"default", "option", "config"} or given is None or given == text:
        return None
    starts = f"the image of vLLM {server.release} starts `{_MODULE}`, which"
    subject = starts if implied else f"the module of vLLM {server.release}"
    if errors:
        fact = f"{subject} takes the model by `--model` only: {REFUSED}"
    elif arguments.model_source == "default":
        fact = f"{subject} reads `{text}` and ignores it: it serves its default model, {default}"
    else:
        fact = f"{subject} ignores `{text}`: it serves `{given}`, the value of `--model`"
    place = server.word_place(index)
    default_served = arguments.model_source == "default"
    fix = None
    if default_served and place.text == text:
        fix = Fix("write it with --model", (Edit(place, f"--model={text}"),), safe=bool(errors))
    judged = judgement(server)
    return FormProblem(
        place,
        fact,
        (f"Write `--model={text}`" + ("." if implied else f", or start `vllm serve {text}`."))
        if default_served
        else "Remove it.",
        "not recognized" if errors else "ignored",
        judged if implied else judged.at_least("high"),
        judged.related,
        errors,
        frozenset({index}),
        severity=None if default_served else "warning",
        fix=fix,
    )


def _is_model(text: str) -> bool:
    """Whether a word may be meant as a model: not the value of a switch, not a setting without dashes."""
    return text.lower() not in {"true", "false", "0", "1"} and "=" not in text and " " not in text


def _no_model(server: Server) -> FormProblem | None:
    """A command line that names no model at all."""
    arguments = server.arguments
    if server.workload.carrier == "other" or not arguments.complete or "help" in arguments.settings:
        return None
    required = tuple(error for error in arguments.errors if error.kind == "required")
    if arguments.model_source != "default" and not required:
        return None
    judged = judgement(server)
    official = server.image is not None and is_official(server.image.full_repository)
    sure = (not server.invocation.implied or official) and bool(server.line.argv)
    fact = (
        f"no model is named, and `vllm serve` of vLLM {server.release} does not start without one: {REFUSED}"
    )
    if not required:
        default = flag_table(server.release).spec("--model").default
        fact = f"no model is named, so vLLM {server.release} downloads and serves its default, {default}"
    wanted = "`--model=org/name`"
    if arguments.entrypoint == "serve":
        wanted = "the model as the first argument"
    return FormProblem(
        server.anchor,
        fact,
        f"Write {wanted}.",
        "no model",
        judged.at_least("high" if sure else "medium"),
        errors=required,
        absent=True,
    )
