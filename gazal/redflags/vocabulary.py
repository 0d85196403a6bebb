"""All findings by name, their phrases read once."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from gazal.redflags.phrases import Phrase, PhraseBook, compiled
from gazal.redflags.words_acute import HEART, LUNGS, NERVES
from gazal.redflags.words_body import BELLY, INFECTION, INJURY_AND_MIND, METABOLIC, PREGNANCY

if TYPE_CHECKING:
    from collections.abc import Mapping


@cache
def vocabulary() -> Mapping[str, tuple[Phrase, ...]]:
    """The phrases of each finding. Raises ValueError when a name is given twice."""
    everything: dict[str, tuple[Phrase, ...]] = {}
    for part in (HEART, LUNGS, NERVES, BELLY, PREGNANCY, INFECTION, METABOLIC, INJURY_AND_MIND):
        for name, phrases in part.items():
            if name in everything:
                raise ValueError(f"the finding {name!r} is defined twice; merge the two")
            everything[name] = tuple(compiled(phrase) for phrase in map(str.strip, phrases.split(";")) if phrase)
    return MappingProxyType(everything)


@cache
def book() -> PhraseBook:
    """All phrases, indexed."""
    return PhraseBook(vocabulary())
