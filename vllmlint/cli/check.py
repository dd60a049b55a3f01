"""`vllmlint check`."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vllmlint.lint.contracts import ContractError, Contracts
from vllmlint.lint.result import RunResult
from vllmlint.lint.run import RunOptions, run_check
from vllmlint.lint.selection import SelectionError, check_selectors
from vllmlint.record import record
from vllmlint.reports import FORMATS, RenderOptions, render
from vllmlint.reports.options import terminal_width, wants_color
from vllmlint.serving.release import Release
from vllmlint.severity import CONFIDENCE_RANK, SEVERITY_RANK, Confidence, Severity
from vllmlint.sources.files import Input, SourceError, find_inputs, sibling_inputs, stdin_bytes

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

EXIT_FINDINGS, EXIT_USAGE, EXIT_INTERNAL = 1, 2, 3
#: A run that takes longer than this shows a progress bar on a terminal.
_PROGRESS_AFTER_SECONDS = 1.0


@record
class CheckArguments:
    """The options of `vllmlint check`, as given."""

    paths: Sequence[str]
    select: Sequence[str] | None
    ignore: Sequence[str]
    format: str
    reports: Sequence[str]
    fail_on: str | None
    min_confidence: str | None
    strict: bool
    exit_zero: bool
    statistics: bool
    no_ignores: bool
    show_suppressed: bool
    stdin_filename: str
    siblings: bool
    contract: str | None
    jobs: int
    verbose: bool
    against_release: str | None = None
    nodes: Sequence[str] = ()


class UsageError(Exception):
    """An option that makes no sense; the text says which and what is wanted."""


def run(arguments: CheckArguments) -> int:
    """Lint, print and write reports.

    Returns the exit code: 0 nothing to fail on, 1 findings, 2 usage or contract, 3 a rule that raised.
    """
    try:
        reports = [_report_target(text) for text in arguments.reports]
        _choice("--format", arguments.format, FORMATS)
        options = _run_options(arguments)
        if arguments.fail_on is not None:
            _choice("--fail-on", arguments.fail_on, (*SEVERITY_RANK, "never"))
        result = run_check(options, _progress(len(options.inputs)))
        _write(result, arguments, reports)
    except (SourceError, SelectionError, UsageError) as error:
        print(f"vllmlint: {error}", file=sys.stderr)
        return EXIT_USAGE
    except ContractError as error:
        print_contract_error(error)
        return EXIT_USAGE
    return _exit_code(result, arguments)


def contract_error_lines(error: ContractError) -> list[str]:
    """What is wrong with a contract, and where."""
    lines = []
    for problem in error.problems:
        position = problem.place.source.position(problem.place.start)
        where = f"{problem.place.source.path}:{position.line}:{position.column}"
        lines.append(f"{where}: {problem.message}" + (f"\n  help: {problem.help}" if problem.help else ""))
    return lines


def print_contract_error(error: ContractError) -> None:
    """Say on standard error what is wrong with a contract, and where."""
    for line in contract_error_lines(error):
        print(f"vllmlint: {line}", file=sys.stderr)


def read_stdin(paths: Sequence[str], stdin_filename: str) -> list[Input]:
    """The inputs that `paths` name, `-` for standard input among them.

    Raises `SourceError` for a path that does not exist, and when no path is given.
    """
    if not paths:
        raise SourceError("no path given: name files or directories, or `-` for standard input")
    inputs = find_inputs([path for path in paths if path != "-"])
    if "-" in paths:
        inputs.append(Input(stdin_filename, stdin_bytes()))
    return inputs


def _run_options(arguments: CheckArguments) -> RunOptions:
    select, ignore = _split(arguments.select), _split(arguments.ignore)
    if select is not None and not select:
        raise UsageError("--select names no rule: leave it out to run what the contract selects")
    check_selectors([*(select or ()), *(ignore or ())])
    minimum = arguments.min_confidence
    if minimum is not None:
        _choice("--min-confidence", minimum, tuple(CONFIDENCE_RANK))
    if arguments.contract is not None and not os.path.isfile(arguments.contract):
        raise SourceError(f"no such contract file: {arguments.contract}")
    against = arguments.against_release
    if against is not None and Release.parse(against) is None:
        raise UsageError(f"--against-release {against!r}: write a vLLM release such as 0.33.0")
    inputs = read_stdin(arguments.paths, arguments.stdin_filename)
    return RunOptions(
        inputs=inputs,
        context=sibling_inputs([one for one in inputs if one.data is None]) if arguments.siblings else (),
        select=select,
        ignore=ignore or (),
        min_confidence=_confidence(minimum),
        no_ignores=arguments.no_ignores,
        contract_path=arguments.contract,
        jobs=arguments.jobs,
        node_files=arguments.nodes,
        rule_options={"default-changed-between-releases": {"againstRelease": against}} if against else {},
    )


def _confidence(text: str | None) -> Confidence | None:
    return next((known for known in CONFIDENCE_RANK if known == text), None)


def _split(values: Sequence[str] | None) -> list[str] | None:
    if values is None:
        return None
    return [part.strip() for value in values for part in value.split(",") if part.strip()]


def _choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UsageError(f"{option} {value!r}: choose one of {', '.join(choices)}")


def _report_target(text: str) -> tuple[str, str]:
    fmt, equals, path = text.partition("=")
    if not equals or not path:
        raise UsageError(f"--report {text!r}: write FORMAT=FILE, as in sarif=out.sarif")
    _choice("--report", fmt, FORMATS)
    return fmt, path


def _write(result: RunResult, arguments: CheckArguments, reports: Sequence[tuple[str, str]]) -> None:
    plain = RenderOptions(
        statistics=arguments.statistics, show_suppressed=arguments.show_suppressed, verbose=arguments.verbose
    )
    for fmt, path in reports:
        try:
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write(render(result, fmt, options=plain))
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
    screen = RenderOptions(
        color=wants_color(),
        width=terminal_width(),
        statistics=arguments.statistics,
        show_suppressed=arguments.show_suppressed,
        verbose=arguments.verbose,
    )
    report = render(result, arguments.format, options=screen)
    sys.stdout.write(report)
    sys.stdout.flush()
    if result.internal_errors and not arguments.verbose:
        print("vllmlint: a rule failed; -v shows the traceback", file=sys.stderr)


def _exit_code(result: RunResult, arguments: CheckArguments) -> int:
    if result.internal_errors:
        return EXIT_INTERNAL
    if arguments.exit_zero or arguments.fail_on == "never":
        return 0
    contracts = Contracts(arguments.contract)
    lowest_confidence = CONFIDENCE_RANK["low" if arguments.strict else "medium"]
    for found in result.findings:
        fail_on = arguments.fail_on or contracts.view(found.spot.file).contract.fail_on
        severe = SEVERITY_RANK[found.severity] >= SEVERITY_RANK[_severity(fail_on)]
        if severe and CONFIDENCE_RANK[found.confidence] >= lowest_confidence:
            return EXIT_FINDINGS
    return 0


def _severity(text: str) -> Severity:
    return next(known for known in SEVERITY_RANK if known == text)


def _progress(total: int) -> Callable[[int], None] | None:
    """A progress bar on standard error, drawn once a run takes longer than a second."""
    if not sys.stderr.isatty() or total < 2:
        return None
    started = time.monotonic()
    bar: list[tuple[Progress, TaskID]] = []

    def advance(done: int) -> None:
        if not bar:
            if time.monotonic() - started < _PROGRESS_AFTER_SECONDS:
                return
            from rich.console import Console
            from rich.progress import Progress as Bar

            shown = Bar(console=Console(stderr=True), transient=True)
            shown.start()
            bar.append((shown, shown.add_task("reading manifests", total=total)))
        progress, task = bar[0]
        progress.update(task, completed=done)
        if done >= total:
            progress.stop()

    return advance
