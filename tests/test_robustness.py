"""Files that are broken, hostile or enormous end in a finding or a clean message, and soon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import pytest

from vllmlint.lint.result import RunResult
from vllmlint.lint.run import RunOptions, run_check
from vllmlint.manifest import limits
from vllmlint.reports import FORMATS, RenderOptions, render
from vllmlint.sources.files import Input

ROOT = Path(__file__).resolve().parent.parent
FOUNDING = (ROOT / "fixtures" / "founding" / "deployment.yaml").read_text("utf-8")
IMAGE = "registry.example.com/ai/vllm:stable"
#: CPU seconds after which something hangs; what is right takes a twentieth of it, also on a busy machine.
SOON = 20.0
DIGITS = "9" * 5_000  # more than Python turns into a number


class HangError(BaseException):
    """Raised into code that hangs; no rule's containment may catch it."""


@pytest.fixture(autouse=True)
def _cut_off() -> Iterator[None]:
    """End a test that hangs."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def lint(data: str | bytes) -> RunResult:
    """Lint one manifest and write it in every format, soon and without a rule that raises."""
    raw = data.encode() if isinstance(data, str) else data
    started = time.process_time()
    result = run_check(RunOptions([Input("robust/manifest.yaml", raw)], jobs=1))
    for fmt in FORMATS:
        render(result, fmt, options=RenderOptions(verbose=True))
    assert not result.internal_errors, result.internal_errors[0]
    assert time.process_time() - started < SOON
    return result


def names(result: RunResult) -> list[str]:
    """The rules that found something."""
    return sorted({found.name for found in result.findings})


def with_args(*words: str) -> str:
    """The founding Deployment with an official image and these arguments."""
    head, rest = FOUNDING.replace(IMAGE, "vllm/vllm-openai:v0.10.2").split("          args:\n")
    return f"{head}          args: {json.dumps(words)}\n{rest[rest.index('          ports:') :]}"


def with_script(script: str) -> str:
    """The founding Deployment with a shell script for a command."""
    return with_args().replace("args: []", f"command: {json.dumps(['/bin/sh', '-c', script])}")


def with_env(rows: list[dict[str, str]], *words: str) -> str:
    """The founding Deployment with these variables and arguments."""
    return with_args(*words).replace(
        "          ports:", f"          env: {json.dumps(rows)}\n          ports:", 1
    )


ALIAS_BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{last}'] * 10)}]\n"
    for last, name in zip("abcdefghij", "bcdefghijk", strict=True)
)
MERGE_BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n + 1}: &a{n + 1}\n  <<: [{', '.join([f'*a{n}'] * 10)}]\n  k{n}: 1\n" for n in range(60)
)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        pytest.param(ALIAS_BOMB, "limit-exceeded", id="alias-bomb"),
        pytest.param(MERGE_BOMB, "limit-exceeded", id="merge-bomb"),
        pytest.param("---\na: 1\n" * 10_000, "limit-exceeded", id="ten-thousand-documents"),
        pytest.param("[" * 100_000, "limit-exceeded", id="deep-flow"),
        pytest.param("{a: " * 50_000, "limit-exceeded", id="deep-flow-mapping"),
        pytest.param("- " * 50_000 + "a", "limit-exceeded", id="deep-sequence"),
        pytest.param("".join(" " * n + "a:\n" for n in range(3_000)), "limit-exceeded", id="deep-block"),
        pytest.param("a: &a [*a]", "document-unparsable", id="alias-of-itself"),
        pytest.param("a:\n\tb: 1\n", "document-unparsable", id="tab"),
        pytest.param("a: b\0c\n", "document-unparsable", id="nul"),
        pytest.param('a: "\\ud800"\n', "document-unparsable", id="surrogate"),
        pytest.param(b"a: caf\xe9\n", "document-unparsable", id="latin-1"),
        pytest.param(FOUNDING.encode("utf-16"), "document-unparsable", id="utf-16"),
        pytest.param(bytes(range(256)) * 100, "document-unparsable", id="binary"),
        pytest.param(b"a: b\n" * 10_000_000, "limit-exceeded", id="fifty-megabytes"),
        pytest.param("apiVersion: v1\nkind: Pod\nkind: Pod\n", "duplicate-key", id="duplicate-key"),
    ],
)
def test_what_cannot_be_read_is_one_finding(text: str | bytes, rule: str) -> None:
    result = lint(text)
    assert names(result) == [rule]
    assert len(result.findings) == 1


@pytest.mark.parametrize(
    "text",
    ["", "\n", "# only a comment\n", "---\n---\n", "\ufeff", "null", "~", "- a\n", "a", "{{ .Values.x }}"],
)
def test_what_holds_nothing_is_no_finding(text: str) -> None:
    assert not lint(text).findings


def test_documents_around_a_broken_one_are_linted() -> None:
    result = lint(f"{FOUNDING}---\na: [\n---\n{FOUNDING}")
    assert "document-unparsable" in names(result)
    assert [found.document for found in result.findings if found.name == "image-tag-floating"] == [0, 2]


def test_documents_before_the_limit_are_linted() -> None:
    result = lint(f"{FOUNDING}---\n" + "a: 1\n---\n" * limits.MAX_DOCUMENTS)
    assert {"image-tag-floating", "limit-exceeded"} <= set(names(result))


def test_line_ends_and_byte_order_marks_change_no_finding() -> None:
    plain = [(one.name, one.spot.start.line, one.spot.start.column) for one in lint(FOUNDING).findings]
    for variant in (
        FOUNDING.replace("\n", "\r\n"),
        "\ufeff" + FOUNDING,
        "\ufeff" + FOUNDING.replace("\n", "\r\n"),
    ):
        assert [
            (one.name, one.spot.start.line, one.spot.start.column) for one in lint(variant).findings
        ] == plain


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("line", ["#", "# a comment", "  # further in", "", "%TAG ! tag:example.com,2000:"])
def test_many_comment_lines_in_front_are_read_soon(line: str, end: str) -> None:
    lint(f"{line}{end}" * 500 + FOUNDING.replace("\n", end))


@pytest.mark.parametrize(
    "value", [DIGITS, "1e999999999", "-1e99999999", f"0x{'f' * 20_000}", f"1.{DIGITS}", ".inf", "1:1:1"]
)
def test_enormous_numbers(value: str) -> None:
    for old, new in (
        ("replicas: 1", f"replicas: {value}"),
        ('nvidia.com/gpu: "1"', f"nvidia.com/gpu: {value}"),
        ('nvidia.com/gpu: "1"', f'nvidia.com/gpu: "{value}Gi"'),
        ("containerPort: 8000", f"containerPort: {value}"),
        (IMAGE, f"vllm/vllm-openai:v0.{value}.0"),
        (IMAGE, f"vllm/vllm-openai:v{value}"),
    ):
        lint(FOUNDING.replace(old, new))
    flags = (
        "--tensor-parallel-size",
        "--port",
        "--max-model-len",
        "--gpu-memory-utilization",
        "--swap-space",
        "--seed",
    )
    for suffix in ("", "k", "M", "G"):
        lint(with_args("--model", "m", *(word for flag in flags for word in (flag, value + suffix))))
    lint(with_args("--model", "m", "--hf-overrides", f'{{"a": {value}}}'))


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--hf-overrides", "[" * 100_000), id="open-brackets"),
        pytest.param(("--hf-overrides", '{"a":' * 20_000 + "1" + "}" * 20_000), id="deep-json"),
        pytest.param((f"--hf-overrides{'.a' * 10_000}", "1"), id="deep-dotted-flag"),
        pytest.param(("--" + "a" * 50_000,), id="long-flag"),
        pytest.param(tuple(f"--max-model-lem{n}" for n in range(1_000)), id="many-unknown-flags"),
        pytest.param(("--x=y",) * 2_000, id="one-unknown-flag-often"),
        pytest.param(("--port", "8000") * 10_000, id="one-flag-often"),
        pytest.param(("a" * 500_000,), id="long-word"),
        pytest.param(("$" * 100_001,), id="dollars"),
        pytest.param(("$(" * 50_000,), id="open-references"),
    ],
)
def test_strange_arguments(words: tuple[str, ...]) -> None:
    lint(with_args("--model", "m", *words))


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("$(" * 2_000, id="open-substitutions"),
        pytest.param("vllm serve " + "$(" * 500 + "echo" + ")" * 500, id="nested-substitutions"),
        pytest.param("(" * 5_000, id="open-subshells"),
        pytest.param("if true; then " * 2_000, id="open-conditions"),
        pytest.param("while true; do " * 500 + "vllm serve m" + "; done" * 500, id="nested-loops"),
        pytest.param("true && " * 3_000 + "vllm serve m", id="long-and-list"),
        pytest.param('"' * 10_001, id="quotes"),
        pytest.param("\\" * 50_001, id="backslashes"),
        pytest.param("vllm serve " + "${a:-" * 2_000 + "}" * 2_000, id="nested-defaults"),
        pytest.param("vllm serve --port $((9**9**9**9))", id="arithmetic"),
        pytest.param("vllm serve {1..100000000}", id="braces"),
        pytest.param("A=xxxxxxxxxx\n" + "A=$A$A$A$A\n" * 40 + "vllm serve $A", id="doubling-variable"),
        pytest.param(
            "".join(f'V{n + 1}="$V{n} $V{n}"\n' for n in range(60)) + "vllm serve $V60", id="variable-bomb"
        ),
        pytest.param("f() { f; }; f; vllm serve m", id="recursive-function"),
        pytest.param("vllm serve m " + "--x y " * 4_000, id="long-line"),
        pytest.param("eval " * 1_000 + "vllm serve m", id="evals"),
        pytest.param("cat <<EOF\n" + "x\n" * 10_000, id="open-here-document"),
    ],
)
def test_strange_scripts(script: str) -> None:
    lint(with_script(script))


def test_environment_references_do_not_multiply() -> None:
    rows = [{"name": f"A{n + 1}", "value": f"$(A{n})" * 4} for n in range(60)]
    lint(with_env([{"name": "A0", "value": "x" * 10}, *rows], "--model", "$(A60)"))
    lint(
        with_env(
            [{"name": "A", "value": "xx"}, *[{"name": "A", "value": "$(A)$(A)"}] * 100], "--model", "$(A)"
        )
    )


def test_many_ignores_are_read_soon() -> None:
    lint("# vllmlint: ignore[image-tag-floating] reason\n" * 10_000 + FOUNDING)
    lint(f"# vllmlint: ignore[{' ' * 100_000}\n{FOUNDING}")
    lint(f"# vllmlint: ignore[image-tag-floating] until={DIGITS}-01-01\n{FOUNDING}")


def test_many_containers_are_read_soon() -> None:
    more = "        - {name: other, image: vllm/vllm-openai}\n"
    lint(FOUNDING.replace("      containers:\n", f"      containers:\n{more * 500}"))


def test_many_objects_are_joined_soon() -> None:
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: NAME}\nspec: {selector: {app: vllm-llama}}\n"
    lint("---\n".join([*(service.replace("NAME", f"s{n}") for n in range(1_000)), FOUNDING]))


def command(*arguments: str, cwd: Path, stdin: bytes = b"") -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a check."""
    environment = {**os.environ, "NO_COLOR": "1"}
    program = "from vllmlint.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, "check", *arguments],
        cwd=cwd,
        env=environment,
        input=stdin,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_the_command_says_what_it_could_not_read(tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(bytes(range(256)))
    (tmp_path / "large.yaml").write_bytes(b"a: b\n" * 10_000_000)
    code, out, err = command(".", "--jobs", "1", cwd=tmp_path)
    assert (code, err) == (1, "")
    assert "document-unparsable" in out
    assert "limit-exceeded" in out


@pytest.mark.parametrize(
    "arguments", [("nowhere.yaml",), (), ("--format", "xml", "."), ("--contract", "nowhere.yaml", ".")]
)
def test_a_wrong_call_is_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    code, out, err = command(*arguments, cwd=tmp_path)
    assert (code, out) == (2, "")
    assert "Traceback" not in err
    assert err.strip()


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "\ta: 1",
        "a: 1",
        "[]",
        "vllm: {release: " + DIGITS + "}",
        ALIAS_BOMB,
        "[" * 5_000,
        "\0",
        "rules: {select: {}}",
    ],
)
def test_a_broken_contract_is_told_with_its_place(tmp_path: Path, text: str) -> None:
    (tmp_path / "vllmlint.yaml").write_text(text, "utf-8")
    (tmp_path / "deployment.yaml").write_text(FOUNDING, "utf-8")
    code, out, err = command("deployment.yaml", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith("vllmlint: vllmlint.yaml:")


def test_names_that_are_no_utf_8_and_links_in_circles(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    (tmp_path / "deployment.yaml").write_text(FOUNDING, "utf-8")
    name = os.fsencode(str(tmp_path)) + b"/caf\xe9.yaml"
    Path(os.fsdecode(name)).write_text(FOUNDING, "utf-8")
    for fmt in FORMATS:
        code, _, err = command("deployment.yaml", os.fsdecode(name), "--format", fmt, cwd=tmp_path)
        assert (code, err) == (1, ""), fmt
    code, _, err = command(".", cwd=tmp_path)
    assert code in {1, 2}
    assert "Traceback" not in err
