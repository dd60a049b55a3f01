"""Static reading of `sh -c` scripts: commands, circumstances, offsets and robustness."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vllmlint.serving.shell import MAX_SCRIPT, Script, ShellCommand, parse_script

ENV: dict[str, str | None] = {
    "MODEL": "meta-llama/Llama-3.1-8B",
    "PORT": "8000",
    "EMPTY": "",
    "EXTRA": "--a  1",
    "LEAD": " x ",
    "SECRET": None,
}


def words(command: ShellCommand) -> list[str | None]:
    """Texts of a command's words."""
    return [word.text for word in command.words]


def last_words(
    script: str, env: Mapping[str, str | None] | None = None, positional: Sequence[str | None] | None = None
) -> list[str | None]:
    """Texts of the words of the script's last command, without its name."""
    parsed = parse_script(script, ENV if env is None else env, positional)
    assert parsed.errors == ()
    return words(parsed.commands[-1])[1:]


def named(script: Script, name: str) -> list[ShellCommand]:
    """Commands of a script by their first word."""
    return [command for command in script.commands if command.words[0].text == name]


def test_loop_body_does_not_see_stale_values() -> None:
    script = parse_script("A=1; while x; do vllm $A; A=2; done")
    assert [words(command) for command in named(script, "vllm")] == [["vllm", None]]


def test_function_body_sees_what_does_not_change_later() -> None:
    script = parse_script("A=1; B=1; run() { local c=3; vllm $A $B $c $1; }; B=2; run x")
    (command,) = named(script, "vllm")
    assert words(command) == ["vllm", "1", None, "3", None]
    assert command.in_function
    assert command.conditional
    assert not command.is_last


def test_positional_parameters_of_the_shell() -> None:
    given_words = ["name", "a b", None]
    assert last_words('vllm "$0" "$@" $1 $2 "$3" ${3:-d}', {}, given_words) == [
        *("name", "a b", None, "a", "b", None, "", "d"),
    ]
    assert last_words('vllm "$*" ${1+set}', {}, ["sh", "a", "b"]) == ["a b", "set"]
    assert last_words('vllm "$@" x', {}, []) == ["x"]
    assert last_words("vllm $0", {}, []) == [None]


def test_variables_at_the_end() -> None:
    script = parse_script("A=1; B=$X; C=(1); export D=2; unset E; f() { F=1; }; (G=1); H=1 vllm")
    assert script.variables == {"A": "1", "B": None, "C": None, "D": "2"}
    assert dict(script.commands[-1].assignments) == {"H": "1"}


def test_prefix_assignments() -> None:
    script = parse_script('A=1 B="$A x" C=$NOWHERE vllm serve $A')
    (command,) = script.commands
    assert dict(command.assignments) == {"A": "1", "B": "1 x", "C": None}
    assert words(command) == ["vllm", "serve", None]
    assert script.variables == {}


