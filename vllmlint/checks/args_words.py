"""Section args: command lines that are not split into words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePosixPath

from vllmlint.checks._args import REFUSED, is_split_later, joined_flag
from vllmlint.facts.images import image_facts
from vllmlint.finding import Confidence, Edit, Finding, Fix
from vllmlint.manifest.text import Place
from vllmlint.regex import regex
from vllmlint.serving.command import SHELLS
from vllmlint.serving.flag_tables import flag_table
from vllmlint.serving.server import Server
from vllmlint.serving.words import Word
from vllmlint.world import World

#: One flag and one plain value, or a flag whose dashes stand apart.
_FLAG_AND_VALUE = regex(r"(?P<flag>--?[A-Za-z][\w.-]*)(?P<gap>[ \t]+)(?P<value>[^\s'\"]+)[ \t]*")
_DASHES_APART = regex(r"--(?P<gap>[ \t]+)[A-Za-z][\w-]*(?:=\S*)?")


def command_not_tokenised(server: Server, world: World) -> Iterator[Finding]:
    """Several words of a command line in one list element, with no shell to split them."""
    whole = server.invocation.untokenised
    if is_split_later(server):
        return
    if whole is not None:
        yield _whole_command(whole, server)
    elif server.invocation.script is None:
        for index in range(len(server.invocation.words)):
            flag = joined_flag(index, server)
            if flag is not None:
                yield _joined(index, flag, server)


def _whole_command(word: Word, server: Server) -> Finding:
    """A whole command line in one element of `command` or `args`."""
    argv, text = server.line.argv, " ".join((word.text or "").split())
    words = text.split()
    shown = ", ".join(words[:3]) + (", …" if len(words) > 3 else "")
    run = " ".join(words[: 3 if words[0] == "exec" else 2]).removeprefix("exec ")
    advice = f"Write one list element for each word (`[{shown}]`), or run it in a shell: "
    advice += f'`command: ["/bin/sh", "-c"]` and `args: ["exec {run} …"]`.'
    program = PurePosixPath(argv[0].text or "").name
    confidence: Confidence = "high"
    assumptions: tuple[str, ...] = ()
    if word is argv[0] and server.line.has_command:
        fact = f"the runtime looks for a program whose name is this whole line (`{words[0]} …`), and "
        fact += "the container fails with `no such file or directory`"
    elif server.line.has_command and program in SHELLS:
        fact = f"`{program}` takes this line for the name of a script, for there is no `-c` in front of it"
        advice = f"Put `-c` between `{program}` and the line."
    else:
        fact = "without a shell this whole line is one argument, and the container exits at once"
        facts = image_facts(server.image.full_repository) if server.image is not None else None
        if not server.line.has_command and (facts is None or facts.entrypoint == "unknown"):
            confidence, assumptions = "medium", ("the image's entrypoint is no shell that takes a script",)
    return Finding(
        _first_line(word),
        fact,
        advice,
        "one element",
        confidence=confidence,
        assumptions=assumptions,
    )


def _joined(index: int, flag: str, server: Server) -> Finding:
    """A flag in one element with its value, or with other flags."""
    word = server.invocation.words[index]
    text = word.text or ""
    match = _FLAG_AND_VALUE.fullmatch(text)
    spec = flag_table(server.release).get(flag)
    fix = None
    advice = "Write one list element for each word."
    apart = _DASHES_APART.fullmatch(text)
    if match is not None and spec is not None and spec.takes_value and match["flag"] == flag:
        advice = f"Write `{flag}={match['value']}`, or two list elements."
        fix = Fix(
            "join them with `=`", (Edit(word.part(match.start("gap"), match.end("gap")), "="),), safe=True
        )
    elif apart is not None:
        advice = f"Write `{text.replace(apart['gap'], '', 1)}`."
        fix = Fix("remove the blank", (Edit(word.part(apart.start("gap"), apart.end("gap")), ""),), safe=True)
    return Finding(
        _first_line(word),
        f"no shell splits this element: to vLLM it is one argument, in which `{flag}` is no flag of its own; "
        f"{REFUSED}",
        advice,
        "one element",
        fix=fix,
    )


def _first_line(word: Word) -> Place:
    """The word, or its first line where it has several."""
    text = word.scalar.text[word.start : word.end]
    end = text.find("\n")
    return word.place if end <= 0 else word.scalar.part(word.start, word.start + end)
