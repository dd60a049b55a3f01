"""What a run found, as plain data: the one input of every report."""

from __future__ import annotations

from dataclasses import field

from vllmlint.finding import Finding
from vllmlint.manifest.text import Place, Position
from vllmlint.record import mutable, record
from vllmlint.severity import Confidence, Severity


@record
class Spot:
    """A place with its two positions worked out; `end` is exclusive."""

    place: Place
    start: Position
    end: Position

    @classmethod
    def of(cls, place: Place) -> Spot:
        """The spot of a place."""
        source = place.source
        return cls(place, source.position(place.start), source.position(place.end))

    @property
    def file(self) -> str:
        """The file, as the user named it."""
        return self.place.source.path


@record
class ObjectRef:
    """Which Kubernetes object a finding is about; empty strings where the manifest states nothing."""

    api_version: str
    kind: str
    namespace: str
    name: str


@record
class Reported:
    """One finding as reports show it.

    `rule` is the id (`VL101`), `name` the kebab name, `path` the route in the object
    (`spec.template.spec.containers[0].args[3]`), `document` counts from 0 in the file.
    `related` are labelled further spots, `edits` the edits of `finding.fix`.
    `suppressed_by` says what silenced it (empty: shown).
    """

    rule: str
    name: str
    severity: Severity
    confidence: Confidence
    finding: Finding
    spot: Spot
    document: int
    path: str
    object: ObjectRef | None
    container: str | None
    environment: str | None
    fingerprint: str
    url: str
    related: tuple[tuple[Spot, str], ...] = ()
    edits: tuple[tuple[Spot, str], ...] = ()
    suppressed_by: str = ""


@record
class LostInput:
    """Something a check would have needed and could not have, and what that costs."""

    file: str
    line: int
    object: str
    container: str | None
    input: str
    effect: str


@record
class SkippedDocument:
    """A document (or, with `document` None, a whole file) that was not linted, and why."""

    file: str
    document: int | None
    line: int
    reason: str


@mutable
class RunResult:
    """Everything one `check` run has to say.

    `findings` are shown, `suppressed` were silenced by an ignore; both are in order of file,
    position and rule. `files`, `objects` and `servers` are counts.
    """

    findings: list[Reported] = field(default_factory=list)
    suppressed: list[Reported] = field(default_factory=list)
    lost_inputs: list[LostInput] = field(default_factory=list)
    skipped: list[SkippedDocument] = field(default_factory=list)
    files: int = 0
    objects: int = 0
    servers: int = 0
    #: tracebacks of rules that raised, for `-v`
    internal_errors: list[str] = field(default_factory=list)

    def count(self, severity: Severity) -> int:
        """How many shown findings have this severity."""
        return sum(1 for item in self.findings if item.severity == severity)
