"""Fit the matcher's weights on the labelled data and write them where the product reads them.

python -m benchmarks.fit_matching frequencies    how often each word stands in real names
python -m benchmarks.fit_matching names          what each measure of two names is worth
python -m benchmarks.fit_matching fields         what agreeing and differing fields are worth
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from importlib.resources import files
from typing import Any

from benchmarks import disturb, logistic, matching_data, registrations
from benchmarks.matching_data import Pair
from registration_core.matching import evidence, names, similarity
from registration_core.matching.matcher import Matcher

#: What may only speak for (+1) or only against (-1) two names being one organisation's.
SIGNS = {
    "agreement": 1, "written_alike": 1, "shared_rarity": 1, "equal": 1, "acronym": 1,
    "forms_agree": 1, "left_over_both": -1, "left_over_one": -1, "bent": -1,
    "numbers_differ": -1, "number_on_one_side": -1, "places_differ": -1,
    "place_on_one_side": -1, "added_usual": 0, "forms_differ": -1, "first_word_differs": -1, "short": -1,
    "same_words": 1,
}  # fmt: skip
#: The least these speak against: screening data calls successive funds of one house the same.
BOUNDS = {"numbers_differ": -4.0, "short": -0.5}
#: Pairs that people labelled, of names that may be one organisation's.
LABELLED = ("patents", "bench", "hard")
#: What F1 may differ by and be called as good: less than one pair in three hundred.
_AS_GOOD = 0.003
#: Words in fewer names than this count as never seen.
_SEEN_MIN = 6


def _data(name: str) -> Any:
    return files("registration_core.matching").joinpath("data", name)


def write_frequencies() -> None:
    """Count in how many real names each word stands."""
    counts: Counter[str] = Counter()
    real = matching_data.real_names()
    for text in real:
        for name in names.read_name(text)[:1]:
            counts.update({word.text for word in name.words})
    kept = {w: n for w, n in sorted(counts.items()) if n >= _SEEN_MIN and len(w) > 1}
    _data("frequencies.json").write_text(
        json.dumps({"names": len(real), "words": kept}, separators=(",", ":")) + "\n"
    )


def training(split: str | None) -> list[tuple[Pair, float]]:
    """Return the labelled name pairs of a split with their importance; None for all."""
    rng = random.Random(20240516)
    listed = [row["name"] for row in matching_data.rows("accounts_listed.csv")]
    sources = [
        (matching_data.pairs_patents(), 1.0),
        (matching_data.pairs_bench(), 2.0),
        ([p for p in matching_data.pairs_hard() if p.note != "related"], 2.0),
        ([p for p in matching_data.pairs_domain() if p.note != "related"], 1.0),
        (matching_data.pairs_listed(3000, rng), 1.0),
        ([Pair(n, disturb.name(n, rng), True, "disturbed") for n in rng.sample(listed, 1200)], 0.7),
    ]
    return [
        (pair, importance)
        for pairs, importance in sources
        for pair in pairs
        if split is None
        or matching_data.split_of("|".join(sorted((pair.left, pair.right)))) == split
    ]


def row_of(pair: Pair) -> dict[str, float]:
    """Return the measures of a pair's names as they stand, aliases left out."""
    left, right = names.read_name(pair.left)[:1], names.read_name(pair.right)[:1]
    return similarity.stepped(similarity.measure(left[0], right[0])) if left and right else {}


def _best_cut(weights: dict[str, float], examples: list[tuple[dict[str, float], bool]]) -> float:
    """Return the log-odds at which F1 is best: the middle of those where it is as good as that."""
    scored = sorted(
        (
            (weights["base"] + sum(weights.get(k, 0.0) * v for k, v in row.items()), same)
            for row, same in examples
        ),
        reverse=True,
    )
    positives, hits, cuts = sum(same for _, same in scored), 0, list[tuple[float, float]]()
    for taken, (score, same) in enumerate(scored, 1):
        hits += same
        cuts.append((2 * hits / (taken + positives), score))
    good = [score for f1, score in cuts if f1 >= max(cuts)[0] - _AS_GOOD]
    return (good[0] + good[-1]) / 2


