"""The harness that tries to break the sync engine: one seed, one repeatable story.

Every worker, user, admin and clock is a thread of its own; exactly one runs at a time, and it
hands the baton over only where production code leaves the process: around calls to CRMs, before
a transaction begins and after it has committed, and at the queue. The product knows nothing of
it: the harness gives it another clock, another queue, a `Database` and CRMs that pause.
"""