@pytest.mark.parametrize(
    ("script", "flags"),
    [
        ("vllm", "is_last"),
        ("exec vllm", "is_last"),
        ("vllm; wait", ""),
        ("vllm; exit 1", ""),
        ("vllm\n# done\n", "is_last"),
        ("vllm & wait", "background"),
        ("vllm &", "is_last background"),
        ("exec vllm; x", "is_last"),
        ("x && vllm", "is_last"),
        ("x && vllm &", "is_last background"),
        ("vllm && x", ""),
        ("x || vllm", "is_last conditional"),
        ("[ -f x ] && vllm", "is_last conditional"),
        ("x || y && vllm", "is_last"),
        ("[ -f x ] && a && vllm", "is_last conditional"),
        ("vllm | tee log", "is_last piped"),
        ("vllm 2>&1 | tee log; x", "piped"),
        ("vllm |& tee log", "is_last piped"),
        ("if x; then vllm; fi", "is_last conditional"),
        ("if vllm; then x; fi", ""),
        ("if x; then y; elif vllm; then z; fi", "conditional"),
        ("if x; then y; else vllm; fi; z", "conditional"),
        ("if x; then exec vllm; fi; z", "is_last conditional"),
        ("case $X in a) vllm;; *) x;; esac", "is_last conditional"),
        ("while x; do vllm; done", "conditional"),
        ("until vllm; do x; done", ""),
        ("for i in 1; do vllm; done", "conditional"),
        ("(cd x; vllm)", "is_last in_subshell"),
        ("(exec vllm); x", "in_subshell"),
        ("{ vllm; } > log", "is_last"),
        ("{ vllm; } | tee", "is_last piped"),
        ("! vllm", "is_last"),
        ("run() { vllm; }; run", "conditional in_function"),
        ("function run { exec vllm; }\nrun", "is_last conditional in_function"),
        ("cat <<EOF | vllm\nx\nEOF", "is_last piped"),
        ("cat <<EOF && vllm\nx\nEOF\nx", ""),
    ],
)
def test_circumstances(script: str, flags: str) -> None:
    parsed = parse_script(script)
    assert parsed.errors == ()
    (command,) = [c for c in parsed.commands if "vllm" in words(c)]
    names = ("is_last", "conditional", "piped", "background", "in_function", "in_subshell")
    assert " ".join(name for name in names if getattr(command, name)) == flags


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("vllm a >log 2>&1 </dev/null", [["vllm", "a"]]),
        ("vllm a 2>/dev/null b >c d", [["vllm", "a", "b", "d"]]),
        (">log vllm a", [["vllm", "a"]]),
        ("vllm 2>&- a", [["vllm", "a"]]),
        ("exec > >(tee log) 2>&1\nvllm", [["exec"], ["vllm"]]),
        ("cat <<EOF > x\nvllm $A 'not\nEOF\nvllm", [["cat"], ["vllm"]]),
        ("cat <<-'EOF'\n\tvllm\n\tEOF\nvllm a", [["cat"], ["vllm", "a"]]),
        ('cat <<< "x"', [["cat"]]),
        ("nohup vllm a", [["nohup", "vllm", "a"]]),
        ("time vllm a", [["time", "vllm", "a"]]),
        ("a $(b; c) `d`", [["a", None, None]]),
        ("[ -f x ]; [[ a ]]; A=1", []),
        ("export A=1; unset B", [["export", "A=1"], ["unset", "B"]]),
        ("vllm a \\\n  # comment\n --x 1", [["vllm", "a"], ["--x", "1"]]),
        ("vllm a \\\n  --b \\\n", [["vllm", "a", "--b"]]),
        ("$EMPTY", []),
        ("", []),
        ("# only a comment", []),
        ("a\r\nb \\\r\n  c\r\n", [["a"], ["b", "c"]]),
    ],
)
def test_commands(script: str, expected: list[list[str | None]]) -> None:
    parsed = parse_script(script, ENV)
    assert parsed.errors == ()
    assert [words(command) for command in parsed.commands] == expected


def test_api_server_with_continuations() -> None:
    text = (
        "exec python3 -m vllm.entrypoints.openai.api_server \\\n"
        '  --model "$MODEL" \\\n'
        "  --port=$PORT 2>&1 | tee /var/log/vllm.log\n"
    )
    server, tee = parse_script(text, ENV).commands
    assert words(server) == [
        *("exec", "python3", "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", "meta-llama/Llama-3.1-8B", "--port=8000"),
    ]
    assert words(tee) == ["tee", "/var/log/vllm.log"]
    assert server.piped
    assert text[server.start : server.end].endswith("--port=$PORT")
    model, port = server.words[-2:]
    assert text[model.start : model.end] == '"$MODEL"'
    assert set(model.offsets) == {text.index("$MODEL")}
    assert text[slice(*model.span(0, 4))] == "$MODEL"
    assert text[slice(*port.span(0, 6))] == "--port"
    assert text[slice(*port.span(7, 11))] == "$PORT"
    assert text[slice(*port.span(0, 11))] == "--port=$PORT"


