"""`python -m vllmlint` and the console scripts: the start and the end of a run, streams and exit code."""

from __future__ import annotations

import gc
import io
import os
import sys

EXIT_USAGE, EXIT_INTERNAL = 2, 3
#: What a shell makes of SIGINT: 128 + 2.
_EXIT_INTERRUPTED = 130


class _Output(io.TextIOWrapper):
    """Standard output that outlives its reader (`| head`): the exit code is the run's all the same."""

    def write(self, text: str, /) -> int:
        """Write, or drop the text where nobody reads."""
        try:
            return super().write(text)
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        """Flush, or drop what is left where nobody reads."""
        try:
            super().flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def main() -> None:
    """Run the command line and leave with its exit code.

    `--version` alone is answered before anything is imported: scripts ask it often.
    """
    if sys.argv[1:] in (["--version"], ["-V"]):
        from vllmlint.version import __version__

        print(f"vllmlint {__version__}")
        return
    _set_up_streams()
    # a run is short and its data lives to the end: collecting cycles would only cost time
    gc.disable()
    name = "kubectl vllmlint" if os.path.basename(sys.argv[0]).startswith("kubectl-") else "vllmlint"
    from vllmlint.cli.app import run_app

    try:
        try:
            run_app(name)
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(_EXIT_INTERRUPTED)
    except Exception as error:
        reason = _outer_reason(error)
        if reason:
            print(f"vllmlint: {reason}", file=sys.stderr)
            _drop_output()
            sys.exit(EXIT_USAGE)
        # 1 would say that something was found
        import traceback

        traceback.print_exc()
        sys.exit(EXIT_INTERNAL)


def _set_up_streams() -> None:
    # a letter that the terminal does not have is shown as its code
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="backslashreplace")
    if isinstance(sys.stdout, io.TextIOWrapper):
        encoding, line_buffering = sys.stdout.encoding, sys.stdout.line_buffering
        sys.stdout = _Output(sys.stdout.detach(), encoding, "backslashreplace", line_buffering=line_buffering)
        sys.__stdout__ = sys.stdout  # type: ignore[misc]  # where the terminal's width is asked for
    if sys.stdout is None:  # closed by the caller (`>&-`): the exit code is all that is wanted
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - open until the end


def _outer_reason(error: Exception) -> str:
    """Why a run failed, where the reason is its surroundings and no fault of vllmlint; else nothing."""
    if not isinstance(error, OSError) or error.filename is not None:
        return ""
    if isinstance(error, FileNotFoundError) and not _current_directory():
        return "the current directory does not exist any more"
    import errno

    if error.errno in (errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EFBIG, errno.EBADF):
        return f"cannot write the output: {error.strerror}"
    return ""


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""


def _drop_output() -> None:
    """Let the end of the process not try again what could not be written."""
    if isinstance(sys.stdout, _Output):
        sys.stdout._drop()


if __name__ == "__main__":
    main()