def write_name_weights(split: str | None = "fit") -> None:
    """Fit on the fit split and keep the weights."""
    pairs = training(split)
    examples = [(row_of(pair), pair.same, weight) for pair, weight in pairs]
    path = _data("weights.json")
    kept = json.loads(path.read_text())
    fitted = logistic.fit(examples, SIGNS, BOUNDS, ridge=0.3)
    rows = [(row, same) for row, same, _ in examples]
    labelled = [row for row, (pair, _) in zip(rows, pairs, strict=True) if pair.source in LABELLED]
    # So that a score of .5 means even: halfway between what people labelled and all examples.
    even = (_best_cut(fitted, labelled) + _best_cut(fitted, rows)) / 2
    fitted["base"] = round(fitted["base"] - even, 4)
    kept["name"] = dict(sorted(fitted.items()))
    path.write_text(json.dumps(kept, indent=1) + "\n")


#: What fields may only speak for or only against.
_FIELD_SIGNS = {
    **dict.fromkeys(
        ("name", "tax_id", "duns", "phone", "country", "region", "city", "postcode", "domain",
         "public_domain", "domain_name", "domain_spells_name", "first_word", "rare_first_word",
         "within", "nearly_within", "first_word_sounds", "domain_begins_alike", "added_usual_words",
         "domain_spells_first_word", "first_word_alike", "domain_with_more", "added_places", "more_words_within", "first_two_words",
         "rare_second_word", "places_instead", "usual_words_instead", "domain_with_place"),
        1,
    ),
    **dict.fromkeys(
        ("other_name", "other_tax_id", "other_duns", "other_phone", "other_country",
         "other_region", "other_city", "other_postcode", "other_domain", "added_words"),
        -1,
    ),
}  # fmt: skip
#: Seeds of the registrations that weights are fitted on.
FIT_SEEDS = (1, 7)
#: The least that identifiers say, for or against; in made-up data they seldom stand alone.
_FIELD_BOUNDS = {"tax_id": 7.0, "duns": 7.0, "other_tax_id": -2.0, "other_duns": -2.0}


def write_field_weights() -> None:
    """Fit what the fields are worth, on made-up registrations against their candidates."""
    path = _data("weights.json")
    kept = json.loads(path.read_text())
    rows: dict[str, list[tuple[dict[str, float], bool, float]]] = {"same": [], "family": []}
    for seed in FIT_SEEDS:
        _add_field_rows(rows, seed)
    for model, examples in rows.items():
        fitted = logistic.fit(examples, _FIELD_SIGNS, _FIELD_BOUNDS, rounds=40)
        kept[model] = dict(sorted(fitted.items()))
    path.write_text(json.dumps(kept, indent=1) + "\n")


def _add_field_rows(rows: dict[str, list[tuple[dict[str, float], bool, float]]], seed: int) -> None:
    accounts, made = registrations.make(seed, registrations=4000)
    matcher = Matcher(accounts)
    # A subsidiary has identifiers of its own: that they differ says nothing of the family.
    other_ids = ("other_tax_id", "other_duns")
    for registration in made:
        for account in matcher.candidates(registration.customer)[:12]:
            measures = dict(evidence.compare(registration.customer, account).measures)
            hit = account.id == registration.account_id
            apart = {kind: value for kind, value in measures.items() if kind not in other_ids}
            # `same` decides about the others; here related ones are what has to be told apart.
            rows["family"].append(
                (apart, hit, 0.3 if hit and registration.truth == "same" else 1.0)
            )
            if not hit or registration.truth == "same":
                rows["same"].append((measures, hit, 1.0))
            elif registration.truth == "related":
                rows["same"].append((measures, False, 0.3))


if __name__ == "__main__":
    {"frequencies": write_frequencies, "names": write_name_weights, "fields": write_field_weights}[
        sys.argv[1]
    ]()
