"""How many records one `$batch` writes: as many as end within seconds, so that others get a turn.

A batch runs its operations one after the other, and how long one takes is up to the environment's
plug-ins and flows: the size is learned from every answer. Source: Dataverse developer guide,
"Execute batch operations using the Web API" (1,000 operations in a batch).
"""

from __future__ import annotations

from datetime import timedelta

#: Most operations that Dataverse takes in one batch.
OPERATIONS_MAX = 1000
#: Where an environment starts that nothing is known of, and the least that is tried.
START, LEAST = 100, 10
#: A batch that takes longer is too large.
LONGEST = timedelta(seconds=5)


class Pace:
    """The batch size of one environment, kept while this process lives; safe between threads."""

    def __init__(self) -> None:
        self.size = START
        self._most = OPERATIONS_MAX

    def note(self, operations: int, took: timedelta) -> None:
        """Learn from a batch that was answered: shrink to what fits, or double when it was quick.

        A batch that was not nearly full says nothing of a larger one.
        """
        if took > LONGEST:
            self.size = max(LEAST, int(operations * (LONGEST / took)))
        elif operations * 2 > self.size and took * 2 < LONGEST:
            self.size = min(self._most, self.size * 2)

    def note_too_large(self, operations: int) -> None:
        """Learn from a batch that was too long to be looked at: half of it is the most from now on.

        A row that is too long by itself says nothing of the others, nor do the batches it was in.
        """
        if operations == 1:
            self._most = OPERATIONS_MAX
        else:
            self._most = self.size = max(LEAST, min(operations, self.size) // 2)

    def note_no_answer(self) -> None:
        """Learn from a batch that was not answered: it may have been too large for a time-out."""
        self.size = max(LEAST, self.size // 2)
