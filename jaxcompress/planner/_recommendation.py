"""A recommendation as data, and as a table."""

from typing import NamedTuple

from jaxcompress.planner._plan import Plan
from jaxcompress.planner._record import Speed
from jaxcompress.planner._textbook import Case, Saying
from jaxcompress.planner._words import number
from jaxcompress.text import as_html, table_lines

_NOT_MEASURED = "not measured"
_PLACES = {0: "not at all", 1: "first", 2: "second", 3: "third"}


def _place(place: int) -> str:
    return _PLACES.get(place, f"{place}th")


class Advice(NamedTuple):
    """A technique, and what speaks for or against it.

    Attributes:
        technique: its name, several joined by " + ".
        place: 1 for the first, 0 for not at all; None where nothing was measured.
        plan: to carry out; None where there is none.
        measured: what the profile says.
        textbook: None where the textbook says nothing.
        training: what it needs, in words.
        speed: at the batch size that counts; None if nothing was timed.
    """

    technique: str
    place: int | None
    plan: Plan | None
    measured: str
    textbook: Saying | None
    training: str
    speed: Speed | None

    @property
    def is_disputed(self) -> bool:
        """Whether textbook and measurement disagree on the first, or on what is of no use."""
        if self.place is None or self.textbook is None:
            return False
        told = self.textbook.place
        return (told == 1) != (self.place == 1) or (not told and self.place == 2)

    @property
    def cells(self) -> list[str]:
        """A row of the table."""
        place = _NOT_MEASURED if self.place is None else _place(self.place)
        if self.plan is None:
            return [self.technique, place, *[""] * 4, self.training]
        lost, speed = self.plan.drop, self.speed
        return [
            self.technique,
            place,
            number(self.plan.size_bytes),
            _NOT_MEASURED if speed is None else f"{speed.ms:.3g}",
            _NOT_MEASURED if speed is None else f"{speed.speedup:.2f}",
            _NOT_MEASURED if lost is None else number(lost.drop),
            self.training,
        ]

    @property
    def why(self) -> str:
        """Both reasons in a line."""
        told = "says nothing"
        if self.textbook is not None:
            told = f"{_place(self.textbook.place)}, {self.textbook.why}"
        mark = " (they disagree: the measurement counts)" if self.is_disputed else ""
        return f"{self.technique}: {self.measured}; textbook: {told}{mark}"


class Recommendation(NamedTuple):
    """Techniques, the first first; `print` shows them.

    Attributes:
        case: for which.
        rows: those to use in order, those not measured, those not to use.
        notes: what holds for all.
    """

    case: Case
    rows: list[Advice]
    notes: list[str]

    @property
    def first(self) -> Advice:
        """The technique to begin with."""
        return self.rows[0]

    @property
    def second(self) -> Advice | None:
        """The next best one, None if no other can be carried out."""
        return next((row for row in self.rows if row.place == 2), None)

    @property
    def not_at_all(self) -> list[Advice]:
        """Techniques that cannot keep the budget, or that the network does not offer."""
        return [row for row in self.rows if row.place == 0]

    def _repr_html_(self) -> str:
        return as_html(str(self))

    def __str__(self) -> str:
        """Return a table, and a line a technique that says why."""
        case, speed = self.case, self.first.speed
        lost = "" if case.drop is None else f", at most {case.drop:g} lost"
        head = f"{case.architecture}, {case.target}, {case.hardware}{lost}"
        ms = "ms" if speed is None else f"ms, batch {speed.batch_size}"
        names = ["technique", "", "bytes", ms, "times faster", "quality lost", "training"]
        table = table_lines([names, *(row.cells for row in self.rows)], left=2)
        return "\n".join([head, *table, *(row.why for row in self.rows), *self.notes])
