"""Section lifecycle: what a server gets to know of its end, and how much time it has."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

from vllmlint.facts.images import is_official
from vllmlint.finding import Edit, Finding, Fix, Related
from vllmlint.manifest.nodes import Node, Scalar
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.command import ShellScript
from vllmlint.serving.server import Server
from vllmlint.serving.shell import ShellCommand, parse_script
from vllmlint.world import World

#: terminationGracePeriodSeconds where the pod names none (core/v1 PodSpec).
DEFAULT_GRACE_SECONDS = 30
#: Seconds vLLM needs for itself after the last request: engine teardown and process exit.
_MARGIN_SECONDS = 5
_SLEEP_AMOUNT = regex(r"(\d+(?:\.\d+)?)([smhd]?)\Z")
_UNIT_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
#: Image references whose /bin/sh is bash: built on Red Hat's base images (llm-d's Dockerfile.cuda too).
_BASH_AS_SH = regex(
    r"redhat|rhai|rhel|[/_.:-]ubi\d*\b|(^|/)(rhoai|modh|opendatahub|llm-d|llm-d-incubation)/|^quay\.io/vllm/|icr\.io/"
)
#: Repositories whose /bin/sh is dash: Debian and Ubuntu below vLLM's own, NVIDIA's and AMD's images.
_DASH_AS_SH = regex(r"(^|/)(vllm-openai[a-z0-9-]*|vllm/vllm-tpu|nvidia/vllm|rocm/vllm[^/]*)$")
#: What may stand after the last command so that bash still replaces itself by it (tried with bash 5.2).
_NOTHING_AFTER = regex(r"[ \t]*;?(?:[ \t]|\\\r?\n)*(?:[ \t]#[^\n]*)?\r?\n?\Z")
#: Words that bash runs itself, so that it stays.
_RUN_BY_SHELL = frozenset({"time", "eval", "command", "builtin", "source", ".", "!"})
_STOP_SIGNALS = frozenset({"TERM", "SIGTERM", "15", "EXIT", "0"})


def grace_period_too_short(server: Server, world: World) -> Iterator[Finding]:
    """A grace period that ends before the preStop sleep and the drain have."""
    workload = server.workload
    if workload.is_batch or server.is_headless:
        return
    written = workload.spec.scalar("terminationGracePeriodSeconds")
    grace = workload.spec.integer("terminationGracePeriodSeconds") if written else DEFAULT_GRACE_SECONDS
    if grace is None or (written is None and workload.carrier == "other"):
        return
    sleep, sleep_place = _pre_stop_sleep(server)
    drain = server.get("shutdown_timeout")
    known = drain.known and isinstance(drain.value, int) and not isinstance(drain.value, bool)
    drain_seconds = drain.value if known and drain.explicit else 0
    needed = math.ceil(sleep) + drain_seconds + _MARGIN_SECONDS
    if grace >= needed or (sleep == 0 and drain_seconds == 0):
        return
    parts = [(seconds, name) for seconds, name in ((sleep, "preStop"), (drain_seconds, "drain")) if seconds]
    spent = " + ".join(f"{seconds:g} s {name}" for seconds, name in parts)
    advised = -(-needed // 10) * 10
    places = [
        (written.content if written is not None else None, f"{grace} s"),
        (drain.place if drain_seconds else None, f"{drain_seconds} s to drain"),
        (sleep_place, f"{sleep:g} s before SIGTERM"),
    ]
    first, *others = [(place, label) for place, label in places if place is not None]
    is_default = " (the default)" if written is None else ""
    yield Finding(
        first[0],
        f"the pod is killed {grace} s after its stop begins{is_default}, but needs {needed} s "
        f"({spent} + {_MARGIN_SECONDS} s to exit): requests that still run are cut by SIGKILL",
        f"Write `terminationGracePeriodSeconds: {advised}` in the pod spec.",
        first[1],
        severity="error" if grace < needed - _MARGIN_SECONDS else "warning",
        related=tuple(Related(place, label) for place, label in others),
        fix=Fix(f"a grace period of {advised} s", (Edit(written.place, str(advised)),), safe=True)
        if written is not None
        else None,
    )


def _pre_stop_sleep(server: Server) -> tuple[float, Place | None]:
    """Seconds that the preStop hook sleeps at least, and the characters that say so."""
    hook = server.container.node.mapping("lifecycle", "preStop")
    if hook is None:
        return 0, None
    action = hook.scalar("sleep", "seconds")
    if action is not None:
        return hook.integer("sleep", "seconds") or 0, action.content
    sequence = hook.sequence("exec", "command")
    words = [item for item in sequence.items if isinstance(item, Scalar)] if sequence is not None else []
    texts = [word.text for word in words]
    if len(texts) >= 2 and _base_name(texts[0]) == "sleep":
        return sum(_seconds(text) for text in texts[1:]), words[1].content
    if len(texts) >= 3 and texts[1].startswith("-") and texts[1].endswith("c"):
        return _script_sleep(words[2])
    return 0, None


def _script_sleep(script: Scalar) -> tuple[float, Place | None]:
    """What a hook's script sleeps on every path; loops and branches count nothing."""
    total, place = 0.0, None
    for command in parse_script(script.text).commands:
        apart = command.conditional or command.background or command.piped or command.in_function
        if apart or len(command.words) < 2 or _base_name(command.words[0].text or "") != "sleep":
            continue
        total += sum(_seconds(word.text or "") for word in command.words[1:])
        place = place or script.part(command.words[1].start, command.words[1].end)
    return total, place


def _seconds(text: str) -> float:
    match = _SLEEP_AMOUNT.match(text)
    return float(match[1]) * _UNIT_SECONDS[match[2]] if match is not None else 0


