"""Compare predictions with what vLLM logged at real start-ups.

    python benchmarks/accuracy/report.py [-v] [--planners] [--targets] PATH

PATH: a JSONL file of start-ups, or the folder that holds `startups.jsonl`; a `clear.txt` beside it names the
rows that count (those whose inputs are all stated), the others are reported apart. Prints medians and 90th
percentiles of the absolute error, how many truths lie inside their band, and the verdicts. `-v` prints every
row; `--planners` adds the same rows by the formulas of public planners; `--targets` holds the rows that count
against the project's targets and ends with 1 where one is missed. Where PATH does not exist it says so and
ends well.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from planners import PLANNERS, planned
from predict import Prediction, predict
from rows import Case, case_of

from vllmlint.memory.band import Band

GIB = 1 << 30
#: What the report measures: title, key of a row, attribute of a prediction.
QUANTITIES = (
    ("weights", "weights_gib", "weights"),
    ("activation", "activation_gib", "activation"),
    ("KV GiB", "kv_gib", "kv"),
    ("KV tokens", "kv_tokens", "tokens"),
    ("concurrency", "max_concurrency", "concurrency"),
)
#: Median and 90th percentile of the absolute error in percent that the project aims at.
TARGETS: Mapping[str, tuple[float, float | None]] = {
    "weights": (0.5, 2.0),
    "KV GiB": (2.5, 8.0),
    "KV tokens": (3.0, None),
}
#: Percent of truths in their band, of the median band's width, of verdicts that say yes or no.
LEAST_INSIDE, WIDEST, LEAST_DECIDED = 90, 10, 85
DECIDED = ("fits", "does-not-fit")
#: Printing rounds to 0.01 GiB and 0.01 x: a truth that far outside its band is inside.
_ROUNDING = 0.006
#: A pool below this many GiB says nothing in percent (negative ones are failures).
_SMALLEST_POOL_GIB = 0.5


@dataclass(frozen=True)
class Compared:
    """One quantity of one row: truth, band, error in percent of the truth."""

    truth: float
    band: Band

    @property
    def error(self) -> float:
        """Signed error of the middle, in percent of the truth."""
        return 100 * (self.band.mid - self.truth) / abs(self.truth)

    @property
    def inside(self) -> bool:
        """Whether the truth lies in the band, rounding allowed for."""
        slack = _ROUNDING + 0.0005 * abs(self.truth)
        return self.band.low - slack <= self.truth <= self.band.high + slack

    @property
    def width(self) -> float:
        """Width of the band in percent of the truth."""
        return 100 * (self.band.high - self.band.low) / abs(self.truth)


@dataclass(frozen=True)
class Outcome:
    """One row with its prediction and what could be compared."""

    case: Case
    prediction: Prediction
    compared: Mapping[str, Compared]


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a file."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def outcome(row: Mapping[str, Any]) -> Outcome:
    """A row predicted and compared."""
    case = case_of(row)
    if case.request is None:
        return Outcome(case, Prediction("unknown", case.why_not), {})
    prediction = predict(case.request)
    compared = {}
    for title, key, attribute in QUANTITIES:
        truth, band = truth_of(row, key), getattr(prediction, attribute)
        if truth is None or band is None:
            continue
        if key == "activation_gib":
            if other_rank(row, prediction):
                continue
            band = as_consumed(row, prediction, band)
        if key == "kv_gib" and other_rank(row, prediction):
            truth = row["kv_tokens"] * (prediction.bytes_per_token or 0) / GIB
        if key == "kv_gib" and truth < _SMALLEST_POOL_GIB:
            continue
        compared[title] = Compared(truth, band)
    return Outcome(case, prediction, compared)


def other_rank(row: Mapping[str, Any], prediction: Prediction) -> bool:
    """Whether V0 printed the terms of a rank that does not sample: its pool holds more than the tokens it
    gives (only the driver samples in V0; the rank with the least cache decides)."""
    tokens, cost = row.get("kv_tokens"), prediction.bytes_per_token
    if row["engine"] != "v0" or row["tp"] == 1 or not tokens or not cost or not row.get("kv_gib"):
        return False
    return bool(row["kv_gib"] > 1.02 * tokens * cost / GIB)


def as_consumed(row: Mapping[str, Any], prediction: Prediction, band: Band) -> Band:
    """The activation of a build between releases that already prints "consumed memory": without the
    experts' workspace, which such builds count as consumed."""
    said = any("consumed" in text for text in row["inferred"])
    config, workspace = prediction.config, prediction.workspace
    if not said or config is None or workspace is None or config.release.key[:2] >= (0, 27):
        return band
    return Band(band.low - workspace.low, band.mid - workspace.mid, band.high - workspace.high, band.reason)


