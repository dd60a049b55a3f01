"""From a container's `command` and `args` to the words that the vLLM server gets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Literal

from vllmlint.kube.env import EnvVar
from vllmlint.kube.pods import Container
from vllmlint.manifest.nodes import Scalar
from vllmlint.record import record, replace
from vllmlint.serving.words import Word, shell_word, word_of

if TYPE_CHECKING:
    from vllmlint.serving.shell import Script, ShellCommand
    from vllmlint.serving.wrappers.wrapper import WordSource

EntryPoint = Literal["serve", "module"]
#: The text of a file at a path in the container; None when the run does not show it.
MountedFiles = Callable[[str], Scalar | None]
#: The value of a Go template expression; None when it cannot be told.
TemplateValues = Callable[[str], str | None]

SHELLS = frozenset({"sh", "bash", "dash", "ash", "zsh", "ksh"})
#: The server that speaks gRPC on its port, not HTTP (`vllm serve --grpc` in newer releases).
GRPC_MODULE = "vllm.entrypoints.grpc_server"
#: Modules that start the OpenAI-compatible server (vllm-command-line.md, section 1).
SERVER_MODULES = frozenset(
    {
        "vllm.entrypoints.openai.api_server",
        "vllm.entrypoints.launchers.api_server.entry",
        "vllm.entrypoints.api_server",
        GRPC_MODULE,
    }
)
#: NVIDIA Dynamo's worker: a vLLM engine that answers Dynamo's frontend, not HTTP clients.
DYNAMO_MODULE = "dynamo.vllm"
_SERVER_FILES = ("vllm/entrypoints/openai/api_server.py", "vllm/entrypoints/api_server.py")
#: Commands that only speak of a server.
_TALKERS = frozenset(
    {"echo", "printf", "grep", "pgrep", "pkill", "curl", "wget", "which", "cat", "sed", "awk"}
)
#: Long options of a shell that take the next word.
_SHELL_VALUE_OPTIONS = frozenset({"--rcfile", "--init-file"})


@record
class ShellScript:
    """A script given to a shell: `shell` is its base name, `word` the script, `parsed` its commands."""

    shell: str
    word: Word
    parsed: Script


@record
class Invocation:
    """How a container starts vLLM.

    `words` are those after `vllm serve` (or after the module); `launcher` those before. `command`
    is the shell command it stands in when a shell is between. `implied` is set when the image's
    entrypoint starts the server, so that `words` are the arguments of the container alone. `opaque`
    is set when a program that the manifest does not show starts it: `words` is then one unknown word.
    `untokenised` is the list element that holds a whole command line without a shell. `sources` says
    which fields of a wrapper object the first words come from. `serves_http` is False for an engine
    behind another process that answers the clients.
    """

    entrypoint: EntryPoint
    words: tuple[Word, ...]
    launcher: tuple[Word, ...]
    script: ShellScript | None = None
    command: ShellCommand | None = None
    implied: bool = False
    opaque: bool = False
    untokenised: Word | None = None
    sources: tuple[WordSource, ...] = ()
    serves_http: bool = True

    def source_of(self, index: int) -> WordSource | None:
        """Where a word comes from that is no argument of the container."""
        return next((source for source in self.sources if index < source.end), None)


@record
class CommandLine:
    """All words a container runs: `argv` is `command` and `args` after `$(VAR)` expansion."""

    argv: tuple[Word, ...]
    has_command: bool
    script: ShellScript | None


def read_command(
    container: Container,
    env: Mapping[str, EnvVar],
    *,
    env_complete: bool = True,
    mounted: MountedFiles | None = None,
    resolve: TemplateValues | None = None,
) -> CommandLine:
    """The command line of a container; a script of `sh -c`, or one from a ConfigMap, is parsed.

    `env_complete` is False when `envFrom` brings in variables that the run does not show; `mounted`
    gives the text of a file that a ConfigMap of the run puts into the container; `resolve` the value of
    a template expression that the controller of a wrapper kind fills in.
    """
    command = container.command or ()
    argv = tuple(word_of(node, env) for node in (*command, *(container.args or ())))
    if resolve is not None:
        from vllmlint.serving.wrappers.words import substituted

        argv = tuple(substituted(word, resolve) for word in argv)
    return CommandLine(
        argv, bool(command), _shell_script(argv, env, env_complete, mounted or (lambda _path: None))
    )


def explicit_invocation(line: CommandLine) -> Invocation | None:
    """The vLLM server that the words themselves start; None when they start none."""
    if line.script is not None:
        return _in_script(line.script)
    found = _find(line.argv)
    if found is not None:
        return found
    return _untokenised(line.argv)


def _untokenised(argv: tuple[Word, ...]) -> Invocation | None:
    """A whole command line in one list element: it cannot run, but tells what was meant."""
    for word in argv:
        text = word.text
        if text is None or not any(space in text.strip() for space in " \t\n") or "vllm" not in text:
            continue
        from vllmlint.serving.shell import parse_script

        words = [shell_word(part, word) for command in parse_script(text).commands for part in command.words]
        found = _find(tuple(words))
        if found is not None:
            rest = argv[argv.index(word) + 1 :]
            return replace(found, words=(*found.words, *rest), untokenised=word)
    return None


def _in_script(script: ShellScript) -> Invocation | None:
    for command in script.parsed.commands:
        words = tuple(shell_word(word, script.word) for word in command.words)
        found = _find(words)
        if found is not None:
            return replace(found, script=script, command=command)
    return None


def _find(words: tuple[Word, ...]) -> Invocation | None:
    """The server invocation in a list of words, behind whatever launcher stands before it."""
    if words and _base_name(words[0].text) in _TALKERS:
        return None
    for index, word in enumerate(words):
        text = word.text
        if text is None:
            continue
        following = words[index + 1].text if index + 1 < len(words) else None
        if _base_name(text) == "vllm" and following == "serve":
            return Invocation("serve", words[index + 2 :], words[: index + 2])
        if text == "-m" and following in SERVER_MODULES:
            return Invocation("module", words[index + 2 :], words[: index + 2])
        if (
            text == "-m"
            and following in {"vllm.entrypoints.cli.main", "vllm"}
            and _text(words, index + 2) == "serve"
        ):
            return Invocation("serve", words[index + 3 :], words[: index + 3])
        if text == "-m" and following == DYNAMO_MODULE:
            from vllmlint.serving.wrappers.dynamo_flags import engine_words

            engine = engine_words(words[index + 2 :])
            return Invocation("module", engine, words[: index + 2], serves_http=False)
        if text.endswith(_SERVER_FILES):
            return Invocation("module", words[index + 1 :], words[: index + 1])
    return None


def _shell_script(
    argv: tuple[Word, ...], env: Mapping[str, EnvVar], env_complete: bool, mounted: MountedFiles
) -> ShellScript | None:
    """The script of `sh -c SCRIPT`, `sh FILE` or `FILE`, the file being in a ConfigMap of the run."""
    start = _skip_launchers(argv)
    if start >= len(argv):
        return None
    shell = _base_name(argv[start].text)
    if shell not in SHELLS:
        file = mounted(argv[start].text or "")
        if file is None:
            return None
        shell, word, rest = _shebang_shell(file.text), _whole(file), argv[start + 1 :]
    else:
        found = _script_word(argv, start + 1, mounted)
        if found is None:
            return None
        word, rest = found
    # the shell reader and its grammar are loaded only where there is a script
    from vllmlint.serving.shell import parse_script

    known = {name: variable.value for name, variable in env.items()}
    positional = [one.text for one in rest]
    return ShellScript(
        shell, word, parse_script(word.text or "", known, positional, env_complete=env_complete)
    )


def _script_word(
    argv: tuple[Word, ...], index: int, mounted: MountedFiles
) -> tuple[Word, tuple[Word, ...]] | None:
    """The script that a shell's words give it, and the script's own arguments."""
    from_words = False
    while index < len(argv):
        option = argv[index].text
        if option is None:
            return None
        if not option.startswith(("-", "+")):
            break
        index += 1
        if option in {"-", "--"}:
            break
        if option.startswith("--"):
            index += option in _SHELL_VALUE_OPTIONS
            continue
        from_words = from_words or (option.startswith("-") and "c" in option)
        # each `o` in a bundle such as `-euo` takes a word of its own: `pipefail`
        index += option.count("o") + option.count("O")
    if index >= len(argv):
        return None
    word = argv[index]
    if from_words:
        return word, argv[index + 1 :]
    file = mounted(word.text or "")
    # behind a file's name its arguments start with $1: $0 is the name
    return None if file is None else (_whole(file), argv[index:])


def _whole(file: Scalar) -> Word:
    return Word(file.text, file, range(len(file.text) + 1), 0, len(file.text))


def _shebang_shell(text: str) -> str:
    """The shell that a script's first line names; sh where it names none."""
    first = text.partition("\n")[0]
    name = (
        _base_name(first.removeprefix("#!").split()[-1])
        if first.startswith("#!") and first[2:].split()
        else ""
    )
    return name if name in SHELLS else "sh"


def _skip_launchers(argv: Sequence[Word]) -> int:
    """Past `tini --`, `dumb-init`, `env A=b` and the like, which run the rest of the words."""
    index = 0
    while index < len(argv):
        name = _base_name(argv[index].text)
        if name not in {"tini", "dumb-init", "env", "exec", "nohup", "catatonit", "sudo"}:
            return index
        index += 1
        while index < len(argv) and (
            (argv[index].text or "").startswith("-") or "=" in (argv[index].text or "")
        ):
            index += 1
    return index


@lru_cache(maxsize=1024)
def _base_name(text: str | None) -> str:
    return PurePosixPath(text).name if text and "\n" not in text else ""


def _text(words: Sequence[Word], index: int) -> str | None:
    return words[index].text if index < len(words) else None
