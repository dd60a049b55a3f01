"""Expansion of shell words and what is known of variables: one table line per construct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from vllmlint.serving.shell import ShellCommand, parse_script

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


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        # quoting
        ("plain", ["plain"]),
        ("'single $MODEL'", ["single $MODEL"]),
        (r'"a\"b\\c\$d\e"', [r'a"b\c$d\e']),
        (r"a\ b", ["a b"]),
        (r"\ a \\ b", [" a", "\\", "b"]),
        (r"$'tab\tquote\'\x41\u00e9\101'", ["tab\tquote'AéA"]),
        (r"$'\xff'", [None]),
        (r"$'\q\\'", ["\\q\\"]),
        ('$"localized"', ["localized"]),
        ("\"a\"b'c'", ["abc"]),
        ("''", [""]),
        ('"" x', ["", "x"]),
        ("--port\\\n=80", ["--port=80"]),
        ("--a \\\n   --b", ["--a", "--b"]),
        ('"one\\\ntwo"', ["onetwo"]),
        ('"one\ntwo"', ["one\ntwo"]),
        ("é'ü'\u00a0x", ["éü\u00a0x"]),
        ("--cfg='{\"a\": [1, 2]}'", ['--cfg={"a": [1, 2]}']),
        ('--cfg={"a":1}', ["--cfg={a:1}"]),
        ('--cfg={"a":1,"b":2}', [None]),
        ("{1..3} {} {x}", [None, "{}", "{x}"]),
        ("*.txt a?b [ab]", ["*.txt", "a?b", "[ab]"]),
        ("$ 5$ %", ["$", "5$", "%"]),
        ("a#b # comment", ["a#b"]),
        # variables
        ("--model=$MODEL", ["--model=meta-llama/Llama-3.1-8B"]),
        ("${PORT}0", ["80000"]),
        ('"$PORT"', ["8000"]),
        ("$EXTRA", ["--a", "1"]),
        ('"$EXTRA"', ["--a  1"]),
        ("p${EXTRA}s", ["p--a", "1s"]),
        ("p${LEAD}s", ["p", "x", "s"]),
        ("$EMPTY x", ["x"]),
        ('"$EMPTY" x', ["", "x"]),
        ("a$EMPTY", ["a"]),
        ("$NOWHERE", [None]),
        ('--x="$NOWHERE"', [None]),
        ("$SECRET x", [None, "x"]),
        ("~/models ~ x~ ~root", [None, None, "x~", None]),
        # parameter operators
        ("${PORT:-1}", ["8000"]),
        ("${NOWHERE:-1}", ["1"]),
        ("${NOWHERE-1}", ["1"]),
        ("${EMPTY:-a b}", ["a", "b"]),
        ('"${EMPTY:-a b}"', ["a b"]),
        ("${EMPTY-1}x", ["x"]),
        ("${SECRET:-1}", [None]),
        ("${SECRET-1}", [None]),
        ("${NOWHERE:-$MODEL}", ["meta-llama/Llama-3.1-8B"]),
        ('"${NOWHERE:-${OTHER:-"in ner"}}"', ["in ner"]),
        ('${NOWHERE:-"}"}', ["}"]),
        ("${NEW:=x} $NEW", ["x", "x"]),
        ("${PORT:+--port $PORT}", ["--port", "8000"]),
        ("${EMPTY:+a} x", ["x"]),
        ("${EMPTY+a}", ["a"]),
        ("${NOWHERE:+a}", [None]),
        ("${PORT:?missing} ${NOWHERE:?missing}", ["8000", None]),
        ("${MODEL##*/} ${#MODEL} ${!MODEL} ${MODEL/a/b} ${MODEL:0:2}", [None] * 5),
        # set by images and runtimes
        ("${HOME:-/root} ${KUBERNETES_SERVICE_HOST:-x} ${LWS_GROUP_SIZE:-2}", [None] * 3),
        # substitutions
        ('$((1+2)) $(date) `date` "$(date)" a$(date)b <(date)', [None] * 6),
        ("--size=$(LWS_GROUP_SIZE)", [None]),
        ("$? $$ $# $! $-", [None] * 5),
    ],
)
def test_words(word: str, expected: list[str | None]) -> None:
    assert last_words(f"vllm {word}") == expected


def test_environment_may_be_incomplete() -> None:
    script = parse_script("vllm ${PORT:-1}", {}, env_complete=False)
    assert words(script.commands[0]) == ["vllm", None]
    for reader in ("source /etc/conf", ". ./x", 'eval "$(x)"', "export $(cat .env | xargs)"):
        assert last_words(f"{reader}; vllm ${{PORT:-1}}", {}) == [None]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("A=1; vllm $A", ["1"]),
        ("A=1 B=$A; vllm $A$B", ["11"]),
        ("A=$NOWHERE; vllm $A", [None]),
        ("A=$(date); vllm $A", [None]),
        ("A='a b'; vllm $A \"$A\"", ["a", "b", "a b"]),
        ('A=; vllm "$A"', [""]),
        ("A=1; A+=2; vllm $A", ["12"]),
        ("NOWHERE+=2; vllm $NOWHERE", [None]),
        ('A=$EXTRA; vllm "$A"', ["--a  1"]),
        ("export A=1; vllm $A", ["1"]),
        ("export A='x y' B=2; vllm \"$A\" $B", ["x y", "2"]),
        ('export "A=x y"; vllm "$A"', ["x y"]),
        ('export "A=$SECRET"; vllm "$A"', [None]),
        ("declare -i A=1; readonly B=2; vllm $A $B", ["1", "2"]),
        ('unset PORT; vllm "$PORT" ${PORT:-1}', ["", "1"]),
        (": ${A:=x}; vllm $A", ["x"]),
        ("A=1; A=2 vllm $A", ["1"]),
        ("A=1; (A=2); vllm $A", ["1"]),
        ("A=1; { A=2; }; vllm $A", ["2"]),
        ("A=1; A=2 & vllm $A", ["1"]),
        ("A=1; echo 2 | read A; vllm $A", ["1"]),
        ("A=1; read A; vllm $A", [None]),
        ("A=1; printf -v A %s 2; vllm $A", [None]),
        ("A=1; eval A=2; vllm $A", [None]),
        ("A=1; : $((A++)); vllm $A", [None]),
        ("A=1; ((A+=1)); vllm $A", [None]),
        ("A=1; let A=2; vllm $A", [None]),
        # branches
        ("if x; then A=1; fi; vllm $A", [None]),
        ("A=1; if x; then A=2; fi; vllm $A", [None]),
        ("A=1; if x; then A=1; fi; vllm $A", ["1"]),
        ("if x; then A=1; else A=1; fi; vllm $A", ["1"]),
        ("if x; then A=1; elif y; then A=1; else A=2; fi; vllm $A", [None]),
        ("A=1; if x; then A=2; exit 1; fi; vllm $A", ["1"]),
        ("A=1; if x; then A=2; exec vllm; fi; vllm $A", ["1"]),
        ("A=1; case $X in a) A=2;; esac; vllm $A", [None]),
        ("case $X in a) A=1;; *) A=1;; esac; vllm $A", ["1"]),
        ("case $X in a) A=2;& *) B=1;; esac; vllm $A", [None]),
        ("A=1; for i in 1 2; do A=$i; done; vllm $A", [None]),
        ("A=1; while x; do A=2; done; vllm $A", [None]),
        ("A=1; for ((i=0;i<2;i++)); do A=2; done; vllm $i$A", [None]),
        ("A=1; x || A=2; vllm $A", [None]),
        ("A=1; x && A=2; vllm $A", ["2"]),
        ('A=1; [ -n "$X" ] && A=2; vllm $A', [None]),
        ("A=1; [[ -n $X ]] && B=1 && A=2; vllm $A", [None]),
        ("A=1; f() { A=2; }; f; vllm $A", [None]),
        ("A=1; f() { local A=2; }; f; vllm $A", ["1"]),
        # arrays
        ('A=(--a "b c" $EXTRA); vllm "${A[@]}"', ["--a", "b c", "--a", "1"]),
        ('A=(--a "b c"); vllm ${A[@]}', ["--a", "b", "c"]),
        ('A=(--a "b c"); vllm "${A[*]}" "${A[1]}" $A "${A[9]}"', ["--a b c", "b c", "--a", ""]),
        ('A=(a); A+=(b "$NOWHERE"); vllm "${A[@]}"', ["a", "b", None]),
        ('A=(); vllm "${A[@]}" x', ["x"]),
        ('A=(a b); vllm "p${A[@]}s"', ["pa", "bs"]),
        ('A=(\n  --a # comment\n  --b\n); vllm "${A[@]}"', ["--a", "--b"]),
        ('A=(a); A[0]=b; vllm "${A[@]}"', [None]),
        ('A=([x]=1); vllm "${A[@]}"', [None]),
        ('vllm "${NOWHERE[@]}"', [None]),
        ('A=(a); if x; then A+=(b); fi; vllm "${A[@]}"', [None]),
        # positional parameters
        ('set -- a "b c"; exec vllm "$@"', ["vllm", "a", "b c"]),
        ("set -euo pipefail -- a; vllm $1", ["a"]),
        ('set -- a b c; shift; vllm "$@" $#', ["b", "c", None]),
        ('set -- a "$NOWHERE"; vllm "$@"', ["a", None]),
        ('vllm "$@" $1', [None, None]),
        ("IFS=,; vllm $EXTRA", [None]),
    ],
)
def test_variables(script: str, expected: list[str | None]) -> None:
    assert last_words(script) == expected
