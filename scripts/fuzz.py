"""Mutate manifests and lint them: no exception, no rule that raises, none slower than a second.

    python scripts/fuzz.py --count 10000 [--seed 1] [--jobs 2] [--save DIRECTORY] [PATH...]

The manifests to start from are those under `fixtures/`, the examples of the rules, and what PATH names.
Case N of a seed is always the same: `--only N` runs it alone and prints the mutated manifest.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import json
import multiprocessing
import random
import re
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import yaml

from vllmlint.lint.contracts import ContractError
from vllmlint.lint.run import RunOptions, run_check
from vllmlint.reports import FORMATS, RenderOptions, render
from vllmlint.sources.files import Input

ROOT = Path(__file__).resolve().parent.parent
TODAY = datetime.date(2026, 11, 23)
#: What one lint and one report may take, in CPU seconds of this process (other work does not count).
CPU_LIMIT = 1.0
#: Larger manifests take their time whatever they hold (an alias bomb written out has megabytes).
LARGEST = 100_000
#: A case that runs this long is cut off.
HANG_SECONDS = 10

_TOKEN = re.compile(r"[^\s:,\[\]{}\"'#]+")
#: Values that programs stumble over.
NASTY = (
    *(
        "null",
        "~",
        "",
        "{}",
        "[]",
        "[[]]",
        "{a: }",
        "- ",
        "-1",
        "0",
        "1e999",
        ".nan",
        ".inf",
        "0x7f",
        "0o17",
        "1_000",
    ),
    *(
        "99999999999999999999999",
        "1Ei",
        "-0.5m",
        "1.5",
        "true",
        "on",
        "''",
        '""',
        "'",
        '"',
        "|",
        ">-",
        "|2",
        "&a",
        "*a",
    ),
    *(
        "&a [*a]",
        "<<: *a",
        "<<: 1",
        "!!binary x",
        "!!python/object:os.system x",
        "!x y",
        "$(X)",
        "$(",
        "${X}",
        "$$",
        "`x`",
    ),
    *(
        "{{ .Values.x }}",
        "{% if x %}",
        "---",
        "...",
        "--- a",
        "\t",
        "\ufeff",
        "\0",
        "\x85",
        "\u2028",
        "日本語",
        "\U0001f600",
    ),
    *(
        "? a",
        "? [a]",
        ":",
        "- - -",
        "#",
        "%YAML 9.9",
        "@",
        "--",
        "-",
        "--=",
        "--port",
        "--port=",
        "--a=b=c",
        "exec vllm serve",
    ),
    *(
        "vllm serve 'a",
        "a && b | c; (d)",
        "<<EOF",
        "2147483648",
        "2027-01-01",
        "12:30:45",
        "vllm/vllm-openai:",
        "a@sha256:",
        "://",
    ),
    *(
        "/",
        "//",
        "..",
        "a" * 300,
        "# vllmlint: ignore[",
        "# vllmlint: ignore[x] until=2026-99-99",
        "# vllmlint: ignore",
    ),
)
_VALUES: tuple[Any, ...] = (
    None,
    "",
    "x",
    0,
    -1,
    1.5,
    10**30,
    True,
    [],
    {},
    [None],
    {"a": None},
    [[]],
    ["", {}],
    {"": ""},
)


@dataclass(frozen=True)
class Failure:
    """A case that went wrong."""

    number: int
    what: str
    data: bytes


@cache
def seeds(extra: tuple[str, ...] = ()) -> tuple[bytes, ...]:
    """The manifests that are mutated."""
    found = [path.read_bytes() for path in sorted((ROOT / "fixtures").rglob("*.yaml"))]
    found += [path.read_bytes() for path in sorted((ROOT / "rules" / "base").glob("*.yaml"))]
    docs = json.loads((ROOT / "rules" / "docs.json").read_text("utf-8"))
    examples = [example for row in docs.values() for example in row["examples"]]
    found += [text.encode() for example in examples for text in example.get("files", {}).values()]
    for name in extra:
        path = Path(name)
        files = sorted(path.rglob("*.y*ml")) if path.is_dir() else [path]
        found += [file.read_bytes() for file in files if file.is_file()]
    return tuple(data for data in found if len(data) < LARGEST)


def mutated(number: int, seed: int, extra: tuple[str, ...] = ()) -> bytes:
    """Case `number` of a seed."""
    rng = random.Random(f"{seed}:{number}")
    data = rng.choice(seeds(extra))
    if rng.random() < 0.25:
        changed = _change_structure(data, rng)
        data = changed if len(changed) < LARGEST else data
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        data = rng.choice(_MUTATIONS)(data, rng)
    return data


def _change_structure(data: bytes, rng: random.Random) -> bytes:
    """Put values of other types where the manifest has its own; as it is where it does not parse."""
    try:
        documents = [one for one in yaml.load_all(data, yaml.CSafeLoader) if one is not None]
    except (yaml.YAMLError, ValueError):
        return data
    for _ in range(rng.choice((1, 1, 2, 5))):
        slots = [slot for one in documents for slot in _slots(one)]
        if not slots:
            break
        holder, key = rng.choice(slots)
        holder[key] = copy.deepcopy(rng.choice(_VALUES)) if rng.random() < 0.7 else rng.choice(NASTY)
    if rng.random() < 0.3:
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": documents}, default=str).encode()
    return yaml.dump_all(documents, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True).encode(
        "utf-8", "replace"
    )


def _slots(root: Any) -> list[tuple[Any, Any]]:
    """Every place of a structure that holds a value; what is aliased counts once."""
    found, waiting, seen = [], [root], set()
    while waiting:
        node = waiting.pop()
        if not isinstance(node, dict | list) or id(node) in seen:
            continue
        seen.add(id(node))
        keys = list(node) if isinstance(node, dict) else range(len(node))
        found += [(node, key) for key in keys]
        waiting += [node[key] for key in keys]
    return found


def _flip_bytes(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice((1, 2, 5)) if changed else 0):
        changed[rng.randrange(len(changed))] = (
            rng.randrange(256) if rng.random() < 0.3 else rng.randrange(32, 127)
        )
    return bytes(changed)


def _change_lines(data: bytes, rng: random.Random) -> bytes:
    """Delete, double, swap, indent or truncate lines."""
    lines = data.split(b"\n")
    first, second = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(6):
        case 0:
            del lines[first]
        case 1:
            lines.insert(second, lines[first])
        case 2:
            lines[first], lines[second] = lines[second], lines[first]
        case 3:
            lines[first] = b" " * rng.randrange(1, 9) + lines[first]
        case 4:
            lines[first] = lines[first].lstrip()
        case _:
            del lines[first : first + rng.randrange(1, 20)]
    return b"\n".join(lines)


def _change_tokens(data: bytes, rng: random.Random) -> bytes:
    """Swap two words of the text, or write something nasty for one."""
    text = data.decode("utf-8", "replace")
    tokens = list(_TOKEN.finditer(text))
    if not tokens:
        return rng.choice(NASTY).encode()
    low, high = sorted((rng.choice(tokens), rng.choice(tokens)), key=lambda one: one.start())
    if rng.random() < 0.6 or low is high:
        return (text[: low.start()] + rng.choice(NASTY) + text[low.end() :]).encode("utf-8", "replace")
    swapped = text[: low.start()] + high[0] + text[low.end() : high.start()] + low[0] + text[high.end() :]
    return swapped.encode("utf-8", "replace")


def _insert(data: bytes, rng: random.Random) -> bytes:
    """Put something nasty, or a stretch of another manifest, anywhere."""
    at = rng.randrange(len(data) + 1)
    if rng.random() < 0.6:
        return data[:at] + rng.choice(NASTY).encode("utf-8", "replace") + data[at:]
    other = rng.choice(seeds())
    low = rng.randrange(len(other) + 1)
    return data[:at] + other[low : low + rng.randrange(1, 400)] + data[at:]


def _cut(data: bytes, rng: random.Random) -> bytes:
    """Keep the start only, or turn the line ends."""
    if rng.random() < 0.5:
        return data[: rng.randrange(len(data) + 1)]
    return data.replace(b"\n", rng.choice((b"\r\n", b"\r", b"\n\n", b"\n\t")))


_MUTATIONS = (
    _flip_bytes,
    _change_lines,
    _change_lines,
    _change_tokens,
    _change_tokens,
    _change_tokens,
    _insert,
    _cut,
)


def lint(data: bytes, fmt: str = "json") -> list[str]:
    """Lint a manifest with every rule and write one report; returns what went wrong inside."""
    result = run_check(RunOptions([Input("/fuzz/manifest.yaml", data)], today=TODAY, jobs=1))
    render(result, fmt, options=RenderOptions(show_suppressed=True, verbose=True, width=80))
    return result.internal_errors


def attempt(number: int, data: bytes, cpu_limit: float = CPU_LIMIT) -> Failure | None:
    """Lint one case; what went wrong, if anything did."""

    def cut_off(_signal: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"still running after {HANG_SECONDS} s")

    if hasattr(signal, "SIGALRM"):
        signal.signal(signal.SIGALRM, cut_off)
        signal.alarm(HANG_SECONDS)
    started = time.process_time()
    try:
        errors = lint(data, FORMATS[number % len(FORMATS)])
    except ContractError:
        raise
    except Exception:
        return Failure(number, traceback.format_exc(), data)
    finally:
        if hasattr(signal, "SIGALRM"):
            signal.alarm(0)
    seconds = time.process_time() - started
    if errors:
        return Failure(number, errors[0], data)
    if seconds > cpu_limit:
        return Failure(number, f"took {seconds:.2f} s", data)
    return None


def _attempt_numbers(work: tuple[range, int, tuple[str, ...]]) -> list[Failure]:
    numbers, seed, extra = work
    lint(seeds(extra)[0])  # what is imported on first use does not count as the time of a case
    failures = (attempt(number, mutated(number, seed, extra)) for number in numbers)
    return [failure for failure in failures if failure is not None]


def fuzz(count: int, seed: int, jobs: int, extra: tuple[str, ...] = ()) -> list[Failure]:
    """The failures among the first `count` cases of a seed."""
    work = [(range(start, count, jobs), seed, extra) for start in range(jobs)]
    if jobs == 1:
        return _attempt_numbers(work[0])
    with multiprocessing.Pool(jobs) as pool:
        return sorted(
            (one for found in pool.map(_attempt_numbers, work) for one in found), key=lambda one: one.number
        )


def _report(failures: Sequence[Failure], save: Path | None) -> None:
    """Print each kind of failure once, with how often it came."""
    kinds: dict[str, list[Failure]] = {}
    for failure in failures:
        lines = failure.what.strip().splitlines()
        places = [line.strip() for line in lines if line.strip().startswith("File ")]
        kinds.setdefault(f"{places[-1] if places else ''} {lines[-1][:60]}", []).append(failure)
    for found in sorted(kinds.values(), key=len, reverse=True):
        cases = ", ".join(str(one.number) for one in found[:5])
        print(f"=== {len(found)} times, as in case {cases}:\n{found[0].what}")
        if save is not None:
            save.mkdir(parents=True, exist_ok=True)
            smallest = min(found, key=lambda one: len(one.data))
            (save / f"case-{smallest.number}.yaml").write_bytes(smallest.data)


def main() -> int:
    """Run the cases and print the failures."""
    parser = argparse.ArgumentParser(description="Mutate manifests and lint them.")
    parser.add_argument("--count", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", type=int, metavar="N", help="run one case and print it")
    parser.add_argument(
        "--save", type=Path, metavar="DIRECTORY", help="write the smallest input of each failure there"
    )
    parser.add_argument("paths", nargs="*", help="more manifests to start from")
    options = parser.parse_args()
    extra = tuple(options.paths)
    if options.only is not None:
        data = mutated(options.only, options.seed, extra)
        sys.stdout.buffer.write(data + b"\n")
        sys.stdout.flush()
        found = attempt(options.only, data)
        failures = [found] if found is not None else []
    else:
        failures = fuzz(options.count, options.seed, options.jobs, extra)
    _report(failures, options.save)
    print(f"{len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
