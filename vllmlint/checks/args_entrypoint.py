"""Section args: command lines that the release's own parser refuses, or reads in another form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from difflib import get_close_matches

from vllmlint.checks._args import REFUSED, Judgement, is_split_later, joined_flag, judgement
from vllmlint.checks._entrypoint import form_problem
from vllmlint.checks._methods import method_life
from vllmlint.finding import Finding, Related
from vllmlint.manifest.text import Place
from vllmlint.record import replace
from vllmlint.regex import regex
from vllmlint.serving.arg_errors import ArgumentError
from vllmlint.serving.arg_results import Setting
from vllmlint.serving.arguments import parse_arguments
from vllmlint.serving.detect import entrypoint_of
from vllmlint.serving.flag_tables import FlagSpec, flag_table
from vllmlint.serving.release import Release
from vllmlint.serving.server import Server
from vllmlint.world import World

#: A text that somebody, or another tool, has still to fill in.
_UNFILLED = regex(r"\$[({A-Za-z_]|\{\{|<[A-Za-z_][A-Za-z_ -]*>|\0")
_JSON_TYPES = frozenset({"json", "json_or_str", "kv"})
#: Checks behind the parser that have rules of their own: tool-choice-without-parser, dp-lb-modes-conflict,
#: headless-with-api-servers.
_ELSEWHERE = frozenset(
    {
        ("validate", "--enable-auto-tool-choice"),
        ("command", "--data-parallel-hybrid-lb"),
        ("command", "--data-parallel-multi-port-external-lb"),
        ("command", "--api-server-count"),
    }
)
#: Releases that stand for the others where the image tells none: what all of them refuse is refused.
_SAMPLE = tuple(
    release
    for text in ("0.6.6.post1", "0.8.5", "0.10.2", "0.12.0", "0.16.0", "0.20.2", "0.26.0", "0.33.0")
    if (release := Release.parse(text)) is not None
)
_SIGNS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
_HUMAN_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false"}
#: Limits that every release checks somewhere: CacheConfig by a statement of its own before its fields had
#: limits, the port by the socket.
_ALWAYS: dict[str, dict[str, float]] = {
    "gpu_memory_utilization": {"gt": 0, "le": 1},
    "port": {"ge": 0, "le": 65535},
}
#: What has more digits is no number to suggest.
_LONGEST_NUMBER = 30
#: Numbers with a suffix that vLLM does not read: `32Ki`, `8kb`, `1.5K`.
_ODD_NUMBER = regex(r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[kKmMgGtT])(?P<rest>[iI]?[bB]?)\Z")
_UNIT = {"k": 1, "m": 2, "g": 3, "t": 4}


def argument_refused(server: Server, world: World) -> Iterator[Finding]:
    """Arguments that end the process with an error, unknown flags and bad JSON aside."""
    if server.invocation.opaque or server.invocation.untokenised is not None:
        return
    form = form_problem(server)
    for error in server.arguments.errors:
        known = form is not None and error in form.errors
        if not known and _is_mine(error, server):
            yield _refused(error, server)
    for setting in server.arguments.settings.values():
        yield from _beyond_limit(setting, server)


def wrong_entrypoint_form(server: Server, world: World) -> Iterator[Finding]:
    """A program or a model that does not reach vLLM in the form its entrypoint reads."""
    problem = form_problem(server)
    if problem is None:
        return
    if problem.absent and "model" in world.contract(server.object).serving.require_explicit:
        # setting-left-to-default says so
        return
    yield Finding(
        problem.place,
        problem.fact,
        problem.help,
        problem.label,
        problem.severity,
        problem.judged.confidence,
        problem.judged.assumptions,
        problem.related,
        problem.fix,
    )


def _is_mine(error: ArgumentError, server: Server) -> bool:
    """Whether no other rule reports an error of the parser."""
    if error.kind in {"unrecognized", "ambiguous"}:
        return False
    if (error.stage, error.flag) in _ELSEWHERE:
        return False
    text = _text(error, server)
    if text and error.word is not None and joined_flag(error.word, server) is not None:
        return False
    if _UNFILLED.search(text) or (is_split_later(server) and re.search(r"[\s\"'$]", text)):
        return False
    spec = _spec(error, server)
    if error.kind == "invalid_choice" and spec is not None:
        value = _value_text(error, server)
        if value is not None and method_life(spec.name, value, server.release) is not None:
            return False
    is_json = spec is not None and spec.type in _JSON_TYPES
    if spec is not None and spec.name == "--lora-modules":
        is_json = "=" not in text or "," in text
    return not (is_json and error.stage == "parse" and error.kind in {"invalid_value", "exception", "usage"})


def _spec(error: ArgumentError, server: Server) -> FlagSpec | None:
    return flag_table(server.release).get(error.flag) if error.flag else None


def _text(error: ArgumentError, server: Server) -> str:
    """The word an error is about, as vLLM gets it; empty when it is about none, NUL when it is not known."""
    if error.word is None or not 0 <= error.word < len(server.invocation.words):
        return ""
    text = server.invocation.words[error.word].text
    return "\0" if text is None else text


def _value_text(error: ArgumentError, server: Server) -> str | None:
    """The value an error is about."""
    if error.span is None:
        return None
    return _text(error, server)[error.span[0] : error.span[1]] or None


def _place(error: ArgumentError, server: Server) -> Place:
    setting = _setting(error, server)
    if error.word is None or error.word < 0:
        config = server.arguments.config
        if setting is not None:
            return server.value_place(setting)
        return (
            server.word_place(config.word)
            if config is not None and config.word is not None
            else server.anchor
        )
    return server.word_place(error.word, *(error.span or (None, None)))


def _setting(error: ArgumentError, server: Server) -> Setting | None:
    spec = _spec(error, server)
    return server.arguments.settings.get(spec.key) if spec is not None else None


def _judged(error: ArgumentError, server: Server) -> Judgement:
    """How sure it is: what every release refuses does not depend on which one the image holds."""
    judged = judgement(server)
    if judged.confidence == "high":
        return judged
    words = [word.text for word in server.invocation.words]
    for release in _SAMPLE:
        invocation = server.invocation
        entrypoint = entrypoint_of(release) if invocation.implied else invocation.entrypoint
        errors = parse_arguments(words, release, entrypoint).errors
        if not any(one.word == error.word and one.kind == error.kind for one in errors):
            return judged
    return replace(judged, confidence="high", assumptions=(), related=())


def _refused(error: ArgumentError, server: Server) -> Finding:
    judged = _judged(error, server)
    fact, advice, label = _words(error, server)
    command = server.invocation.command
    if command is not None and command.conditional:
        judged = judged.less_sure()
    return Finding(
        _place(error, server),
        f"{fact}: {REFUSED}",
        advice,
        label,
        confidence=judged.confidence,
        assumptions=judged.assumptions,
        related=judged.related,
    )


def _words(error: ArgumentError, server: Server) -> tuple[str, str, str]:
    """The fact, the advice and the label for an error."""
    spec, value = _spec(error, server), _value_text(error, server)
    name = f"`{spec.name}`" if spec is not None else "the command line"
    if error.kind == "exit":
        return "`--help` prints a text and ends the process", "Remove it.", "ends the process"
    if error.kind == "needs_value" and spec is not None:
        return _needs_value(error, spec, server)
    if error.kind == "takes_no_value" and spec is not None:
        return _takes_no_value(spec, value or "")
    if error.kind == "invalid_choice" and spec is not None:
        return _choice(spec, value or "", server.release)
    if error.kind == "invalid_value" and spec is not None and spec.type != "list" and value is not None:
        return _bad_value(spec, value, error, server.release)
    reason = _reason(error.message)
    return f"vLLM {server.release} refuses {name} ({reason})", _advice(error, reason), "refused"


def _needs_value(error: ArgumentError, spec: FlagSpec, server: Server) -> tuple[str, str, str]:
    following = ""
    if error.word is not None and 0 <= error.word + 1 < len(server.invocation.words):
        following = server.invocation.words[error.word + 1].text or ""
    count = "at least one value" if spec.nargs == "+" else "a value"
    fact = f"`{spec.name}` wants {count} and gets none"
    advice = f"Write `{spec.name}=…` with the value, or remove the flag."
    if following.startswith("-"):
        fact += f", for `{following.partition('=')[0]}` reads as the next flag"
        if spec.takes_value and not following.startswith("--"):
            advice = f"Write `{spec.name}={following}`: a value that starts with a dash needs the `=`."
    return fact, advice, "no value"


def _takes_no_value(spec: FlagSpec, value: str) -> tuple[str, str, str]:
    negation = next((one for one in spec.negations if one.startswith("--no-")), None)
    advice = f"Write `{spec.name}` alone."
    if value.lower() in {"false", "0", "no", "off", "none"}:
        advice = (
            f"Write `{negation}`." if negation else f"Remove `{spec.name}`: without it the switch is off."
        )
    return (
        f"`{spec.name}` is a switch and takes no value (ignored explicit argument {value!r})",
        advice,
        "no value here",
    )


def _choice(spec: FlagSpec, value: str, release: Release) -> tuple[str, str, str]:
    choices = [str(each) for each in spec.choices]
    near = get_close_matches(value.lower(), choices, 1)
    shown = ", ".join(choices[:12]) + (", …" if len(choices) > 12 else "")
    advice = f"Write `{spec.name}={near[0]}`." if near else f"Choose from {shown}."
    return (
        f"`{spec.name}` of vLLM {release} does not know `{value}` (invalid choice; it takes {shown})",
        advice,
        "invalid choice",
    )


def _bad_value(spec: FlagSpec, value: str, error: ArgumentError, release: Release) -> tuple[str, str, str]:
    wanted = _HUMAN_WORDS.get(spec.type, "another value")
    reason = _reason(error.message)
    label = f"not {wanted}" if spec.type in _HUMAN_WORDS else "invalid value"
    fact = f"`{spec.name}` of vLLM {release} wants {wanted} ({reason})"
    match = _ODD_NUMBER.fullmatch(value.strip())
    if match is None or spec.type != "int" or len(value) > _LONGEST_NUMBER:
        return fact, f"Write {wanted} behind `{spec.name}`.", label
    unit = match["unit"]
    binary = unit.isupper() or match["rest"][:1] in {"i", "I"}
    factor = (1024 if binary else 1000) ** _UNIT[unit.lower()]
    number = round(float(match["number"]) * factor)
    return fact, f"Write `{spec.name}={number}`.", label


def _reason(message: str) -> str:
    """What argparse or the exception says, without the flag's names and long lists."""
    text = re.sub(r"\Aargument [^:]+: ", "", " ".join(message.split()))
    text = re.sub(r"\A(?:ValueError|TypeError|AssertionError): (?:Error: )?", "", text)
    return text if len(text) <= 160 else text[:159] + "…"


