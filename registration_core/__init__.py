"""The deal: what a registration is, what may happen to it, and where it is kept.

Imports nothing else of this program. Decisions (`lifecycle`, `conflict_check`, `matching`,
`rules`) are pure; effects are in `use_cases` (one function per verb) and `store`.
"""
