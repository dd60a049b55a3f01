"""The command line: typer commands, thin; each imports what it needs when it runs."""

from __future__ import annotations

import gc
import io
import os
import sys
from typing import Annotated, Optional

import typer
from typer.core import TyperCommand

from vllmlint.version import __version__

app = typer.Typer(
    name="vllmlint",
    help="Deployment-contract linter for vLLM on Kubernetes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

EXIT_USAGE = 2
EXIT_INTERNAL = 3

_PATHS = typer.Argument(help="Manifests or directories; `-` reads standard input.", show_default=False)
_CONTRACT = typer.Option(
    "--contract", help="Contract file for all paths (default: the nearest vllmlint.yaml above each file)."
)


_Text = Optional[str]  # noqa: UP045 - typer reads the annotations
_Texts = Optional[list[str]]  # noqa: UP045
_Paths = Annotated[_Texts, _PATHS]
_Contract = Annotated[_Text, _CONTRACT]
_StdinFilename = Annotated[
    str, typer.Option("--stdin-filename", help="The name of the manifest on standard input.")
]
_TextOrJson = Annotated[str, typer.Option("--format", "-f", help="text or json.", metavar="FORMAT")]
_Nodes = Annotated[
    _Texts,
    typer.Option(
        "--nodes",
        help="Real nodes, from `kubectl get nodes -o json` (repeatable; `-` reads standard input).",
        metavar="FILE",
    ),
]
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
    paths: _Paths = None,
    select: Annotated[
        _Texts,
        typer.Option(
            "--select",
            help="Rules or sections to run instead of the contract's choice (comma-separated, repeatable).",
        ),
    ] = None,
    ignore: Annotated[
        _Texts, typer.Option("--ignore", help="Rules or sections not to run (comma-separated, repeatable).")
    ] = None,
    format_: Annotated[
        str,
        typer.Option("--format", "-f", help="What to print: text, json, sarif or github.", metavar="FORMAT"),
    ] = "text",
    report: Annotated[
        _Texts,
        typer.Option(
            "--report",
            help="Also write a report to a file, as in `sarif=out.sarif` (repeatable).",
            metavar="FORMAT=FILE",
        ),
    ] = None,
    fail_on: Annotated[
        _Text,
        typer.Option(
            "--fail-on",
            help="Lowest severity that fails the run: error, warning, info or never.",
            metavar="SEVERITY",
        ),
    ] = None,
    min_confidence: Annotated[
        _Text,
        typer.Option(
            "--min-confidence",
            help="Lowest confidence that is shown: high, medium or low.",
            metavar="CONFIDENCE",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Findings of low confidence fail the run too.")
    ] = False,
    exit_zero: Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever was found.")] = False,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="Print counts per rule instead of findings.")
    ] = False,
    no_ignores: Annotated[
        bool, typer.Option("--no-ignores", help="Report what comments, annotations and the contract ignore.")
    ] = False,
    show_suppressed: Annotated[
        bool, typer.Option("--show-suppressed", help="List ignored findings too.")
    ] = False,
    stdin_filename: _StdinFilename = "-",
    siblings: Annotated[
        bool,
        typer.Option(
            "--siblings",
            help="Read the other manifests beside and above the given files for context (pre-commit).",
        ),
    ] = False,
    against_release: Annotated[
        _Text,
        typer.Option(
            "--against-release",
            help="Also report flags left to a default that another vLLM release changes.",
            metavar="RELEASE",
        ),
    ] = None,
    contract: _Contract = None,
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", help="Processes; 0 chooses by the number of files.", min=0)
    ] = 0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show lost inputs, skipped documents and tracebacks.")
    ] = False,
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
            )
        )
    )


@app.command()
def inspect(
    paths: _Paths = None,
    format_: _TextOrJson = "text",
    defaults: Annotated[bool, typer.Option("--defaults", help="Show the release's defaults too.")] = False,
    stdin_filename: _StdinFilename = "-",
    contract: _Contract = None,
) -> None:
    """Show what vllmlint believes about each vLLM server."""
    from vllmlint.cli import inspect as command

    _leave(
        command.run(paths or [], format_, defaults=defaults, stdin_filename=stdin_filename, contract=contract)
    )