def test_install_then_serve() -> None:
    script = parse_script('pip install "flashinfer==0.2" && vllm serve $MODEL --tensor-parallel-size 8', ENV)
    pip, serve = script.commands
    assert words(pip) == ["pip", "install", "flashinfer==0.2"]
    assert words(serve)[:3] == ["vllm", "serve", "meta-llama/Llama-3.1-8B"]
    assert serve.is_last
    assert not serve.conditional


def test_wait_for_prefill_then_serve() -> None:
    text = "until curl -sf http://prefill:8000/health; do sleep 1; done; vllm serve m --port 8001"
    curl, sleep, serve = parse_script(text).commands
    assert not curl.conditional
    assert sleep.conditional
    assert serve.is_last
    assert words(serve) == ["vllm", "serve", "m", "--port", "8001"]


def test_multi_node_leader() -> None:
    text = (
        "bash /vllm-workspace/examples/online_serving/multi-node-serving.sh leader "
        "--ray_cluster_size=$(LWS_GROUP_SIZE); python3 -m vllm.entrypoints.openai.api_server --port 8080"
    )
    ray, server = parse_script(text).commands
    assert words(ray)[2:] == ["leader", None]
    assert words(server)[-2:] == ["--port", "8080"]
    assert server.is_last


def test_offsets() -> None:
    text = "A='x y'\nvllm --é=\"b\\\"c\" $A ${Q:-dflt} ''"
    command = parse_script(text).commands[-1]
    quoted, first, second, default, empty = command.words[1:]
    assert quoted.text == '--é=b"c'
    assert "".join(text[at] for at in quoted.offsets) == quoted.text
    assert text[slice(*quoted.span(5, 6))] == '\\"'
    assert (first.text, second.text) == ("x", "y")
    assert first.offsets == second.offsets == (text.index("$A"),)
    assert (first.start, first.end) == (second.start, second.end) == (text.index("$A"), text.index("$A") + 2)
    assert text[slice(*default.span(0, 4))] == "dflt"
    assert text[slice(*empty.span(0, 0))] == "''"
    assert quoted.span(7, 7) == (quoted.sources[-1][1],) * 2
    assert quoted.span(0, 0) == (quoted.start,) * 2


def test_span_of_an_unknown_word_is_the_word() -> None:
    (command,) = parse_script("vllm --a=$X").commands
    assert command.words[1].span(0, 3) == (5, 11)
    assert command.words[1].offsets == ()


def test_offsets_with_carriage_returns() -> None:
    text = 'a=1\r\nvllm \\\r\n  "b\r\nc" $a\r\n'
    (command,) = parse_script(text).commands
    assert words(command) == ["vllm", "b\nc", "1"]
    assert text[command.start : command.end] == 'vllm \\\r\n  "b\r\nc" $a'
    word = command.words[1]
    assert text[word.start : word.end] == '"b\r\nc"'
    assert "".join(text[at] for at in word.offsets) == "b\nc"


@pytest.mark.parametrize(
    "script", ['vllm "open', "vllm 'open", "if x; then vllm", "vllm $(x", "vllm &&", "vllm )"]
)
def test_errors_are_reported(script: str) -> None:
    parsed = parse_script(script)
    assert parsed.errors
    assert all(0 <= start <= end <= len(script) for start, end in parsed.errors)


@pytest.mark.parametrize(
    "opener", ["(", "((", "$(", "${a:-", '"$(', "{ ", "if a; then ", "`", "case a in b) ", "<<E "]
)
def test_deep_nesting_is_bounded(opener: str) -> None:
    check(opener * 3000, parse_script(opener * 3000))


def test_balanced_nesting_beyond_the_limit_is_an_error() -> None:
    script = "{ " * 200 + "vllm; " + "}; " * 200
    parsed = parse_script(script)
    assert parsed.commands == ()
    assert parsed.errors