def _advice(error: ArgumentError, reason: str) -> str:
    needed = re.search(r"requires (--[a-z-]+)", reason)
    if needed is not None:
        return f"Add `{needed[1]}`, or remove `{error.flag}`."
    if error.flag == "--config":
        return "Write `--config FILE` once, as two words, with a .yaml file behind it."
    return f"Change or remove `{error.flag}`." if error.flag else "Correct the arguments as the message says."


def _beyond_limit(setting: Setting, server: Server) -> Iterator[Finding]:
    """A number outside the limits of the release's config class."""
    spec, value = setting.spec, setting.value
    if spec is None or not setting.certain or isinstance(value, bool) or not isinstance(value, int | float):
        return
    # a configuration reads -1 as "not limited" or "auto" where the flag says so itself
    limits = _ALWAYS.get(spec.key, spec.limits)
    broken = next((sign for sign, bound in limits.items() if not _within(value, sign, bound)), None)
    if broken is None:
        return
    bound = limits[broken]
    shown = int(bound) if float(bound).is_integer() else bound
    judged = judgement(server)
    others = [flag_table(release).get(spec.name) for release in _SAMPLE]
    if spec.key in _ALWAYS or all(one is None or broken in one.limits for one in others):
        judged = judged.at_least("high")
    yield Finding(
        server.value_place(setting),
        f"`{spec.name}` must be {_SIGNS[broken]} {shown}: vLLM {server.release} refuses {value}; {REFUSED}",
        f"Write a value that is {_SIGNS[broken]} {shown}, or remove the flag.",
        f"must be {_SIGNS[broken]} {shown}",
        confidence=judged.confidence,
        assumptions=judged.assumptions if judged.confidence != "high" else (),
        related=_twin(setting, server),
    )


def _twin(setting: Setting, server: Server) -> tuple[Related, ...]:
    """The flag itself, where its value stands on another line."""
    flag, value = server.flag_place(setting), server.value_place(setting)
    return (Related(flag, "value of this flag"),) if flag.line != value.line else ()


def _within(value: float, sign: str, bound: float) -> bool:
    return {"ge": value >= bound, "gt": value > bound, "le": value <= bound, "lt": value < bound}[sign]
