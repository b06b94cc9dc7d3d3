"""The full-screen view of sync conflicts: what lies on the desk, and a key for each decision."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import ClassVar

from textual import work
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Input, Label, Static

from cli.output import Marked, words
from cli.review_desk import Desk
from cli.sides import side_by_side
from registration_core.errors import DealregError
from sync.conflicts.resolving import Conflict
from sync.conflicts.sifting import Weighed

_CSS = """
#list { width: 2fr; }
#one { width: 3fr; padding: 0 1; }
#sides { height: auto; max-height: 40%; margin: 1 0; }
Edit { align: center middle; }
Edit > VerticalScroll { width: 60; height: auto; max-height: 80%; border: round $accent; padding: 1; }
"""


class Edit(ModalScreen[Mapping[str, str] | None]):
    """Asks for values of one's own; nothing is settled when it is left with Escape."""

    AUTO_FOCUS = "Input"
    BINDINGS: ClassVar[list[BindingType]] = [("escape", "leave", "Back")]

    def __init__(self, one: Weighed) -> None:
        super().__init__()
        self._one = one

    def compose(self) -> ComposeResult:
        """Show one input for each field; Enter in any of them settles."""
        with VerticalScroll():
            yield Label(f"{self._one.number}: ours, to be edited. Enter settles, Escape leaves.")
            for name, value in self._one.conflict.store.items():
                yield Label(name)
                yield Input(words(value), id=name)

    def on_input_submitted(self) -> None:
        """Give back what was edited: a value that was not may be another than its words."""
        shown = {name: words(value) for name, value in self._one.conflict.store.items()}
        given = {str(each.id): each.value for each in self.query(Input)}
        _ = self.dismiss({name: text for name, text in given.items() if text != shown[name]})

    def action_leave(self) -> None:
        """Leave everything as it is."""
        _ = self.dismiss(None)  # to be awaited by others than the screen itself


class Review(App[None]):
    """A list of conflicts, and of the chosen one both sides and its history."""

    CSS = _CSS
    TITLE = "Sync conflicts"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        ("o", "take('ours')", "Take ours"),
        ("t", "take('theirs')", "Take theirs"),
        ("e", "edit", "Edit"),
        ("d", "defer", "Defer"),
        ("u", "undo", "Undo"),
        ("q", "quit", "Quit"),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._open: list[Weighed] = []
        self._turn = asyncio.Lock()

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Header()
        with Horizontal():
            yield DataTable[str](id="list", cursor_type="row")
            with Vertical(id="one"):
                yield Static(id="about", markup=False)
                yield DataTable[str](id="sides", cursor_type="none")
                yield DataTable[str](id="history", cursor_type="none")
        yield Footer()

    def on_mount(self) -> None:
        """Fill the list."""
        self._table("list").add_columns("Number", "Where", "Fields", "Age", "Worth")
        self._table("sides").add_columns("Field", "Base", "Ours", "Theirs")
        self._table("history").add_columns("When", "Who", "Where", "What", "Value")
        self._refresh()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the conflict that the cursor is on."""
        if event.data_table.id == "list":
            self._show()

    def action_take(self, side: str) -> None:
        """Settle the chosen conflict for one side."""
        if (one := self._chosen()) is not None:
            self._decide(lambda: self._desk.settle(one, "ours" if side == "ours" else "theirs"))

    def action_edit(self) -> None:
        """Ask for values of one's own, and settle for them."""
        if (one := self._chosen()) is None:
            return

        def settle(given: Mapping[str, str] | None) -> None:
            if given is not None:
                self._decide(lambda: self._desk.settle(one, given))

        _ = self.push_screen(Edit(one), settle)

    def action_defer(self) -> None:
        """Put the chosen conflict off."""
        if (one := self._chosen()) is not None:
            self._desk.defer(one)
            self._refresh()

    def action_undo(self) -> None:
        """Take the last decision back, and show the conflict that it opens."""
        self._decide(self._desk.undo)

    async def action_quit(self) -> None:
        """End as soon as every decision is carried out."""
        await self.workers.wait_for_complete()
        self.exit()

    @work
    async def _decide(self, decision: Callable[[], Conflict]) -> None:
        """Carry a decision out beside the screen, as an undo waits for a CRM: one after another."""
        async with self._turn:
            decided = None
            try:
                decided = await asyncio.to_thread(decision)
            except DealregError as error:
                told = " ".join(filter(None, (error.message, error.hint)))
                self.notify(told, severity="error", markup=False)
            self._refresh(decided)

    def _refresh(self, decided: Conflict | None = None) -> None:
        """List what is open: the cursor goes to what was opened, else stays on its conflict."""
        table, at, before = self._table("list"), self._table("list").cursor_row, self._chosen()
        self._open = self._desk.open()
        table.clear()
        for one in self._open:
            found = one.conflict
            table.add_row(one.number, found.connection, found.group.value,
                          f"{one.age.days} d", f"{one.amount:,.0f} {one.currency}")  # fmt: skip
        rows = {one.conflict.id: row for row, one in enumerate(self._open)}
        if before is not None:
            at = rows.get(before.conflict.id, at)
        if decided is not None:
            at = rows.get(decided.id, at)
        table.move_cursor(row=min(at, len(self._open) - 1))
        self.sub_title = f"{len(self._open)} open, {self._desk.settled} settled"
        self._show()

    def _show(self) -> None:
        one = self._chosen()
        for name in ("sides", "history"):
            self._table(name).clear()
        about = "Nothing is left to decide."
        if one is not None:
            about = f"{one.number}, {one.customer}\n{one.conflict.reason}"
            for row in side_by_side(one.conflict):
                cells = [row[key] for key in ("field", "base", "ours", "theirs")]
                self._table("sides").add_row(*map(_marked, cells))
            for step in self._desk.history(one):
                self._table("history").add_row(step.at, step.who, step.where, step.what, step.value)
        self.query_one("#about", Static).update(about)

    def _chosen(self) -> Weighed | None:
        at = self._table("list").cursor_row
        return self._open[at] if 0 <= at < len(self._open) else None

    def _table(self, name: str) -> DataTable[str]:
        return self.query_one(f"#{name}", DataTable)


def _marked(value: object) -> str:
    """Word a cell; what differs from the base has a star, which any terminal shows."""
    return f"{value} *" if isinstance(value, Marked) else words(value)
