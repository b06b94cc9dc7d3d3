"""Spell an organisation's name as somebody else might: for training and for the benchmark."""

from __future__ import annotations

import random
import re

_FORMS = ("Inc.", "Inc", "Corp.", "Corporation", "Ltd", "Limited", "LLC", "Co.", "Company", "")
_SHORT = {
    "International": "Intl", "Manufacturing": "Mfg", "Technology": "Tech", "Group": "Grp",
    "Technologies": "Tech.", "Services": "Svcs", "Industries": "Ind.", "Holdings": "Hldgs",
    "Systems": "Sys", "Pharmaceuticals": "Pharma", "Electronics": "Elec", "National": "Natl",
    "Company": "Co", "Corporation": "Corp", "Limited": "Ltd", "and": "&", "Engineering": "Eng.",
    "Development": "Dev", "Financial": "Fin.", "Communications": "Comm", "American": "Amer.",
}  # fmt: skip
_FORM = re.compile(
    r"[,\s]+(?:Co\.?,?\s*)?(?:Inc|Corp|Corporation|Ltd|Limited|LLC|Plc|AG|SA|S\.A|SE|NV|N\.V|AB|ASA|"
    r"Company|Incorporated|Berhad|Tbk|Co)\.?$",
    re.IGNORECASE,
)


def name(text: str, rng: random.Random) -> str:
    """Return another spelling of a name: one to two of the usual differences."""
    for change in rng.sample(_CHANGES, rng.choice((1, 1, 2))):
        text = change(text, rng)
    return text


def without_form(text: str) -> str:
    """Return a name without its usual legal form."""
    return _FORM.sub("", text)


def _another_form(text: str, rng: random.Random) -> str:
    return f"{_FORM.sub('', text)} {rng.choice(_FORMS)}".strip()


def _no_form(text: str, _rng: random.Random) -> str:
    return _FORM.sub("", text)


def _case(text: str, rng: random.Random) -> str:
    return rng.choice((text.upper(), text.lower()))


def _short(text: str, _rng: random.Random) -> str:
    return " ".join(_SHORT.get(word, word) for word in text.split())


def _slip(text: str, rng: random.Random) -> str:
    long = [word for word in text.split() if len(word) > 5]
    if not long:
        return text
    word = rng.choice(long)
    at = rng.randrange(1, len(word) - 1)
    slipped = rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :],
            word[:at] + rng.choice("aeiorstn") + word[at + 1 :],
        )
    )
    return text.replace(word, slipped, 1)


def _spacing(text: str, rng: random.Random) -> str:
    words = text.split()
    if len(words) < 3:
        return text
    at = rng.randrange(len(words) - 2)
    return " ".join(
        [*words[:at], words[at] + rng.choice(("", "-")) + words[at + 1], *words[at + 2 :]]
    )


def _article(text: str, _rng: random.Random) -> str:
    return text[4:] if text.startswith("The ") else f"The {text}"


def _fewer(text: str, _rng: random.Random) -> str:
    words = _FORM.sub("", text).split()
    return " ".join(words[:-1]) if len(words) > 2 else " ".join(words)


_CHANGES = (_another_form, _no_form, _case, _short, _slip, _spacing, _article, _fewer)
