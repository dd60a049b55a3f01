"""Compare vllmlint's reading of command lines with what vLLM's own parsers made of them.

    python benchmarks/argv/replay.py [-v] PATH...

PATH: JSONL files, or folders of them, with rows of the keys `release`, `form`, `argv`, `config_file`,
`ok`, `error_kind`, `settings`, `model`; a `defaults.json` beside a file gives the defaults that
`settings` leaves out. A row agrees when `ok` does and, for a refused line, the kind of the first error,
or, for an accepted one, every setting and the model. The last line is `agree N of M`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from vllmlint.serving.arguments import UNKNOWN, ConfigFileError, ParsedArguments, parse_arguments
from vllmlint.serving.release import Release


def files(paths: list[str]) -> Iterator[Path]:
    """The row files among the paths, folders opened."""
    for text in paths:
        path = Path(text)
        if path.is_dir():
            yield from sorted(path.glob("*.jsonl"))
        else:
            yield path


@cache
def defaults(folder: Path) -> dict[str, Any]:
    """Release -> key -> default, as the real parsers have them."""
    path = folder / "defaults.json"
    loaded: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return loaded


def reader(row: Mapping[str, Any]) -> Any:
    """A reader of the one config file that lay there when the row was made."""
    config = row["config_file"]

    def read(path: str) -> Mapping[Any, Any]:
        if config is None or path != config["path"]:
            raise ConfigFileError(f"FileNotFoundError: [Errno 2] No such file or directory: {path!r}")
        try:
            content = yaml.safe_load(config["text"])
        except yaml.YAMLError as error:
            raise ConfigFileError(type(error).__name__) from None
        if not isinstance(content, dict):
            raise ConfigFileError(
                f"AttributeError: {type(content).__name__!r} object has no attribute 'items'"
            )
        return content

    return read


def parse(row: Mapping[str, Any]) -> ParsedArguments:
    """The row's command line as vllmlint reads it."""
    release = Release.parse(row["release"])
    if release is None:
        raise ValueError(f"not a release: {row['release']}")
    config = row["config_file"]
    there = {config["path"]} if config else set()
    return parse_arguments(row["argv"], release, row["form"], reader(row), there.__contains__)


def same(ours: Any, theirs: Any, is_config: bool) -> bool:
    """Whether two values agree.

    Of config objects the rows show only what differs from a default object, with enum members as
    numbers and values that the class derives, so only shared keys of the same type are compared.
    """
    if isinstance(ours, list) and isinstance(theirs, list):
        pairs = zip(ours, theirs, strict=False)
        return len(ours) == len(theirs) and all(same(a, b, is_config) for a, b in pairs)
    if isinstance(ours, dict) and isinstance(theirs, dict):
        if not is_config and ours.keys() != theirs.keys():
            return False
        return all(same(ours[key], theirs[key], is_config) for key in ours.keys() & theirs.keys())
    if isinstance(ours, bool) or isinstance(theirs, bool):
        return is_config or ours is theirs
    if isinstance(ours, int | float) and isinstance(theirs, int | float):
        return ours == theirs or (ours != ours and theirs != theirs)
    if type(ours) is not type(theirs):
        return is_config or str(ours) == str(theirs)
    return bool(ours == theirs)


#: Keys whose values the real parser turns into objects.
_OBJECTS = {"lora_modules", "prompt_adapters"}


def difference(row: Mapping[str, Any], ours: ParsedArguments, default: Mapping[str, Any]) -> str | None:
    """What is not the same, in words; None when the row agrees."""
    first = ours.errors[0] if ours.errors else None
    if row["ok"] != (first is None):
        return f"ok is {row['ok']}: {row['error'] if first is None else first}"
    if first is not None:
        if first.kind == row["error_kind"]:
            return None
        return f"{row['error_kind']} ({row['error']}), ours {first.kind} ({first.message})"
    if ours.model != row["model"]:
        return f"model {row['model']!r}, ours {ours.model!r}"
    tag = row["settings"].get("model_tag")
    if tag != ours.positional:
        return f"positional {tag!r}, ours {ours.positional!r}"
    return setting_difference(row["settings"], ours, default)


def setting_difference(
    expected: Mapping[str, Any], ours: ParsedArguments, default: Mapping[str, Any]
) -> str | None:
    """The first setting that is not the same, in words; the rows leave out what equals its default."""
    for name in expected.keys() | ours.settings.keys():
        if name == "model_tag":
            continue
        setting = ours.settings.get(name)
        if setting is None:
            return f"{name}: {expected[name]!r} expected, ours not given"
        is_config = name in _OBJECTS or bool(setting.spec and setting.spec.schema)
        if name not in expected and (is_config or name not in default):
            continue
        wanted = expected[name] if name in expected else default[name]
        if setting.value is UNKNOWN or not same(setting.value, wanted, is_config):
            return f"{name}: {wanted!r} expected, ours {setting.value!r}"
    return None


def main(arguments: list[str]) -> int:
    """Replay all rows; exit status 1 when a row differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="+", metavar="PATH")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every difference")
    options = parser.parse_args(arguments)
    total: Counter[tuple[str, str]] = Counter()
    agreed: Counter[tuple[str, str]] = Counter()
    spent = 0.0
    for path in files(options.paths):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            started = time.perf_counter()
            ours = parse(row)
            spent += time.perf_counter() - started
            found = difference(row, ours, defaults(path.parent).get(row["release"], {}))
            for key in (("release", row["release"]), ("group", row["group"])):
                total[key] += 1
                agreed[key] += found is None
            if found is not None and options.verbose:
                print(f"{row['release']} {row['form']} {row['group']} {json.dumps(row['argv'])}: {found}")
    for key in total:
        print(f"{key[0]} {key[1]}: {agreed[key]} of {total[key]}")
    releases = [key for key in total if key[0] == "release"]
    whole, good = sum(total[key] for key in releases), sum(agreed[key] for key in releases)
    print(f"time per row: {spent / max(whole, 1) * 1000:.3f} ms")
    print(f"agree {good} of {whole}")
    return int(good != whole)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
