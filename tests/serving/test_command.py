"""From `command` and `args` to the server's own words, each pointing at its characters in the file."""

from __future__ import annotations

import pytest
from serving_samples import command_line, invocation, pod, raw, texts, words

MODULE = "vllm.entrypoints.openai.api_server"


@pytest.mark.parametrize(
    ("command", "args", "entrypoint", "expected"),
    [
        (["vllm", "serve"], ["m", "--port=1"], "serve", ["m", "--port=1"]),
        ([], ["vllm", "serve", "m"], "serve", ["m"]),
        (["vllm", "serve", "m"], [], "serve", ["m"]),
        (["/usr/local/bin/vllm", "serve"], ["m"], "serve", ["m"]),
        (["python3", "-m", MODULE], ["--model", "m"], "module", ["--model", "m"]),
        (["python3", "-u", "-m", MODULE, "--port", "1"], [], "module", ["--port", "1"]),
        (["/opt/venv/bin/python", "-m", MODULE], [], "module", []),
        (["python", "-m", "vllm.entrypoints.cli.main", "serve", "m"], [], "serve", ["m"]),
        (
            ["python", "/app/vllm/entrypoints/openai/api_server.py", "--port", "1"],
            [],
            "module",
            ["--port", "1"],
        ),
        (["tini", "--", "vllm", "serve", "m"], [], "serve", ["m"]),
        (["/usr/bin/dumb-init", "--", "vllm", "serve", "m"], [], "serve", ["m"]),
        (["env", "A=b", "C=d", "vllm", "serve", "m"], [], "serve", ["m"]),
        (["numactl", "-N", "0", "vllm", "serve", "m"], [], "serve", ["m"]),
    ],
)
def test_list_form(command: list[str], args: list[str], entrypoint: str, expected: list[str]) -> None:
    found = invocation(pod(words(command=command, args=args)))
    assert found is not None
    assert (found.entrypoint, texts(found)) == (entrypoint, expected)
    assert found.script is None
    assert found.untokenised is None
    assert [word.text for word in (*found.launcher, *found.words)] == [*command, *args]


@pytest.mark.parametrize(
    "command",
    [
        ["vllm", "bench", "serve"],
        ["vllm"],
        ["serve", "vllm"],
        ["python", "-m", "vllm.benchmarks"],
        ["echo", "vllm", "serve", "m"],
        ["curl", "http://vllm", "serve"],
        ["sh", "-c", "echo vllm serve m"],
        ["sh", "-c", "# vllm serve m"],
        ["sh", "-c", "pgrep -f 'vllm serve'"],
        ["sh", "-c"],
        ["sh"],
        ["bash", "/scripts/start.sh"],
    ],
)
def test_what_starts_no_server(command: list[str]) -> None:
    assert invocation(pod(words(command=command))) is None


@pytest.mark.parametrize(
    "shell",
    [
        ["sh", "-c"],
        ["/bin/bash", "-c"],
        ["bash", "-lc"],
        ["bash", "-ec"],
        ["bash", "-ce"],
        ["bash", "-c", "-e"],
        ["bash", "-c", "--"],
        ["bash", "-e", "-c"],
        ["bash", "-euo", "pipefail", "-c"],
        ["bash", "-euxo", "pipefail", "-c"],
        ["bash", "-o", "pipefail", "-c"],
        ["bash", "-euo", "pipefail", "-O", "extglob", "-c"],
        ["bash", "--login", "-c"],
        ["bash", "--rcfile", "/x", "-c"],
        ["bash", "+e", "-c"],
        ["tini", "-g", "--", "sh", "-c"],
        ["env", "A=b", "sh", "-c"],
    ],
)
def test_shells(shell: list[str]) -> None:
    found = invocation(pod(words(command=shell, args=["exec vllm serve m --port 1"])))
    assert texts(found) == ["m", "--port", "1"]
    assert found is not None
    assert found.script is not None
    assert found.script.shell in {"sh", "bash"}


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("vllm serve m", ["m"]),
        ("exec vllm serve m", ["m"]),
        ("pip install x && vllm serve m", ["m"]),
        ("set -e; cd /app\nvllm serve m", ["m"]),
        ("vllm serve m \\\n  --port 1 \\\n  --host h", ["m", "--port", "1", "--host", "h"]),
        ("vllm serve m \\\r\n  --port 1", ["m", "--port", "1"]),
        ("M=one\nvllm serve $M", ["one"]),
        ('M=one; vllm serve "${M}-x"', ["one-x"]),
        ("vllm serve ${M:-fallback}", ["fallback"]),
        ("vllm serve m --api-key '$x y'", ["m", "--api-key", "$x y"]),
        ("vllm serve $(cat /model)", [None]),
        ("vllm serve $ENV_MODEL", ["from-env"]),
        ("vllm serve $(ENV_MODEL)", ["from-env"]),
        ("vllm serve m > /log 2>&1 &\nwait", ["m"]),
        ("HF_HOME=/x vllm serve m", ["m"]),
        ("timeout 100 vllm serve m", ["m"]),
        (f"python3 -m {MODULE} --model m", ["--model", "m"]),
        ("until curl -s http://x; do sleep 1; done; vllm serve m", ["m"]),
    ],
)
def test_scripts(script: str, expected: list[str | None]) -> None:
    fields = words(command=["sh", "-c", script]) + "env: [{name: ENV_MODEL, value: from-env}]\n"
    assert texts(invocation(pod(fields))) == expected