def test_oversized_scripts_are_not_read() -> None:
    for text in ("vllm\n" * (MAX_SCRIPT // 4), "a|" * 5000):
        parsed = parse_script(text)
        assert parsed.commands == ()
        assert parsed.errors == ((0, len(text)),)


def test_values_that_double_are_forgotten() -> None:
    assert last_words("A=xx\n" + "A=$A$A\n" * 60 + "vllm $A") == [None]
    assert last_words("A=(x y)\n" + 'A+=("${A[@]}")\n' * 60 + 'vllm "${A[@]}"') == [None]


def test_long_lists_and_pipelines() -> None:
    parsed = parse_script(" && ".join(["a"] * 3000))
    assert len(parsed.commands) == 3000
    assert [command.is_last for command in parsed.commands[-2:]] == [False, True]
    assert len(parse_script(" | ".join(["a"] * 500)).commands) == 500


def check(text: str, script: Script) -> None:
    """Invariants of every result."""
    size = len(text)
    assert all(0 <= start <= end <= size for start, end in script.errors)
    assert [command.start for command in script.commands] == sorted(c.start for c in script.commands)
    for command in script.commands:
        assert 0 <= command.start <= command.end <= size
        assert command.words
        for word in command.words:
            assert 0 <= word.start <= word.end <= size
            assert len(word.offsets) == len(word.sources) == len(word.text or "")
            for offset, (start, end) in zip(word.offsets, word.sources, strict=True):
                assert word.start <= start <= offset < end <= word.end


TOKENS = [
    *("vllm", " ", " ", "\n", ";", "&", "|", "&&", "||", "(", ")", "{", "}", "[", "[[", "]]", "((", "))"),
    *(
        "'",
        '"',
        "`",
        "\\",
        "\\\n",
        "$(",
        "$((",
        "${",
        "$A",
        '"$@"',
        "${A:-",
        "${A:=",
        '"${A[@]}"',
        "A=",
        "A=(",
    ),
    *(
        "A+=",
        "if ",
        "then ",
        "else ",
        "fi ",
        "do ",
        "done ",
        "case a in ",
        "a) ",
        "esac ",
        "for x in ",
        "while ",
    ),
    *("f() {", "export ", "local ", "set -- ", "exec ", "<", ">&-", "2>", "<<E\n", "E\n", "#", "!", "~", "é"),
    *("\r\n", "\0", "\ud800", "\x0b"),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(TOKENS), max_size=40).map("".join))
def test_never_fails_on_mutated_scripts(text: str) -> None:
    check(text, parse_script(text, {"A": "1 2"}))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
def test_never_fails_on_random_text(text: str) -> None:
    check(text, parse_script(text, None, ["sh", "a"]))


PLAIN = st.text(st.characters(codec="utf-8", exclude_characters="'\r\0"), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(PLAIN, st.sampled_from(["'", '"', "\\"])), min_size=1, max_size=5))
def test_quoted_text_survives(pieces: list[tuple[str, str]]) -> None:
    """Text quoted for the shell is read back, and its offsets point at its characters."""
    written, expected = "", ""
    for piece, quote in pieces:
        if quote == "'":
            written += f"'{piece}'"
        elif quote == '"':
            written += '"' + "".join(f"\\{char}" if char in '$`"\\' else char for char in piece) + '"'
        else:
            piece = piece.replace("\n", "")
            written += "".join(f"\\{char}" for char in piece)
        expected += piece
    script = f"vllm {written} end"
    parsed = parse_script(script)
    read = parsed.commands[0].words
    assert read[-1].text == "end"
    made = expected if len(read) == 3 else ""
    assert "".join(word.text or "" for word in read[1:-1]) == made == expected
    for word in read:
        assert "".join(script[at] for at in word.offsets) == word.text


def test_the_grammar_is_loaded_on_first_use() -> None:
    code = (
        "import sys, vllmlint.serving.shell as shell\n"
        "assert not any('tree_sitter' in name for name in sys.modules)\n"
        "shell.parse_script('vllm serve')\n"
        "assert 'tree_sitter_bash' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
