"""A process of its own that approves registrations: `python -m tests.integration.contender`.

Arguments: the store's address, how it behaves, the registrations' ids. It says `ready`, waits
for a line, and prints a word for each registration. `hang` stops for ever inside the first
transaction, after the claim was written and before the commit, and says `inside` there.
"""

from __future__ import annotations

import random
import sys
import time

from registration_core.errors import AlreadyProtected, InvalidTransition
from registration_core.model import Actor
from registration_core.store import repository
from registration_core.store.database import Database
from tests.factories import Clock, approve


def main() -> None:
    url, behaviour, *ids = sys.argv[1:]
    store = Database(url, Clock(), random.SystemRandom())
    store.ping()
    _say("ready")
    sys.stdin.readline()
    for registration_id in ids:
        try:
            with store.begin(Actor("anna")) as unit:
                approve(unit, repository.registration(unit.session, registration_id))
                if behaviour == "hang":
                    _say("inside")
                    time.sleep(600)
            _say("protected")
        except (AlreadyProtected, InvalidTransition) as refusal:
            _say(refusal.code)
    store.close()


def _say(word: str) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
