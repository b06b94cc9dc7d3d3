"""How good the matcher is on the development data: one JSON line with the figures of the goals.

    python -m benchmarks.matching [--split tune|locked|all] [--registrations 4000] [--cases]

Weights are fitted on the `fit` split and thresholds chosen on `tune`; `locked` is for looking
once. `related` and `absent` registrations are made up on real companies (`registrations`).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict

from benchmarks import fit_matching, registrations
from registration_core.matching import Matcher, score_names

#: The even point of `score_names`, fixed when its weights were fitted.
THRESHOLD = 0.5


def f1(scored: list[tuple[float, bool]]) -> float:
    """Return F1 at the fixed threshold."""
    hits = sum(same and score >= THRESHOLD for score, same in scored)
    taken = sum(score >= THRESHOLD for score, _ in scored)
    return round(2 * hits / max(1, taken + sum(same for _, same in scored)), 4)


def recall_at(scored: list[tuple[float, bool]], negatives: float) -> float:
    """Return recall where this share of the negatives is let through."""
    wrong = sorted((score for score, same in scored if not same), reverse=True)
    cut = wrong[int(len(wrong) * negatives)]
    right = [score for score, same in scored if same]
    return round(sum(score > cut for score in right) / len(right), 4)


def names(split: str | None, *, cases: bool) -> dict[str, float]:
    """Measure `score_names` on labelled pairs."""
    scored: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for pair, _ in fit_matching.training(split):
        score = score_names(pair.left, pair.right)
        scored[pair.source].append((score, pair.same))
        if cases and pair.source != "disturbed" and (score >= THRESHOLD) != pair.same:
            print(f"{score:.2f} {pair.source}: {pair.left} | {pair.right}", file=sys.stderr)
    pooled = [entry for key in fit_matching.LABELLED for entry in scored[key]]
    listed = [score for score, _ in scored["listed"]]
    return {
        "pairs": len(pooled),
        "pairwise_f1": f1(pooled),
        **{f"pairwise_f1_{key}": f1(scored[key]) for key in fit_matching.LABELLED},
        "recall_at_1pct_hard_negatives": recall_at(scored["patents"], 0.01),
        "listed_negatives_flagged": round(sum(s >= THRESHOLD for s in listed) / len(listed), 4),
    }


def checks(seed: int, count: int, *, cases: bool) -> dict[str, float]:
    """Measure the matcher with all its fields on made-up registrations."""
    accounts, made = registrations.make(seed, count)
    matcher = Matcher(accounts)
    right: dict[str, list[bool]] = defaultdict(list)
    for registration in made:
        found = matcher.match(registration.customer)
        ids = {match.account.id for match in found}
        right[registration.truth].append(registration.account_id in ids)
        if registration.truth == "absent":
            right["false"].append(bool(found))
        strong = [match for match in found if match.band.value == "strong"]
        right["strong"] += [match.account.id == registration.account_id for match in strong]
        wrong = registration.truth != "absent" and registration.account_id not in ids
        if cases and (wrong or (registration.truth == "absent" and found)):
            shown = [match.account.name for match in found[:2]]
            print(f"{registration.truth}: {registration.customer.name} -> {shown}", file=sys.stderr)
    return {
        "registrations": count,
        "same_recall": _share(right["same"]),
        "false_flags": _share(right["false"]),
        "related_recall": _share(right["related"]),
        "strong_precision": _share(right["strong"]),
    }


def _share(values: list[bool]) -> float:
    return round(sum(values) / max(1, len(values)), 4)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("tune", "locked", "all"), default="tune")
    parser.add_argument("--registrations", type=int, default=4000)
    parser.add_argument("--cases", action="store_true", help="wrong answers on standard error")
    options = parser.parse_args()
    split = None if options.split == "all" else options.split
    # A seed of its own for each split, and none that the weights were fitted on.
    seed = {"tune": 2, "locked": 3, "all": 4}[options.split]
    figures = names(split, cases=options.cases)
    figures |= checks(seed, options.registrations, cases=options.cases)
    print(json.dumps({"split": options.split, **figures}))


if __name__ == "__main__":
    main()
