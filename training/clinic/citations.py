"""Numbers that reasoning cites although the case does not hold them: findings that somebody made up.

A number counts with its unit; where the case writes it without one, any unit passes, and the other way round. Numbers
that belong to a name ("type 1", "T4", "5-HT3") are no findings. Nor is one that a word marks as an estimate, a limit or
an aim ("about 30%", "below 90 mmHg"): steps may hold knowledge, as long as it does not pose as something measured.

    uncited_numbers("Fever of 38.4 °C for three days.", "A fever of 39.4 °C for 3 days")     ->  ["39.4 °C"]
"""

from __future__ import annotations

import re

from gazal.quantities import LABS, VITALS

_IN_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TIMES = ("seconds", "minutes", "hours", "days", "weeks", "months", "pack-years", "years")
_OTHER_UNITS = ("mm", "cm", "m", "mL", "L", "µg", "mg", "g", "kg", "kPa", "dB", "units")
_UNITS = sorted({unit for each in (*VITALS.values(), *LABS.values()) for unit in each.units} | {*_OTHER_UNITS})
_TIME = "|".join(f"{each.removesuffix('s')}s?" for each in _TIMES)
_UNIT = "|".join(re.escape(each) for each in sorted(_UNITS, key=len, reverse=True))
_UNNAMED = r"(?<![A-Za-z\d.^])(?<![A-Za-z]-)(?<!type )(?<!grade )(?<!stage )(?<!class )"
_NUMBER = re.compile(
    rf"{_UNNAMED}(?P<value>\d{{1,3}}(?:,\d{{3}})+|\d+(?:\.\d+)?)(?![\d^])"
    rf"(?:[\s-]?(?P<unit>(?:{_TIME})\b|(?:{_UNIT})(?![A-Za-z]))|(?!-[A-Za-z]))"
    rf"|\b(?P<word>{'|'.join(_IN_WORDS)})[\s-](?P<time>{_TIME})\b",
    re.IGNORECASE,
)
_MARKED = re.compile(
    r"\b(?:about|roughly|around|within|above|below|under|over|beyond|at least|at most|up to|than|aim of)\s+(?:the |a )?"
    rf"(?:first |next |last )?(?:\d+(?:\.\d+)?(?:(?: to |-|/)\d+(?:\.\d+)?)?|{'|'.join(_IN_WORDS)})\b",
    re.IGNORECASE,
)


def uncited_numbers(case: str, reasoning: str) -> list[str]:
    """The numbers of `reasoning`, with their units, that `case` does not hold."""
    given = _numbers(case)
    return [
        f"{value:g} {unit}".strip()
        for value, unit in sorted(_numbers(_MARKED.sub(" ", reasoning)))
        if not any(value == known and (unit == of or not unit or not of) for known, of in given)
    ]


def _numbers(text: str) -> set[tuple[float, str]]:
    found = set()
    for match in _NUMBER.finditer(text):
        if match["word"]:
            value, unit = float(_IN_WORDS.index(match["word"].lower()) + 1), match["time"]
        else:
            value, unit = float(match["value"].replace(",", "")), match["unit"] or ""
        time = unit.lower().removesuffix("s")
        found.add((value, time if f"{time}s" in _TIMES else unit))
    return found
