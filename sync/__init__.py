"""Where the deal, the mappings, the merge and the CRMs meet: everything with a queue, a clock or
a transaction across folders.

The modules here are the flows (`push`, `pull`, `checking`, `runs`, `stamping`, `receiving`) and the
processes that run them, put together by `wiring`, the composition root. The folders hold what the
flows are made of, each importing only those below it: `pyproject.toml` has their order.
"""
