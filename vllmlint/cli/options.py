"""The arguments and options of the commands, as typer reads them."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

Text = Optional[str]  # noqa: UP045 - typer reads the annotations
Texts = Optional[list[str]]  # noqa: UP045

_PATHS = typer.Argument(help="Manifests or directories; `-` reads standard input.", show_default=False)
_CONTRACT = typer.Option(
    "--contract", help="Contract file for all paths (default: the nearest vllmlint.yaml above each file)."
)
Paths = Annotated[Texts, _PATHS]
ContractFile = Annotated[Text, _CONTRACT]
StdinFilename = Annotated[
    str, typer.Option("--stdin-filename", help="The name of the manifest on standard input.")
]
TextOrJson = Annotated[str, typer.Option("--format", "-f", help="text or json.", metavar="FORMAT")]
Nodes = Annotated[
    Texts,
    typer.Option(
        "--nodes",
        help="Real nodes, from `kubectl get nodes -o json` (repeatable; `-` reads standard input).",
        metavar="FILE",
    ),
]
CheckSelect = Annotated[
    Texts,
    typer.Option(
        "--select",
        help="Rules or sections to run instead of the contract's choice (comma-separated, repeatable).",
    ),
]
CheckIgnore = Annotated[
    Texts, typer.Option("--ignore", help="Rules or sections not to run (comma-separated, repeatable).")
]
CheckFormat = Annotated[
    str,
    typer.Option("--format", "-f", help="What to print: text, json, sarif or github.", metavar="FORMAT"),
]
CheckReport = Annotated[
    Texts,
    typer.Option(
        "--report",
        help="Also write a report to a file, as in `sarif=out.sarif` (repeatable).",
        metavar="FORMAT=FILE",
    ),
]
CheckFailOn = Annotated[
    Text,
    typer.Option(
        "--fail-on",
        help="Lowest severity that fails the run: error, warning, info or never.",
        metavar="SEVERITY",
    ),
]
CheckMinConfidence = Annotated[
    Text,
    typer.Option(
        "--min-confidence",
        help="Lowest confidence that is shown: high, medium or low.",
        metavar="CONFIDENCE",
    ),
]
CheckStrict = Annotated[bool, typer.Option("--strict", help="Findings of low confidence fail the run too.")]
CheckExitZero = Annotated[bool, typer.Option("--exit-zero", help="Exit 0 whatever was found.")]
CheckStatistics = Annotated[
    bool, typer.Option("--statistics", help="Print counts per rule instead of findings.")
]
CheckNoIgnores = Annotated[
    bool, typer.Option("--no-ignores", help="Report what comments, annotations and the contract ignore.")
]
CheckShowSuppressed = Annotated[bool, typer.Option("--show-suppressed", help="List ignored findings too.")]
CheckSiblings = Annotated[
    bool,
    typer.Option(
        "--siblings",
        help="Read the other manifests beside and above the given files for context (pre-commit).",
    ),
]
CheckAgainstRelease = Annotated[
    Text,
    typer.Option(
        "--against-release",
        help="Also report flags left to a default that another vLLM release changes.",
        metavar="RELEASE",
    ),
]
CheckJobs = Annotated[
    int, typer.Option("--jobs", "-j", help="Processes; 0 chooses by the number of files.", min=0)
]
CheckVerbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show lost inputs, skipped documents and tracebacks.")
]
FitPaths = Annotated[
    Texts,
    typer.Argument(
        help="Manifests or directories; `-` reads standard input. Behind `--`: words of `vllm serve`.",
        show_default=False,
    ),
]
FitModel = Annotated[
    Text,
    typer.Option("--model", help="The model, by its hub id, instead of a manifest's.", metavar="ID"),
]
FitRelease = Annotated[
    Text,
    typer.Option("--release", help="The vLLM release, if not what the image says.", metavar="RELEASE"),
]
FitGpu = Annotated[
    Text,
    typer.Option("--gpu", help="The GPU (`h100`, `a100-80gb`), or `all` for a table.", metavar="NAME"),
]
FitGpuMemoryGib = Annotated[
    float | None,
    typer.Option("--gpu-memory-gib", help="GiB that CUDA reports for that GPU.", metavar="GIB"),
]
FitModelConfig = Annotated[
    Text,
    typer.Option("--model-config", help="The model's config.json, or its directory.", metavar="PATH"),
]
FitOnline = Annotated[
    bool, typer.Option("--online", help="Ask the Hugging Face hub for what is not known here.")
]
FitSettings = Annotated[
    Texts,
    typer.Option("--set", help="Another value for a flag of vLLM (repeatable).", metavar="FLAG=VALUE"),
]
FitConcurrency = Annotated[
    int | None,
    typer.Option("--concurrency", help="Requests of full length to hold at once.", metavar="N"),
]
FitExplainTerms = Annotated[
    bool, typer.Option("--explain", help="Print every term's formula with its numbers.")
]
FitCompareLog = Annotated[
    Text,
    typer.Option(
        "--compare-log",
        help="A start-up log of vLLM (`-`: standard input) to set beside the plan.",
        metavar="FILE",
    ),
]
FitAppend = Annotated[
    Text,
    typer.Option("--append", help="Add that log to a file of calibration rows.", metavar="ROWS.JSONL"),
]