def test_the_arguments_of_a_script() -> None:
    found = invocation(pod(words(command=["sh", "-c", 'vllm serve "$1" $0'], args=["zero", "one"])))
    assert texts(found) == ["one", "zero"]


@pytest.mark.parametrize("empty", ["command: []\n", "command:\n", ""])
def test_without_words(empty: str) -> None:
    line = command_line(pod(empty))
    assert (line.argv, line.has_command, line.script) == ((), False, None)


def test_kubelet_variables_are_expanded_and_shell_variables_are_not() -> None:
    fields = (
        words(command=["vllm", "serve", "$(M)", "$M", "$$(M)", "$(GONE)"]) + "env: [{name: M, value: one}]\n"
    )
    assert texts(invocation(pod(fields))) == ["one", "$M", "$(M)", "$(GONE)"]


@pytest.mark.parametrize(
    ("command", "args", "expected"),
    [
        (["vllm serve m --port 1"], [], ["m", "--port", "1"]),
        (["vllm serve m"], ["--port", "1"], ["m", "--port", "1"]),
        ([], ["vllm serve m --port 1"], ["m", "--port", "1"]),
        ([f"python -m {MODULE} --model m"], [], ["--model", "m"]),
    ],
)
def test_a_command_line_in_one_word(command: list[str], args: list[str], expected: list[str]) -> None:
    found = invocation(pod(words(command=command, args=args)))
    assert texts(found) == expected
    assert found is not None
    assert found.untokenised is not None
    assert found.untokenised.text == (command or args)[0]
    assert found.words[0].place.text == expected[0]


FOLDED = """\
command:
  - /bin/sh
  - -c
args:
  - >-
    exec vllm serve
    "org/model"
    --port=8000
    --tensor-parallel-size $TP
    --served-model-name 'nâme' $(KEY)
env:
  - {name: TP, value: "2"}
  - {name: KEY, value: --trust-remote-code}
"""
LITERAL = """\
args:
  - sh
  - -c
  - |
    # é comes first
    exec vllm serve \\
      "org/model" --port=8000 \\
      --tensor-parallel-size $TP --served-model-name 'nâme' $(KEY)
env:
  - {name: TP, value: "2"}
  - {name: KEY, value: --trust-remote-code}
"""
QUOTED = (
    'command: ["bash", "-c"]\n'
    'args: ["exec vllm serve \\"org/model\\" --port=8000 \\\n'
    "   --tensor-parallel-size $TP --served-model-name 'nâme' $(KEY)\"]\n"
    'env: [{name: TP, value: "2"}, {name: KEY, value: --trust-remote-code}]\n'
)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("fields", [FOLDED, LITERAL, QUOTED], ids=["folded", "literal", "double quoted"])
def test_words_of_a_script_point_at_their_characters(fields: str, end: str) -> None:
    found = invocation(pod(fields).replace("\n", end).encode())
    assert texts(found) == [
        "org/model",
        "--port=8000",
        "--tensor-parallel-size",
        "2",
        "--served-model-name",
        "nâme",
        "--trust-remote-code",
    ]
    assert found is not None
    dressed = '\\"org/model\\"' if fields is QUOTED else '"org/model"'
    assert [raw(word.place) for word in found.words] == [
        dressed,
        "--port=8000",
        "--tensor-parallel-size",
        "$TP",
        "--served-model-name",
        "'nâme'",
        "$(KEY)",
    ]
    assert raw(found.words[0].part(0, 3)) == "org"
    assert raw(found.words[1].part(7, 11)) == "8000"
    assert raw(found.words[3].part(0, 1)) == "$TP"
    assert raw(found.words[5].part(0, 4)) == "nâme"
    assert raw(found.words[6].part(2, 7)) == "$(KEY)"
    assert raw(found.launcher[-1].place) == "serve"


@pytest.mark.parametrize(
    ("element", "part", "under"),
    [
        ("--port=8000", (7, 11), "8000"),
        ("'--port=8000'", (7, 11), "8000"),
        ('"--port=\\u0038000"', (7, 11), "\\u0038000"),
        ("--port=$(PORT)", (7, 11), "$(PORT)"),
        ("--port=$(PORT)1", (7, 12), "$(PORT)1"),
        (">-\n    --port=8000", (7, 11), "8000"),
    ],
)
def test_parts_of_list_elements(element: str, part: tuple[int, int], under: str) -> None:
    fields = f"command: [vllm, serve]\nargs:\n- {element}\nenv: [{{name: PORT, value: '8000'}}]\n"
    found = invocation(pod(fields))
    assert found is not None
    assert raw(found.words[0].part(*part)) == under
