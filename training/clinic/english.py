"""Small rules of English for generated text: lists, sentences, small initials.

Texts of the knowledge base begin with a capital or not, end with a full stop or not, and many begin with a name. These
functions put them into sentences without lowering a name ("Kawasaki disease") and without two full stops.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_NAMES = frozenset(
    [
        "Acanthamoeba",
        "Addison",
        "Barrett's",
        "Bordetella",
        "Borrelia",
        "Bristol",
        "Chlamydia",
        "Crohn",
        "Doppler",
        "Down",
        "Epley",
        "Escherichia",
        "Gardnerella",
        "Goodpasture",
        "Haemophilus",
        "Hashimoto",
        "Helicobacter",
        "Hodgkin",
        "Kawasaki",
        "Kussmaul",
        "Lille",
        "Listeria",
        "Ludwig",
        "Maddrey",
        "Neisseria",
        "Paget",
        "Parkinson",
        "Pseudomonas",
        "Salmonella",
        "Staphylococcus",
        "Venturi",
        "Wells",
    ]
)
_LETTER_WORD = re.compile(r"[A-Z](-|\d|$)")


def lower_first(text: str) -> str:
    """The text with a small initial, unless it begins with a name, an abbreviation or a lettered term (D-dimer)."""
    first = text.split(maxsplit=1)[0].strip(",;:")
    if first == "A":
        return "a" + text[1:]
    if first in _NAMES or _LETTER_WORD.match(first) or any(char.isupper() for char in first[1:]):
        return text
    return text[0].lower() + text[1:]


def upper_first(text: str) -> str:
    """The text with a capital initial, unless it begins with a term such as pH."""
    return text if text[:2] == "pH" else text[0].upper() + text[1:]


def sentence(text: str) -> str:
    """The text with a capital initial and exactly one full stop (or its own question or exclamation mark)."""
    bare = text.strip().rstrip(".")
    return upper_first(bare) + ("" if bare.endswith(("?", "!")) else ".")


def listed(items: Sequence[str]) -> str:
    """Items of a list for a reader who must find each again: with semicolons and no full stops inside."""
    return "; ".join(item.rstrip(".") for item in items)


def enumerated(items: Sequence[str], rng: random.Random | None = None) -> str:
    """Items as a clause: "a, b and c", or with semicolons where an item holds a comma or an "and" of its own."""
    if len(items) < 2:
        return "".join(items)
    heavy = any("," in item for item in items) or (len(items) > 2 and any(" and " in item for item in items))
    if heavy:
        return "; ".join(items)
    negative = any(item.startswith(("no ", "without ", "absence ", "never ", "nil ")) for item in items)
    last = rng.choice((" and ", " and ", ", and also ", " as well as ", " with ")) if rng and not negative else " and "
    if last in (" with ", " as well as ") and len(items) == 2 and " with " in items[0]:
        last = " and "
    return ", ".join(items[:-1]) + last + items[-1]


def article(noun: str) -> str:
    """ "a" or "an" before a noun or an age such as "8-year-old"."""
    return "an" if re.match(r"(?:[aeiouAEIOU]|8|11\D|18\D)", noun) else "a"
