"""Hold the values that a row may carry against what the CRM's field takes: length, choices, nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from mapping.schema import CONTACT, ConnectionMapping, ObjectMapping, Row
from mapping.transforms import ANY, Default, Enum, Number, Untranslatable
from registration_core.contracts import FieldSchema, FieldType
from registration_core.errors import Problem

#: Most picklist values that a message lists.
_VALUES_SHOWN = 10


class Values:
    """What is wrong with the values of a mapping's rows, each collected with its line."""

    def __init__(
        self, mapping: ConnectionMapping, values: Mapping[str, Sequence[str]] | None
    ) -> None:
        self.mapping = mapping
        #: What our fields may have; None where only what stops a running object is looked for.
        self.values = values
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def problem(self, where: str, what: str, remedy: str) -> None:
        """Keep what keeps the mapping from being used."""
        self.problems.append(Problem(where, what, remedy))

    def fits(self, row: Row, field: FieldSchema) -> None:
        """A text that may be too long there, a number with too many decimal places."""
        transform = row.transform
        if isinstance(transform, Number):
            if field.scale is not None and transform.scale > field.scale:
                what = f"{field.name} keeps {field.scale} decimal places, not {transform.scale}"
                self.problem(row.where, what, f"scale: {field.scale}")
            return
        known = max((len(each) for each in self._ours(row)), default=0)
        longest = transform.longest() or row.ours.length or known
        if field.length is not None and longest > field.length:
            self.problem(
                row.where,
                f"{field.name} takes {field.length} characters, and {row.ours.name} may have "
                f"{longest}",
                f"transform: {{text: {{max: {field.length}}}}}, or a longer field",
            )

    def nothing(self, item: ObjectMapping, row: Row, field: FieldSchema) -> None:
        """A field that must not be empty there, for one of ours that may be."""
        filled = (
            row.ours.required or row.expression is not None or isinstance(row.transform, Default)
        )
        # A contact is made only where the registration names one.
        if self.values is None or not field.required or filled or item.name == CONTACT:
            return
        what = f"{field.name} must not be empty there, and {row.ours.name} may be"
        default = "transform: {default: {value: …}}"
        if row.pushes and row.pulls:
            remedy = f"direction: pull; or direction: push with {default}"
            self.problem(row.where, what, remedy)
            return
        what, remedy = f"{what}: such a deal is refused", f"{default}, or another field"
        self.warnings.append(Problem(row.where, what, remedy))

    def _ours(self, row: Row) -> Sequence[str]:
        """What a field of ours may have, as far as is known."""
        return row.ours.options or (self.values or {}).get(row.ours.name, ())

    def options(self, row: Row, position: int, field: FieldSchema) -> None:
        """Values that we write or list and they do not have, or that a table of ours lacks."""
        if isinstance(row.transform, Enum):
            self._listed(row, row.transform, position)
        if field.options is None:
            return
        values = row.transform.values(position)
        if not values and row.writes:
            values = tuple(self._written(row, field.name))
            if not values:
                self._any_text(row, field)
        for value in dict.fromkeys(values):
            if value not in field.options:
                self.problem(
                    row.where,
                    f"{field.name} has no value '{value}'",
                    f"it has: {', '.join(field.options)}",
                )

    def _listed(self, row: Row, table: Enum, position: int) -> None:
        """Values that ours may have and a table does not name."""
        listed = {option for option, _ in table.options}
        known = () if position or ANY in listed else (self.values or {}).get(row.ours.name, ())
        for value in known:
            if value not in listed:
                what = f"{row.ours.name} may be {value}, for which the table has nothing"
                self.warnings.append(
                    Problem(row.where, f"{what}: such a deal waits", f'add it, or "{ANY}"')
                )

    def _written(self, row: Row, name: str) -> Iterator[str]:
        """What is written of everything that ours may have."""
        for value in self._ours(row):
            with suppress(Untranslatable):
                written = row.transform.write(value, row.theirs).get(name)
                if isinstance(written, str):
                    yield written

    def _any_text(self, row: Row, field: FieldSchema) -> None:
        """Any text of ours, for a field that takes some values alone."""
        if self.values is None or row.ours.type not in (FieldType.TEXT, FieldType.PICKLIST):
            return
        few = (field.options or ())[:_VALUES_SHOWN]
        more = len(field.options or ()) - len(few)
        shown = f"{', '.join(few)}{f' and {more} more' if more else ''}"
        what = (
            f"{field.name} takes {shown} alone, and {row.ours.name} is any text: another is refused"
        )
        remedy = "list them: transform: {enum: {…}}, or direction: pull"
        self.warnings.append(Problem(row.where, what, remedy))

    def unlisted(self, object_name: str, row: Row, position: int, field: FieldSchema) -> None:
        """Values their users can pick and we could not read.

        What another role lists for the same field is taken for its own: the stages of another
        pipeline of one object stand in one list.
        """
        listed = set(row.transform.values(position)) or set(row.ours.options or ())
        if not listed or row.transform.any_value(position):
            return
        for other in self.mapping.objects.values():
            for same in other.rows if other.object == object_name else ():
                if field.name in same.theirs:
                    listed |= set(same.transform.values(same.theirs.index(field.name)))
        unlisted = [value for value in field.options or () if value not in listed]
        if not unlisted:
            return
        count = len(unlisted) - _VALUES_SHOWN
        more = f" and {count} more" if count > 0 else ""
        self.warnings.append(
            Problem(
                row.where,
                f"{field.name} also has {', '.join(unlisted[:_VALUES_SHOWN])}{more}, which no "
                f"option of {row.ours.name} lists: a record with it waits",
                "add each to one of our options, or take it out of the picklist",
            )
        )

    def rounded(self, row: Row, field: FieldSchema) -> None:
        """Decimal places of theirs that we do not keep."""
        transform = row.transform
        if not isinstance(transform, Number) or (field.scale or 0) <= transform.scale:
            return
        what = f"{field.name} keeps {field.scale} decimal places, of which we keep"
        self.warnings.append(
            Problem(row.where, f"{what} {transform.scale}", f"scale: {field.scale}")
        )
