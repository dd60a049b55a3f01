"""`fit --compare-log`: a start-up log beside its plan, and as a row of calibration data."""

from __future__ import annotations

import datetime
import os
from typing import TYPE_CHECKING

from vllmlint.cli.fit_errors import FitUsageError
from vllmlint.plans.startup_log import MAX_LOG_CHARACTERS, StartupLog, read_startup_log
from vllmlint.sources.files import stdin_bytes

if TYPE_CHECKING:
    from vllmlint.hardware.gpu import Gpu


def read_log(path: str) -> StartupLog:
    """The start-up that a file (`-`: standard input) tells of; FitUsageError where it tells of none."""
    try:
        if path == "-":
            data = stdin_bytes()
        else:
            with open(path, "rb") as file:
                data = file.read(MAX_LOG_CHARACTERS * 4)
    except OSError as error:
        raise FitUsageError(f"cannot read {path}: {error.strerror or error}") from error
    log = read_startup_log(data.decode("utf-8", "replace"))
    if not log.recognised:
        raise FitUsageError(f"{path}: no line of a vLLM start-up in it")
    return log


def append_row(log: StartupLog, path: str, gpu: Gpu, source: str) -> None:
    """Add the log to a file of calibration rows. Raises FitUsageError where that cannot be written."""
    from vllmlint.plans.startup_log_rows import calibration_row, row_text

    name = "stdin" if source == "-" else os.path.splitext(os.path.basename(source))[0]
    try:
        with open(path, "a+b") as file:
            file.seek(0)
            rows = file.read()
            # a file that somebody else wrote may lack its last line break
            separator = b"" if not rows or rows.endswith(b"\n") else b"\n"
            number = rows.count(b"\n") + len(separator) + 1
            row = calibration_row(
                log,
                gpu=gpu.id,
                row_id=f"{name}-{number}",
                source=source,
                source_date=datetime.date.today().isoformat(),
            )
            file.write(separator + row_text(row).encode())
    except OSError as error:
        raise FitUsageError(f"cannot write {path}: {error.strerror or error}") from error
