"""A small logistic regression with signs held: sparse rows, cyclic one-dimensional Newton steps."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

Row = Mapping[str, float]


def probability(log_odds: float) -> float:
    """Turn log-odds into a probability without overflow."""
    return 1 / (1 + math.exp(-max(-40.0, min(40.0, log_odds))))


def fit(
    examples: Sequence[tuple[Row, bool, float]],
    signs: Mapping[str, int],
    bounds: Mapping[str, float],
    *,
    ridge: float = 1.0,
    rounds: int = 60,
) -> dict[str, float]:
    """Fit weights on (row, label, importance).

    A weight with a sign keeps it, and is at least as far from zero as its bound says.
    """
    columns: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for at, (row, _, _) in enumerate(examples):
        columns["base"].append((at, 1.0))
        for name, value in row.items():
            columns[name].append((at, value))
    weights = dict.fromkeys(columns, 0.0)
    scores = [0.0] * len(examples)
    for _ in range(rounds):
        moved = 0.0
        for name, column in columns.items():
            slope = 0.0 if name == "base" else -ridge * weights[name]
            curve = 0.0 if name == "base" else ridge
            for at, value in column:
                _, label, importance = examples[at]
                p = probability(scores[at])
                slope += importance * value * (label - p)
                curve += importance * value * value * max(p * (1 - p), 1e-4)
            step = max(-2.0, min(2.0, slope / (curve + 1e-9)))
            wanted = weights[name] + step
            sign = signs.get(name.split(" over ")[0], 0)
            if sign:
                wanted = sign * max(sign * wanted, sign * bounds.get(name, 0.0))
            step = wanted - weights[name]
            if step:
                weights[name] = wanted
                moved = max(moved, abs(step))
                for at, value in column:
                    scores[at] += step * value
        if moved < 1e-3:
            break
    return {name: round(weight, 4) for name, weight in weights.items() if weight}
