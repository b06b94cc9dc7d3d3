"""Where the deal, the mappings, the merge and the CRMs meet: everything with a queue, a clock or
a transaction across folders.

Decisions: `planning` (one pure `plan()`). Effects: `push`, `pull`, `checking`, `linking`,
`resolving`, `runs`. Memory: `ledger`. Put together by `wiring`, the composition root.
"""