def _base_name(text: str) -> str:
    return PurePosixPath(text).name


def shell_swallows_sigterm(server: Server, world: World) -> Iterator[Finding]:
    """A shell that stays in front of vLLM, so that SIGTERM never reaches it."""
    script, command = server.invocation.script, server.invocation.command
    if script is None or command is None or server.workload.is_batch or not server.invocation.launcher:
        return
    verdict = _shell_stays(server, script, command)
    if verdict is None or _forwards(server) or _handles_stop(script):
        return
    why, certain = verdict
    first = server.invocation.launcher[0]
    word = command.words[0].text or ""
    can_exec = command.is_last and not (
        command.piped or command.background or command.in_subshell or word in _RUN_BY_SHELL
    )
    yield Finding(
        first.place,
        f"`{script.shell}` {why} and vLLM is its child: {_consequence(server)}",
        _advice(command, word, can_exec),
        "runs below the shell",
        severity=None if certain else "warning",
        confidence="high" if certain else "medium",
        assumptions=() if certain else ("/bin/sh in the image is dash, as in vLLM's own images",),
        related=_other_halves(server),
        fix=Fix("exec vLLM", (Edit(first.place._replace(end=first.place.start), "exec "),), safe=True)
        if can_exec
        else None,
    )


def _shell_stays(server: Server, script: ShellScript, command: ShellCommand) -> tuple[str, bool] | None:
    """Why the shell is still there while vLLM runs, and whether that is certain; None when it is not.

    dash always stays (tried with 0.5.12); bash replaces itself by the last simple command of its
    script, unless that has a redirection, is part of a compound command, or a trap is set (bash 5.2).
    """
    apart = command.piped or command.background or command.in_subshell
    if command.words[0].text == "exec" and not apart:
        return None
    if script.shell not in {"sh", "dash", "bash"}:
        return None
    text = script.word.text or ""
    if command.piped:
        return "waits for the pipeline", True
    if command.background:
        return "waits for the background job", True
    if not command.is_last or command.in_function:
        return "has more to do after vLLM", True
    if _bash_replaces_itself(script, command, text):
        if script.shell == "bash":
            return None
        known = script.shell == "dash" or _is_dash(server)
        return None if known is None else ("keeps running", known)
    return "keeps running", True


def _bash_replaces_itself(script: ShellScript, command: ShellCommand, text: str) -> bool:
    """Whether bash would run this last command in its own place."""
    if command.in_subshell or command.words[0].text in _RUN_BY_SHELL:
        return False
    if any(one.words[0].text == "trap" for one in script.parsed.commands):
        return False
    gaps = zip(command.words, command.words[1:], strict=False)
    if any(re.search("[<>]", text[one.end : other.start]) for one, other in gaps):
        return False
    return _NOTHING_AFTER.match(text, command.end) is not None


def _is_dash(server: Server) -> bool | None:
    """Whether the image's `sh` is dash for certain; None where it is bash, False where nobody knows."""
    image = server.image
    if image is None or image.unresolved:
        return False
    if _BASH_AS_SH.search(image.reference):
        return None
    return is_official(image.full_repository) or _DASH_AS_SH.search(image.full_repository) is not None


def _forwards(server: Server) -> bool:
    """Whether an init in front of the shell signals the whole process group."""
    words = [word.text or "" for word in server.line.argv[:4]]
    if not words:
        return False
    first = _base_name(words[0])
    return first == "dumb-init" or (first in {"tini", "catatonit"} and _group_option(words[1:]))


def _group_option(words: Sequence[str]) -> bool:
    return any(re.fullmatch(r"-[A-Za-z]*g[A-Za-z]*", word) for word in words)


def _handles_stop(script: ShellScript) -> bool:
    """Whether the script sets a trap for the stop signal."""
    return any(
        command.words[0].text == "trap" and {word.text for word in command.words[2:]} & _STOP_SIGNALS
        for command in script.parsed.commands
    )


def _consequence(server: Server) -> str:
    first = _base_name(server.line.argv[0].text or "") if server.line.argv else ""
    drains = server.get("shutdown_timeout").explicit
    lost = "--shutdown-timeout has no effect" if drains else "vLLM cannot end in order"
    if first in {"tini", "catatonit"} or server.workload.spec.flag("shareProcessNamespace"):
        return f"SIGTERM ends the shell alone, vLLM is killed with it at once, and {lost}"
    spec = server.workload.spec
    grace = spec.integer("terminationGracePeriodSeconds") or DEFAULT_GRACE_SECONDS
    return f"SIGTERM never reaches it, so every stop takes the full {grace} s and ends in SIGKILL, and {lost}"


def _advice(command: ShellCommand, word: str, can_exec: bool) -> str:
    if can_exec:
        return f"Write `exec {word} …`, or start vLLM without a shell."
    if command.piped:
        return "Drop the pipe (Kubernetes keeps the log itself) and write `exec` before the command."
    if command.background or not command.is_last:
        return (
            "Start vLLM last and with `exec`, or trap TERM, pass it on to vLLM's process and wait for that."
        )
    return "Start vLLM as the last command of the script, with `exec`."


def _other_halves(server: Server) -> tuple[Related, ...]:
    """The settings that a shell in front makes useless."""
    timeout = server.get("shutdown_timeout")
    shell: Node | None = server.line.argv[0].scalar if server.line.argv else None
    related = [Related(shell.content, "gets the signal")] if isinstance(shell, Scalar) else []
    if timeout.explicit and timeout.flag_place is not None:
        related.append(Related(timeout.flag_place, "has no effect"))
    return tuple(related)
