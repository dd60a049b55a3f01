"""What vLLM checks of the parsed arguments right after parsing, before anything starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vllmlint.serving.arg_errors import ArgumentError, Stage
from vllmlint.serving.arg_results import UNKNOWN, ParsedArguments
from vllmlint.serving.flag_tables import FlagTable

_MODEL_ADVICE = (
    "ValueError: With `vllm serve`, you should provide the model as a positional argument instead of via "
    "the `--model` option."
)


def check_after_parsing(
    output: ParsedArguments, table: FlagTable, file_exists: Callable[[str], bool] | None
) -> None:
    """Append the errors of `validate_parsed_serve_args` and of the `serve` command.

    Only what the words themselves show: with unknown words nothing is said to be missing.
    """
    _check_chat_template(output, file_exists)
    _check_needed(output, table)
    _check_effort_map(output)
    if output.entrypoint == "serve":
        _check_serve(output, table)


def _fail(output: ParsedArguments, message: str, name: str, stage: Stage = "validate") -> None:
    """An error about the flag with key `name`."""
    setting = output.settings.get(name)
    word = setting.flag_word if setting is not None else None
    span = setting.flag_span if setting is not None else None
    flag = setting.spec.name if setting is not None and setting.spec is not None else ""
    output.errors.append(ArgumentError("exception", message, word, span, flag, stage))


def _is_on(output: ParsedArguments, name: str) -> bool:
    """Whether a switch is known to be on."""
    return output.get(name) is True


def _is_off(output: ParsedArguments, table: FlagTable, name: str) -> bool:
    """Whether the value of a flag is known and empty, the release's default included."""
    setting = output.settings.get(name)
    if setting is None:
        spec = table.get(name)
        return output.complete and (spec is None or not spec.default)
    return setting.value is not UNKNOWN and not setting.value


def _check_chat_template(output: ParsedArguments, file_exists: Callable[[str], bool] | None) -> None:
    """A template that is no template text must be a file."""
    template = output.get("chat_template")
    if file_exists is None or not isinstance(template, str) or any(sign in template for sign in "{}\n"):
        return
    if not file_exists(template):
        message = (
            f"ValueError: The supplied chat template string ({template}) appears path-like, "
            "but doesn't exist!"
        )
        _fail(output, message, "chat_template")


def _check_needed(output: ParsedArguments, table: FlagTable) -> None:
    """Switches that need another flag."""
    needs = (
        ("enable_auto_tool_choice", "tool_call_parser"),
        ("enable_log_outputs", "enable_log_requests"),
        ("enable_reasoning", "reasoning_parser"),
    )
    for name, needed in needs:
        # Before `--enable-log-requests` existed, requests were logged by default.
        exists = name in output.settings and table.get(needed) is not None
        if name == "enable_reasoning" and table.release.at_least("0.9.0"):
            # Deprecated then, and no longer looked at.
            continue
        if exists and _is_on(output, name) and _is_off(output, table, needed):
            flag, other = (each.replace("_", "-") for each in (name, needed))
            _fail(output, f"TypeError: Error: --{flag} requires --{other}", name)
    size = output.get("data_parallel_size")
    alone = output.complete if size is None else isinstance(size, int) and size <= 1
    if _is_on(output, "data_parallel_multi_port_external_lb") and alone:
        message = (
            "ValueError: Error: --data-parallel-multi-port-external-lb requires --data-parallel-size > 1"
        )
        _fail(output, message, "data_parallel_multi_port_external_lb")


def _check_effort_map(output: ParsedArguments) -> None:
    efforts: Any = output.get("reasoning_effort_map")
    if efforts is None or efforts is UNKNOWN:
        return
    if isinstance(efforts, dict) and all(isinstance(value, str) for value in efforts.values()):
        return
    message = (
        "ValueError: Error: --reasoning-effort-map must be a JSON object mapping reasoning efforts to "
        "strings."
    )
    _fail(output, message, "reasoning_effort_map")


def _check_serve(output: ParsedArguments, table: FlagTable) -> None:
    """What the `serve` command refuses before it starts anything."""
    beside = table.parser.serve_model_option == "error_beside_positional"
    # The command only sees that the value is not the default one.
    if beside and output.get("model") not in (None, UNKNOWN, table.spec("--model").default):
        _fail(output, _MODEL_ADVICE, "model", "command")
    if not table.release.at_least("0.10.0"):
        rank = output.get("data_parallel_start_rank")
        if isinstance(rank, int) and rank and output.complete and not _is_on(output, "headless"):
            message = "ValueError: data_parallel_start_rank is only applicable in headless mode"
            _fail(output, message, "data_parallel_start_rank", "command")
    count = output.get("api_server_count")
    # Since 0.15 an unset count is told from a set one.
    if (
        table.release.at_least("0.15.0")
        and _is_on(output, "headless")
        and isinstance(count, int)
        and count > 0
    ):
        message = (
            f"ValueError: --api-server-count={count} cannot be used with --headless "
            "(no API servers are started in headless mode)."
        )
        _fail(output, message, "api_server_count", "command")
    if table.release.at_least("0.15.0"):
        _check_load_balancing(output)


def _check_load_balancing(output: ParsedArguments) -> None:
    """More than one of the data parallel load balancing modes."""
    external = _is_on(output, "data_parallel_external_lb") or output.get("data_parallel_rank") is not None
    modes = (
        external,
        _is_on(output, "data_parallel_hybrid_lb"),
        _is_on(output, "data_parallel_multi_port_external_lb"),
    )
    if sum(modes) > 1:
        message = "ValueError: Cannot use more than one data parallel load balancing mode."
        name = "data_parallel_hybrid_lb" if modes[1] else "data_parallel_multi_port_external_lb"
        _fail(output, message, name, "command")
