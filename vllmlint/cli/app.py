"""The command line: typer commands, thin; each imports what it needs when it runs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer
from typer.core import TyperCommand
from typer.models import CommandInfo

from vllmlint.cli.options import (
    CheckAgainstRelease,
    CheckExitZero,
    CheckFailOn,
    CheckFormat,
    CheckIgnore,
    CheckJobs,
    CheckMinConfidence,
    CheckNoIgnores,
    CheckReport,
    CheckSelect,
    CheckShowSuppressed,
    CheckSiblings,
    CheckStatistics,
    CheckStrict,
    CheckVerbose,
    ContractFile,
    FitAppend,
    FitCompareLog,
    FitConcurrency,
    FitExplainTerms,
    FitGpu,
    FitGpuMemoryGib,
    FitModel,
    FitModelConfig,
    FitOnline,
    FitPaths,
    FitRelease,
    FitSettings,
    Nodes,
    Paths,
    StdinFilename,
    Text,
    TextOrJson,
    Texts,
)
from vllmlint.version import __version__

app = typer.Typer(
    name="vllmlint",
    help="Deployment-contract linter for vLLM on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


#: Under which key a command keeps the words behind `--`.
_SERVE_WORDS = "vllmlint.serve_words"


class _WithServeWords(TyperCommand):
    """A command that keeps the words behind `--`, which click would mix with the arguments before it."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        """Cut the words off before click sees them."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_SERVE_WORDS] = args[at + 1 :]
            args = args[:at]
        return super().parse_args(ctx, args)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"vllmlint {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", help="Show the version and exit.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    """Deployment-contract linter for vLLM on Kubernetes."""


@app.command()
def check(
    paths: Paths = None,
    select: CheckSelect = None,
    ignore: CheckIgnore = None,
    format_: CheckFormat = "text",
    report: CheckReport = None,
    fail_on: CheckFailOn = None,
    min_confidence: CheckMinConfidence = None,
    strict: CheckStrict = False,
    exit_zero: CheckExitZero = False,
    statistics: CheckStatistics = False,
    no_ignores: CheckNoIgnores = False,
    show_suppressed: CheckShowSuppressed = False,
    stdin_filename: StdinFilename = "-",
    siblings: CheckSiblings = False,
    against_release: CheckAgainstRelease = None,
    contract: ContractFile = None,
    nodes: Nodes = None,
    jobs: CheckJobs = 0,
    verbose: CheckVerbose = False,
) -> None:
    """Lint manifests."""
    from vllmlint.cli import check as command

    _leave(
        command.run(
            command.CheckArguments(
                paths=paths or [],
                select=select,
                ignore=ignore or [],
                format=format_,
                reports=report or [],
                fail_on=fail_on,
                min_confidence=min_confidence,
                strict=strict,
                exit_zero=exit_zero,
                statistics=statistics,
                no_ignores=no_ignores,
                show_suppressed=show_suppressed,
                stdin_filename=stdin_filename,
                siblings=siblings,
                contract=contract,
                jobs=jobs,
                verbose=verbose,
                against_release=against_release,
                nodes=nodes or [],
            )
        )
    )


@app.command()
def inspect(
    paths: Paths = None,
    format_: TextOrJson = "text",
    defaults: Annotated[bool, typer.Option("--defaults", help="Show the release's defaults too.")] = False,
    stdin_filename: StdinFilename = "-",
    contract: ContractFile = None,
    nodes: Nodes = None,
) -> None:
    """Show what vllmlint believes about each vLLM server."""
    from vllmlint.cli import inspect as command

    _leave(
        command.run(
            paths or [],
            nodes or [],
            format_,
            defaults=defaults,
            stdin_filename=stdin_filename,
            contract=contract,
        )
    )


@app.command(cls=_WithServeWords)
def fit(
    context: typer.Context,
    paths: FitPaths = None,
    model: FitModel = None,
    release: FitRelease = None,
    gpu: FitGpu = None,
    gpu_memory_gib: FitGpuMemoryGib = None,
    model_config: FitModelConfig = None,
    online: FitOnline = False,
    settings: FitSettings = None,
    concurrency: FitConcurrency = None,
    format_: TextOrJson = "text",
    explain_terms: FitExplainTerms = False,
    nodes: Nodes = None,
    compare_log: FitCompareLog = None,
    append: FitAppend = None,
    stdin_filename: StdinFilename = "-",
    contract: ContractFile = None,
) -> None:
    """Say what vLLM will do with GPU memory: whether it starts, tokens, concurrency, what to change."""
    from vllmlint.cli import fit as command
    from vllmlint.cli.fit_input import FitArguments

    _leave(
        command.run(
            FitArguments(
                paths=paths or [],
                serve=context.meta.get(_SERVE_WORDS),
                model=model,
                release=release,
                gpu=gpu,
                gpu_memory_gib=gpu_memory_gib,
                model_config=model_config,
                online=online,
                settings=settings or [],
                concurrency=concurrency,
                format=format_,
                explain=explain_terms,
                nodes=nodes or [],
                compare_log=compare_log,
                append=append,
                stdin_filename=stdin_filename,
                contract=contract,
            )
        )
    )


@app.command()
def place(
    paths: Paths = None,
    nodes: Nodes = None,
    format_: TextOrJson = "text",
    stdin_filename: StdinFilename = "-",
    contract: ContractFile = None,
) -> None:
    """Show on which nodes each vLLM server can run, and what stands in the way on the others."""
    from vllmlint.cli import place as command

    _leave(command.run(paths or [], nodes or [], format_, stdin_filename=stdin_filename, contract=contract))


@app.command()
def upgrade(
    to: Annotated[
        str, typer.Option("--to", help="The vLLM release to move to, as in 0.33.0.", metavar="RELEASE")
    ],
    paths: Paths = None,
    source: Annotated[
        Text,
        typer.Option(
            "--from", help="The release it runs now, if not what the image says.", metavar="RELEASE"
        ),
    ] = None,
    format_: TextOrJson = "text",
    all_defaults: Annotated[
        bool,
        typer.Option("--all-defaults", help="Every default that differs, not only those known to matter."),
    ] = False,
    stdin_filename: StdinFilename = "-",
    contract: ContractFile = None,
) -> None:
    """Show what flags, variables, metrics and defaults become at another vLLM release."""
    from vllmlint.cli import upgrade as command

    _leave(
        command.run(
            paths or [],
            to,
            source,
            format_,
            all_defaults=all_defaults,
            stdin_filename=stdin_filename,
            contract=contract,
        )
    )


@app.command()
def explain(rule: Annotated[str, typer.Argument(help="A rule's name or id.")]) -> None:
    """Print what a rule is about: why, what to write instead, examples."""
    from vllmlint.cli import rules as command

    _leave(command.explain(rule))


@app.command()
def rules(
    format_: Annotated[
        str, typer.Option("--format", "-f", help="table or json.", metavar="FORMAT")
    ] = "table",
) -> None:
    """List the rules."""
    from vllmlint.cli import rules as command

    _leave(command.list_rules(format_))


@app.command()
def schema(name: Annotated[str, typer.Argument(help="contract, report, fit or rule.")]) -> None:
    """Print a JSON Schema."""
    from vllmlint.cli import rules as command

    _leave(command.print_schema(name))


@app.command()
def init(
    paths: Paths = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write; `-` prints.")
    ] = "vllmlint.yaml",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    nodes: Annotated[
        Texts,
        typer.Option(
            "--nodes",
            help="Write the node pools from a file of real nodes (`kubectl get nodes -o json`); `-`: stdin.",
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Write a first contract from the manifests it finds."""
    from vllmlint.cli import init as command

    _leave(command.run(paths or ["."], output, force=force, nodes=nodes or []))


def _leave(code: int) -> None:
    if code:
        raise typer.Exit(code)


def run_app(name: str) -> None:
    """Run the command line under a name.

    Where a command is named in full, click hears of that one alone: reading the options of all of them
    takes as long as linting a file.
    """
    every = app.registered_commands
    app.registered_commands = [one for one in every if sys.argv[1:2] == [_name_of(one)]] or every
    try:
        app(prog_name=name)
    finally:
        app.registered_commands = every


def _name_of(command: CommandInfo) -> str:
    return command.name or (command.callback.__name__ if command.callback is not None else "")
