"""A run over several processes: each reads and judges its own files, all see the same objects."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Sequence
from itertools import pairwise
from multiprocessing.connection import Connection
from typing import Any

from vllmlint.kube.objects import KubeObject
from vllmlint.lint.result import RunResult
from vllmlint.lint.run import Progress, RunOptions, Shard, context_objects
from vllmlint.sources.files import Input


def run_sharded(options: RunOptions, shards: int, progress: Progress | None) -> RunResult:
    """Run the shards in processes of their own and join what they found, in order of file.

    Three rounds, since a join may cross shards: every shard reads its files and names the objects that
    others refer to; with those in sight it names its workloads that another shard's Service selects;
    then each judges its files. Raises what a shard raised (`SourceError`, `ContractError`).
    """
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    context: Any = multiprocessing.get_context(method)
    workers = []
    for inputs in _split(options.inputs, shards):
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, options, inputs), daemon=True)
        process.start()
        theirs.close()
        workers.append((process, ours, len(inputs)))
    try:
        exported, done = [], 0
        for _, connection, count in workers:
            exported.append(_receive(connection))
            done += count
            if progress is not None:
                progress(done)
        outside = context_objects(options)
        foreign = _of_others(exported)
        for (_, connection, _), objects in zip(workers, foreign, strict=True):
            connection.send([*objects, *outside])
        selected = _of_others([_receive(connection) for _, connection, _ in workers])
        for (_, connection, _), objects in zip(workers, selected, strict=True):
            connection.send(objects)
        results = [_receive(connection) for _, connection, _ in workers]
    except BaseException:
        # the others wait for an answer that does not come
        for process, _, _ in workers:
            process.terminate()
        raise
    finally:
        for process, connection, _ in workers:
            connection.close()
            process.join(timeout=1)
            if process.is_alive():
                process.terminate()
    return _merge(results)


def _of_others(named: Sequence[list[KubeObject]]) -> list[list[KubeObject]]:
    """For each shard what all the others named."""
    return [
        [obj for other, objects in enumerate(named) if other != number for obj in objects]
        for number in range(len(named))
    ]


def _split(inputs: Sequence[Input], shards: int) -> list[Sequence[Input]]:
    """Consecutive stretches of about the same number of files."""
    size, rest = divmod(len(inputs), shards)
    starts = [number * size + min(number, rest) for number in range(shards + 1)]
    return [inputs[low:high] for low, high in pairwise(starts)]


def _work(connection: Connection, options: RunOptions, inputs: Sequence[Input]) -> None:
    """The life of one worker process."""
    try:
        shard = Shard(options, inputs)
        connection.send(shard.exported())
        foreign = connection.recv()
        connection.send(shard.selected(foreign))
        connection.send(shard.judge([*foreign, *connection.recv()]))
    except Exception as error:
        with contextlib.suppress(OSError):  # the parent has given up on the run
            connection.send(error)
    finally:
        connection.close()


def _receive(connection: Connection) -> Any:
    try:
        message = connection.recv()
    except EOFError:
        raise RuntimeError("a worker process ended before it had reported") from None
    if isinstance(message, Exception):
        raise message
    return message


def _merge(results: Sequence[RunResult]) -> RunResult:
    merged = RunResult()
    for result in results:
        merged.findings += result.findings
        merged.suppressed += result.suppressed
        merged.lost_inputs += result.lost_inputs
        merged.skipped += result.skipped
        merged.files += result.files
        merged.objects += result.objects
        merged.servers += result.servers
        merged.internal_errors += result.internal_errors
    return merged
