"""Section pinning: what a start script fetches before the server runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Literal

from vllmlint.finding import Finding, Related
from vllmlint.manifest.text import Place
from vllmlint.record import record
from vllmlint.regex import regex
from vllmlint.serving.command import SHELLS, ShellScript
from vllmlint.serving.server import Server
from vllmlint.serving.shell import ShellCommand
from vllmlint.serving.words import shell_word
from vllmlint.world import World

Kind = Literal["packages", "pinned packages", "system", "repository", "pipe"]

_PIP = regex(r"pip(?:\d(?:\.\d+)?)?\Z")
_PYTHON = regex(r"python(?:\d(?:\.\d+)?)?\Z")
#: Package managers, with the words that make them fetch something.
_MANAGERS: dict[str, frozenset[str]] = {
    "apt": frozenset({"install", "update", "upgrade", "full-upgrade", "dist-upgrade"}),
    "apt-get": frozenset({"install", "update", "upgrade", "dist-upgrade"}),
    "apk": frozenset({"add", "update", "upgrade"}),
    "yum": frozenset({"install", "update", "upgrade"}),
    "dnf": frozenset({"install", "update", "upgrade"}),
    "microdnf": frozenset({"install", "update", "upgrade"}),
    "conda": frozenset({"install", "create", "update"}),
    "mamba": frozenset({"install", "create", "update"}),
    "micromamba": frozenset({"install", "create", "update"}),
    "npm": frozenset({"install", "i", "ci"}),
}
#: Programs that run the rest of their words.
_WRAPPERS = frozenset({"sudo", "env", "exec", "time", "nohup", "command", "nice", "timeout", "eval"})
#: Options of pip that take the next word.
_PIP_VALUES = frozenset(
    {
        "-c",
        "--constraint",
        "-e",
        "--editable",
        "-f",
        "--find-links",
        "-i",
        "--index-url",
        "--extra-index-url",
        "-t",
    }
    | {
        "--target",
        "--prefix",
        "--root",
        "--python",
        "-p",
        "--timeout",
        "--retries",
        "--trusted-host",
        "--proxy",
    }
)
_REQUIREMENTS = frozenset({"-r", "--requirement"})
#: A requirement that always means the same files: an exact version, or a commit of a repository.
_PINNED = regex(r"[^=<>~!]+==[^*]+\Z|.*@[0-9a-f]{40}(?:#.*)?\Z")
#: What does most harm comes first.
_ORDER: tuple[Kind, ...] = ("packages", "pipe", "pinned packages", "repository", "system")
_LONGEST = 60
_CONSEQUENCES: dict[Kind, str] = {
    "packages": "no pod starts while the package index is down, and unpinned packages bring what is newest"
    " that day, torch and transformers included",
    "pinned packages": "no pod starts while the package index is down, and every cold start waits for the"
    " download",
    "system": "no pod starts while the package mirror is down, and packages are whatever is newest that day",
    "repository": "no pod starts while the Git host is down, and the code is what its branch holds that day",
    "pipe": "the shell runs whatever that address sends at that moment",
}


@record
class _Fetch:
    """A command that fetches software: `kind` says from where, `update` that it installs nothing itself."""

    kind: Kind
    place: Place
    shown: str
    conditional: bool
    update: bool


def runtime_pip_install(server: Server, world: World) -> Iterator[Finding]:
    """Software that is installed at every start, before the server."""
    script, serve = server.invocation.script, server.invocation.command
    if script is None or serve is None or server.workload.is_batch:
        return
    fetches = list(_fetches(script, serve))
    if not fetches:
        return
    first = min(fetches, key=lambda fetch: (fetch.update, _ORDER.index(fetch.kind)))
    others = [fetch for fetch in fetches if fetch is not first]
    pinned = all(fetch.kind == "pinned packages" for fetch in fetches)
    yield Finding(
        first.place,
        f"every start of this container runs `{first.shown}`: {_CONSEQUENCES[first.kind]}",
        "Build an image that holds it (`FROM` this image, `RUN` this command) and name that image by digest.",
        "runs at every start",
        "warning" if pinned else None,
        "medium" if first.conditional else "high",
        ("the branch of the script is taken",) if first.conditional else (),
        tuple(Related(fetch.place, "fetched at every start too") for fetch in others),
    )


def _fetches(script: ShellScript, serve: ShellCommand) -> Iterator[_Fetch]:
    commands = [command for command in script.parsed.commands if command.start < serve.start]
    for index, command in enumerate(commands):
        texts = _without_wrappers([word.text or "" for word in command.words])
        kind, last = _kind(texts), command
        following = commands[index + 1] if index + 1 < len(commands) else None
        if kind is None and following is not None and _pipes_to_shell(texts, command, following):
            kind, last = "pipe", following
        if kind is None:
            continue
        start = shell_word(command.words[0], script.word).start
        end = shell_word(last.words[-1], script.word).end
        place = script.word.scalar.part(start, end)
        update = kind == "system" and ("update" in texts or "upgrade" in texts)
        yield _Fetch(kind, place, _shortened(place.text), command.conditional, update)


def _shortened(text: str) -> str:
    line = " ".join(part for part in text.split() if part != "\\")
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1].rstrip() + "…"


def _without_wrappers(texts: list[str]) -> list[str]:
    while texts and PurePosixPath(texts[0]).name in _WRAPPERS:
        timed = PurePosixPath(texts[0]).name == "timeout"
        texts = texts[1:]
        while texts and (texts[0].startswith("-") or "=" in texts[0]):
            texts = texts[1:]
        texts = texts[1:] if timed else texts
    return texts


def _kind(texts: list[str]) -> Kind | None:
    """What a command fetches; None when it fetches no software."""
    name = PurePosixPath(texts[0]).name if texts else ""
    if _PYTHON.match(name) and texts[1:2] == ["-m"]:
        texts = texts[2:]
        name = texts[0] if texts else ""
    if name == "uv" and texts[1:2] in (["add"], ["sync"]):
        return "packages"
    if name == "uv":
        texts = texts[1:]
        name = texts[0] if texts else ""
    words = [text for text in texts[1:] if not text.startswith("-")]
    if _PIP.match(name):
        return _pip_kind(texts[texts.index("install") + 1 :]) if words[:1] == ["install"] else None
    if name == "git" and words[:1] == ["clone"]:
        return "repository"
    return "system" if name in _MANAGERS and words and words[0] in _MANAGERS[name] else None


def _pip_kind(arguments: list[str]) -> Kind | None:
    """What `pip install ARGUMENTS` fetches; None when everything is in the image already."""
    if "--no-index" in arguments:
        return None
    wanted: list[str] = []
    index = 0
    while index < len(arguments):
        argument = arguments[index]
        if argument in _REQUIREMENTS or argument.startswith("--requirement="):
            return "packages"
        index += 2 if argument in _PIP_VALUES else 1
        if not argument.startswith("-"):
            wanted.append(argument)
    local = all(text.startswith(("/", "./", "../", "file:")) or text == "." for text in wanted)
    if local and "--no-deps" in arguments:
        return None
    return "pinned packages" if wanted and all(_PINNED.match(text) for text in wanted) else "packages"


def _pipes_to_shell(texts: list[str], command: ShellCommand, following: ShellCommand) -> bool:
    """Whether `curl … | sh` starts here."""
    fetches = bool(texts) and PurePosixPath(texts[0]).name in {"curl", "wget"}
    if not (fetches and command.piped and following.piped):
        return False
    runs = _without_wrappers([word.text or "" for word in following.words])
    return bool(runs) and (
        PurePosixPath(runs[0]).name in SHELLS or bool(_PYTHON.match(PurePosixPath(runs[0]).name))
    )
