"""The steps of ladders: which calls belong to which, and what each cost."""

import re

import attrs

from sunwell.budget.tally import upwards
from sunwell.journal.records import RungChosen
from sunwell.report.page.bill_sums import BillSums
from sunwell.report.page.page_data import RungEntry
from sunwell.report.page.page_texts import PageTexts

_CHECK = re.compile(r"check-\d+")


@attrs.define(eq=False)
class RungViews:
    """Takes the choices of rungs in order, and labels the spans below them as the bill does."""

    texts: PageTexts
    _entries: dict[str, RungEntry] = attrs.field(factory=dict, init=False)
    """Without costs."""
    _labels: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)
    """The span that climbs and the rung, by the span whose calls belong to it."""
    _latest: dict[str, str] = attrs.field(factory=dict, init=False)

    def take(self, record: RungChosen) -> None:
        """Take note of a choice."""
        self._entries[f"{record.span}:{record.number}"] = RungEntry(
            record.span,
            record.number,
            record.rung,
            record.model,
            self.texts.add(record.reason),
            record.cost_usd,
            None,
            record.at,
        )
        if record.rung:
            self._labels[f"{record.span}/{record.rung}"] = (record.span, record.rung)
            self._latest[record.span] = record.rung

    def of(self, span: str) -> tuple[str, str]:
        """Return the span that climbs and the rung that the calls of *span* belong to; empty: none."""
        if not self._latest:
            return "", ""
        for path in upwards(span):
            above, _, last = path.rpartition("/")
            if path not in self._labels and above in self._latest and _CHECK.fullmatch(last):
                self._labels[path] = (above, self._latest[above])  # the rung pays for the calls of its check
            if path in self._labels:
                return self._labels[path]
        return "", ""

    def entries(self, sums: BillSums) -> dict[str, RungEntry]:
        """Return the steps; *sums* has what they cost."""
        return {
            key: attrs.evolve(one, usd=sums.of_rung(one.span, one.rung).usd)
            for key, one in self._entries.items()
        }