def truth_of(row: Mapping[str, Any], key: str) -> float | None:
    """What a row says of a quantity. V0 prints blocks: 16 tokens each, or as many as the row says."""
    value = row.get(key)
    if value is None and key == "kv_tokens" and row.get("gpu_blocks"):
        return float(row["gpu_blocks"] * (row.get("block_size") or 16))
    return None if value is None or value == 0 else float(value)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, min(len(ordered) - 1, -(-int(share * 100) * len(ordered) // 100) - 1))]


def print_errors(outcomes: Iterable[Outcome]) -> None:
    """Medians, percentiles and coverage of each quantity."""
    kept = list(outcomes)
    print(f"{'quantity':12} {'rows':>4} {'median':>8} {'p90':>8} {'inside':>9} {'width':>7}")
    for title, _, _ in QUANTITIES:
        found = [one.compared[title] for one in kept if title in one.compared]
        if not found:
            continue
        errors = [abs(one.error) for one in found]
        inside = sum(one.inside for one in found)
        share, width = 100 * inside / len(found), median(one.width for one in found)
        print(
            f"{title:12} {len(found):4} {median(errors):7.2f}% {percentile(errors, 0.9):7.2f}%"
            f" {inside:3}/{len(found):<3} {share:3.0f}% {width:5.1f}%"
        )
    every = [one for each in kept for one in each.compared.values()]
    if every:
        inside = sum(one.inside for one in every)
        width = median(one.width for one in every)
        print(
            f"{'all':12} {len(every):4} inside {100 * inside / len(every):.1f} %, median width {width:.1f} %"
        )


def missed_targets(outcomes: Sequence[Outcome]) -> list[str]:
    """The targets of the project that these rows miss."""
    missed = []
    for title, (middle, most) in TARGETS.items():
        errors = [abs(one.compared[title].error) for one in outcomes if title in one.compared]
        if errors and median(errors) > middle:
            missed.append(f"{title}: median error {median(errors):.2f} % is more than {middle} %")
        if errors and most is not None and percentile(errors, 0.9) > most:
            missed.append(f"{title}: 90th percentile {percentile(errors, 0.9):.2f} % is more than {most} %")
    every = [one for each in outcomes for one in each.compared.values()]
    if every:
        inside = 100 * sum(one.inside for one in every) / len(every)
        width = median(one.width for one in every)
        if inside < LEAST_INSIDE:
            missed.append(f"{inside:.1f} % of the truths lie in their band, not {LEAST_INSIDE} %")
        if width > WIDEST:
            missed.append(f"the median band is {width:.1f} % wide, more than {WIDEST} %")
    decided = 100 * sum(one.prediction.verdict in DECIDED for one in outcomes) / len(outcomes)
    if decided < LEAST_DECIDED:
        missed.append(f"{decided:.1f} % of the verdicts are decided, not {LEAST_DECIDED} %")
    return missed


def print_verdicts(outcomes: Iterable[Outcome]) -> int:
    """The verdict table; returns how many verdicts contradict what happened."""
    kept = list(outcomes)
    table = Counter((bool(one.case.row["failed"]), one.prediction.verdict) for one in kept)
    print(f"{'':10} {'fits':>6} {'depends':>8} {'unknown':>8} {'does-not-fit':>13}")
    for failed in (False, True):
        counts = [table[failed, verdict] for verdict in ("fits", "depends", "unknown", "does-not-fit")]
        print(
            f"{'failed' if failed else 'started':10} {counts[0]:6} {counts[1]:8} {counts[2]:8} {counts[3]:13}"
        )
    wrong = table[False, "does-not-fit"] + table[True, "fits"]
    decided = sum(count for (_, verdict), count in table.items() if verdict in DECIDED)
    print(f"decided {100 * decided / len(kept):.1f} %, contradicted {wrong}")
    return wrong


def print_row(one: Outcome) -> None:
    """One row: prediction beside truth."""
    row = one.case.row
    sizes = f"tp {row['tp']} pp {row['pp']} dp {row['dp']}"
    print(f"{row['id']} {row['model']} | {row['vllm_version']} | {row['gpu']} | {sizes}")
    state = "failed" if row["failed"] else "started"
    reason = f" ({one.prediction.reason[:110]})" if one.prediction.reason else ""
    print(f"    {state}, predicted {one.prediction.verdict}{reason}")
    for title, compared in one.compared.items():
        band = compared.band
        mark = "" if compared.inside else "  OUTSIDE"
        bounds = f"[{band.low:.2f} .. {band.high:.2f}]"
        print(
            f"    {title:12} {compared.truth:12.2f} predicted {band.mid:12.2f} {bounds}"
            f" {compared.error:+6.2f} %{mark}"
        )


def print_planners(outcomes: Iterable[Outcome]) -> None:
    """The rows by the formulas of public planners, side by side."""
    kept = [one for one in outcomes if one.prediction.config is not None and "KV GiB" in one.compared]
    print(f"{'planner':34} {'rows':>4} {'weights':>9} {'activation':>11} {'KV GiB':>9} {'KV p90':>9}")
    lines: dict[str, dict[str, list[float]]] = {"vllmlint": {}}
    for name in PLANNERS:
        lines[name] = {}
    for one in kept:
        for title in ("weights", "activation", "KV GiB"):
            if title in one.compared:
                lines["vllmlint"].setdefault(title, []).append(abs(one.compared[title].error))
        for name in PLANNERS:
            assert one.prediction.config is not None
            values = planned(name, one.prediction.config)
            for title, value in values.items():
                if title in one.compared:
                    truth = one.compared[title].truth
                    lines[name].setdefault(title, []).append(100 * abs(value - truth) / abs(truth))
    for name, errors in lines.items():
        cells = [
            f"{median(errors[title]):8.1f}%" if errors.get(title) else "       -"
            for title in ("weights", "activation", "KV GiB")
        ]
        p90 = f"{percentile(errors['KV GiB'], 0.9):8.1f}%" if errors.get("KV GiB") else "-"
        print(
            f"{name:34} {len(errors.get('KV GiB', [])):4} {cells[0]:>9} {cells[1]:>11} {cells[2]:>9} {p90:>9}"
        )


def main() -> int:
    """Run the comparison; the exit status is 1 where a verdict contradicts a row that counts."""
    parser = argparse.ArgumentParser(description="Compare predictions with logged start-ups.")
    parser.add_argument("path", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true")
    parser.add_argument("--planners", action="store_true")
    parser.add_argument("--targets", action="store_true")
    options = parser.parse_args()
    path = options.path / "startups.jsonl" if options.path.is_dir() else options.path
    if not path.is_file():
        print(f"no start-ups at {path}: nothing compared")
        return 0
    counted_file = path.with_name("clear.txt")
    counted = set(counted_file.read_text("utf-8").split()) if counted_file.is_file() else None
    outcomes = [outcome(row) for row in read_rows(path)]
    clear = [one for one in outcomes if counted is None or one.case.row["id"] in counted]
    others = [one for one in outcomes if counted is not None and one.case.row["id"] not in counted]
    wrong = 0
    for title, part in (("rows that count", clear), ("the others", others)):
        if not part:
            continue
        print(f"== {title}: {len(part)}")
        if options.verbose:
            for one in part:
                print_row(one)
        print_errors(part)
        contradicted = print_verdicts(part)
        wrong += contradicted if part is clear else 0
        if options.planners:
            print_planners(part)
        print()
    missed = missed_targets(clear) if options.targets and clear else []
    for text in missed:
        print(f"missed: {text}")
    return 1 if wrong or missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