@app.command(cls=_WithServeWords)
def fit(
    context: typer.Context,
    paths: Annotated[
        _Texts,
        typer.Argument(
            help="Manifests or directories; `-` reads standard input. Behind `--`: words of `vllm serve`.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        _Text,
        typer.Option("--model", help="The model, by its hub id, instead of a manifest's.", metavar="ID"),
    ] = None,
    release: Annotated[
        _Text,
        typer.Option("--release", help="The vLLM release, if not what the image says.", metavar="RELEASE"),
    ] = None,
    gpu: Annotated[
        _Text,
        typer.Option("--gpu", help="The GPU (`h100`, `a100-80gb`), or `all` for a table.", metavar="NAME"),
    ] = None,
    gpu_memory_gib: Annotated[
        float | None,
        typer.Option("--gpu-memory-gib", help="GiB that CUDA reports for that GPU.", metavar="GIB"),
    ] = None,
    model_config: Annotated[
        _Text,
        typer.Option("--model-config", help="The model's config.json, or its directory.", metavar="PATH"),
    ] = None,
    online: Annotated[
        bool, typer.Option("--online", help="Ask the Hugging Face hub for what is not known here.")
    ] = False,
    settings: Annotated[
        _Texts,
        typer.Option("--set", help="Another value for a flag of vLLM (repeatable).", metavar="FLAG=VALUE"),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option("--concurrency", help="Requests of full length to hold at once.", metavar="N"),
    ] = None,
    format_: _TextOrJson = "text",
    explain_terms: Annotated[
        bool, typer.Option("--explain", help="Print every term's formula with its numbers.")
    ] = False,
    nodes: _Nodes = None,
    compare_log: Annotated[
        _Text,
        typer.Option(
            "--compare-log",
            help="A start-up log of vLLM (`-`: standard input) to set beside the plan.",
            metavar="FILE",
        ),
    ] = None,
    append: Annotated[
        _Text,
        typer.Option("--append", help="Add that log to a file of calibration rows.", metavar="ROWS.JSONL"),
    ] = None,
    stdin_filename: _StdinFilename = "-",
    contract: _Contract = None,
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
    paths: _Paths = None,
    nodes: _Nodes = None,
    format_: _TextOrJson = "text",
    stdin_filename: _StdinFilename = "-",
    contract: _Contract = None,
) -> None:
    """Show on which nodes each vLLM server can run, and what stands in the way on the others."""
    from vllmlint.cli import place as command

    _leave(command.run(paths or [], nodes or [], format_, stdin_filename=stdin_filename, contract=contract))


@app.command()
def upgrade(
    to: Annotated[
        str, typer.Option("--to", help="The vLLM release to move to, as in 0.33.0.", metavar="RELEASE")
    ],
    paths: _Paths = None,
    source: Annotated[
        _Text,
        typer.Option(
            "--from", help="The release it runs now, if not what the image says.", metavar="RELEASE"
        ),
    ] = None,
    format_: _TextOrJson = "text",
    all_defaults: Annotated[
        bool,
        typer.Option("--all-defaults", help="Every default that differs, not only those known to matter."),
    ] = False,
    stdin_filename: _StdinFilename = "-",
    contract: _Contract = None,
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
    paths: _Paths = None,
    output: Annotated[
        str, typer.Option("--output", "-o", help="Where to write; `-` prints.")
    ] = "vllmlint.yaml",
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    nodes: Annotated[
        _Texts,
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


def run() -> None:
    """Run the command line; a closed pipe or an interrupt ends it quietly."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that has no such letter
    if sys.stdout is None:  # closed by the caller (`>&-`): the exit code is all that is wanted
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end
    # a run is short and its data lives to the end: collecting cycles would only cost time
    gc.disable()
    name = "kubectl vllmlint" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "vllmlint"
    try:
        app(prog_name=name)
    except BrokenPipeError:
        # the reader of our output went away (`| head`): nothing is wrong
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception:
        # 1 would say that something was found
        import traceback

        traceback.print_exc()
        sys.exit(EXIT_INTERNAL)
