"""Draft the table of stages: which of theirs is which of ours, by value and by label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mapping.drafting_parts import QUESTION, Draft, bare, choices, has, quoted, shown
from mapping.drafting_words import LAST_STAGE, STAGE_STEMS, STATES
from registration_core.contracts import FieldSchema


def stages(made: Draft, ours: FieldSchema, theirs: FieldSchema) -> Iterator[str]:
    """A table of stages, where every one of ours finds a value; else a question with the table.

    Whether a deal is won or lost may stand in a picklist of its own, beside that of stages.
    """
    indent = "        "
    options = _of_role(made, theirs.options or (), ours.options or ())
    table: dict[str, list[str]] = {option: [] for option in ours.options or ()}
    left: list[str] = []
    for option in options:
        table.get(_stage_of(theirs, option), left).append(option)
    made.used.add(theirs.name)
    state = _state(made)
    empty = [stage for stage, found in table.items() if not found]
    if state is not None and empty == ["won", "lost"]:
        yield from _stages_with_state(made, ours, (state, theirs), table, left)
        return
    mark = "# " if empty else ""
    told = ", ".join(shown(theirs, option) for option in (options if empty else left))
    if empty:
        yield f"{indent}{QUESTION} {theirs.name} has {told}: which is which of ours?"
    elif left:
        yield f"{indent}{QUESTION} Not listed yet: {told}. Add each to one of ours."
    yield f"{indent}{mark}- ours: {ours.name}"
    yield f"{indent}{mark}  theirs: {theirs.name}"
    yield f"{indent}{mark}  transform:"
    yield f"{indent}{mark}    enum:      # the first of each is written, all are read"
    for stage, values in table.items():
        row = ", ".join(quoted(value) for value in values) or "THE_VALUE"
        yield f"{indent}{mark}      {stage}: [{row}]"


def _stages_with_state(
    made: Draft,
    ours: FieldSchema,
    theirs: tuple[FieldSchema, FieldSchema],
    table: Mapping[str, Sequence[str]],
    left: Sequence[str],
) -> Iterator[str]:
    """A table of stages whose end stands in a picklist of states."""
    indent, (state, stage_field) = "        ", theirs
    made.used.add(state.name)
    opened, won, lost = (f'"{_labelled(state, word)}"' for word in STATES)
    if left:
        unlisted = ", ".join(shown(stage_field, option) for option in left)
        yield f"{indent}{QUESTION} Not listed yet: {unlisted}. Add each to one of ours."
    yield f"{indent}- ours: {ours.name}"
    yield f"{indent}  theirs: [{state.name}, {stage_field.name}]"
    yield f"{indent}  transform:"
    yield f'{indent}    enum:      # the first of each is written, all are read; "*" is any'
    for stage, values in table.items():
        pairs = [f'[{opened}, "{value}"]' for value in values]
        told = pairs[0] if len(pairs) == 1 else f"[{', '.join(pairs)}]"
        ended = {"won": won, "lost": lost}.get(stage)
        yield f"{indent}      {stage}: " + (f'[{ended}, "*"]' if ended else told)


def _state(made: Draft) -> FieldSchema | None:
    """The picklist that says of a deal whether it is open, won or lost, if the CRM has one."""
    found = [
        f
        for f in made.schema.fields.values()
        if f.name not in made.used and {bare(label) for label in f.option_labels} == set(STATES)
    ]
    return found[0] if len(found) == 1 else None


def _labelled(f: FieldSchema, word: str) -> str:
    return next(v for v, told in choices(f) if bare(told) == word)


def _stage_of(f: FieldSchema, option: str) -> str:
    """Which of our stages an option is, by its value and its label; "" where neither tells."""
    words = (option, dict(choices(f))[option])
    for stage, stems in STAGE_STEMS.items():
        if any(has(word, stems) for word in words):
            return stage
    return next((LAST_STAGE[bare(word)] for word in words if bare(word) in LAST_STAGE), "")


def _of_role(made: Draft, options: Sequence[str], ours: Sequence[str]) -> Sequence[str]:
    """Where a picklist holds our own words beside others, they are the mirror's."""
    prefixes = (option.removesuffix(ours[0]) for option in options if option.endswith(ours[0]))
    own = next(
        (found for p in prefixes if p and set(found := [p + o for o in ours]) <= set(options)), []
    )
    if not own:
        return options
    return own if made.role == "mirror" else [o for o in options if o not in own]
