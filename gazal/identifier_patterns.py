"""The patterns of `gazal.identifiers`: what names, numbers, addresses and dates of people look like in clinical text.

A pattern marks what is to be hidden by its group `id`; the cue that gives it away (MRN, born on, Mrs) may stand
outside. Check digits decide where a number has one. Of two patterns that claim the same characters the first stands.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

from gazal.given_names import GIVEN_NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

IdentifierType = Literal[
    "name", "date", "phone", "email", "address", "record_number", "national_id", "insurance", "account", "url", "ip",
    "age", "device", "plate",
]  # fmt: skip


@dataclass(frozen=True)
class Pattern:
    """One way in which a type of identifier is written."""

    type: IdentifierType
    regex: re.Pattern[str]
    """Marks what is to be hidden by the group `id`; cues stand outside of it."""
    holds: Callable[[str], bool] | None = None
    """A further test of that group, such as a check digit."""


_WORD = (
    r"[A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+(?:['\u2019-][A-ZÀ-ÖØ-Þ][a-zß-öø-ÿ]+)?|[OD]['\u2019][A-Z][a-z]+"
    r"|Mc[A-Z][a-z]+|Mac[A-Z][a-z]+"
)
_PARTICLE = r"(?:al-|Al-|van |von |de |del |bin |ibn |el-|El-|der |den )"
_SURNAME = rf"(?:{_PARTICLE}){{0,2}}(?:{_WORD}|[A-Z]{{2,20}}\b(?!-))"
_FULL_NAME = rf"(?:(?:{_WORD})|[A-Z]\.?)(?:[ \t]+(?:[A-Z]\.?[ \t]+)?{_SURNAME}){{0,2}}"
_MONTH = (
    r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?"
    r"|Nov(?:ember)?|Dec(?:ember)?|JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)\b\.?"
)
_DAY = r"(?:0?[1-9]|[12]\d|3[01])"
_MONTH_NUMBER = r"(?:0?[1-9]|1[0-2])"
_YEAR = r"(?:19|20)\d\d"
_STREET = (
    r"(?:Street|St|Road|Rd|Avenue|Ave|Lane|Ln|Drive|Dr|Close|Court|Ct|Crescent|Boulevard|Blvd"
    r"|Way|Place|Pl|Terrace|Square"
    r"|Gardens|Grove|Highway|Hwy|Parkway|Pkwy|Mews|Row|Hill|Walk)"
)
_POSTCODE_AREA = (
    r"(?:A[BL]|B[ABDHLNRST]?|C[ABFHMORTVW]|D[ADEGHLNTY]|E[CHNX]?|F[KY]|G[LUY]?|H[ADGPRSUX]"
    r"|I[GMPV]|JE|K[ATWY]|L[ADELNSU]?"
    r"|M[EKL]?|N[EGNPRW]?|O[LX]|P[AEHLOR]|R[GHM]|S[AEGKLMNOPRSTWY]?|T[ADFNQRSW]|UB|W[ADFNRSV]?|YO|ZE)"
)
_STATE = (
    r"(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI"
    r"|S[CD]|T[NX]|UT|V[AT]|W[AIVY])"
)
_CODE = r"(?=[\w/-]{0,20}\d)[A-Za-z0-9][\w/-]{3,20}"
"""A number of a record: letters and digits with at least one digit."""
_SEPARATOR = (
    r"(?:[ \t]*(?:no|number|num|nr|id|#|is|was)\b\.?)?(?:[ \t]*[:#=.]|[ \t]+is|[ \t]+(?:no"
    r"|number)\b\.?)?[ \t]*"
)
_NOT_A_NAME = frozenset(
    {
        "The", "A", "An", "He", "She", "It", "They", "This", "That", "His", "Her", "Their", "No", "Not", "Known",
        "Male", "Female", "Man", "Woman", "Patient", "Is", "Was", "Has", "Had", "With", "Denies", "Reports",
        "Presents", "And", "Or", "Of", "In", "On", "At", "For", "From", "To", "Aged", "Age", "Year", "Old",
        "History", "Past", "Chest", "Pain", "Unknown", "Stable", "Well",
    }
)  # fmt: skip


def _plausible_name(text: str) -> bool:
    return text.split()[0].rstrip(".,") not in _NOT_A_NAME


def _digits(text: str) -> list[int]:
    return [int(character) for character in text if character.isdecimal()]


def _is_nhs_number(text: str) -> bool:
    """The modulus-11 check digit of NHS numbers (NHS Data Dictionary); repeated digits are nobody's number."""
    digits = _digits(text)
    check = 11 - sum(digit * weight for digit, weight in zip(digits, range(10, 1, -1), strict=False)) % 11
    return len(digits) == 10 and len(set(digits)) > 1 and check % 11 == digits[9]


def _is_card_number(text: str) -> bool:
    """The Luhn check digit (ISO/IEC 7812-1)."""
    digits = _digits(text)[::-1]
    total = sum(digits[::2]) + sum(sum(divmod(2 * digit, 10)) for digit in digits[1::2])
    return 13 <= len(digits) <= 19 and len(set(digits)) > 1 and total % 10 == 0


def _is_ipv4(text: str) -> bool:
    return all(int(part) < 256 for part in text.split("."))


def _is_given_name_first(text: str) -> bool:
    return text.split()[0].split("-")[0] in GIVEN_NAMES


def _over_89(text: str) -> bool:
    return 90 <= int(text) <= 130


@cache
def patterns() -> tuple[Pattern, ...]:
    """All patterns. Every repetition is bounded, so that the time grows with the length of the text and no faster."""
    titles = r"(?:Mr|Mrs|Ms|Miss|Mx|Dr|Prof|Professor|Sir|Dame|Lord|Lady|Rev|Fr|Sheikh|Nurse|Señor|Señora|Herr|Frau)"
    relatives = (
        r"(?:wife|husband|partner|son|daughter|mother|father|brother|sister|mum|mom|dad|carer|neighbour|neighbor|friend"
        r"|colleague|aunt|uncle|grandson|granddaughter|guardian|girlfriend|boyfriend)"
    )

    def compiled(
        type_: IdentifierType, regex: str, holds: Callable[[str], bool] | None = None, flags: int = 0
    ) -> Pattern:
        return Pattern(type_, re.compile(regex, flags), holds)

    loose = re.IGNORECASE
    return (
        compiled("name", rf"(?<![\w.])(?P<id>{titles}\.?[ \t]+{_FULL_NAME})"),
        compiled(
            "name",
            r"(?i:\b(?:patient(?:'s)?[ \t]+name|pt[ \t]+name|full[ \t]+name|surname|forename|first[ "
            r"\t]name|last[ \t]name|name"
            r"|next[ \t]of[ \t]kin|nok|gp|consultant|referred[ \t]by|seen[ \t]by|signed(?:[ \t]by)?|dictated[ \t]by"
            r"|emergency[ \t]contact|attending|surgeon|author))[ \t]*[:=][ "
            rf"\t]*(?P<id>(?:[A-Z]{{2,20}},[ \t]*)?{_FULL_NAME})",
            _plausible_name,
        ),
        compiled(
            "name",
            rf"(?i:\b(?:named|called|my name is|name is|signed by|seen by))[ \t]+(?P<id>{_FULL_NAME})",
            _plausible_name,
        ),
        compiled("name", r"\b(?i:my name(?:'s| is))[ \t]+(?P<id>[a-z]{2,20}[ \t]+[a-z]{2,20})\b"),
        compiled("name", rf"(?i:\b{relatives}),?[ \t]+(?:is[ \t]+)?(?P<id>{_FULL_NAME})", _is_given_name_first),
        compiled(
            "name",
            rf"(?<![\w.])(?P<id>(?:{_WORD})(?:[ \t]+[A-Z]\.?)?[ \t]+{_SURNAME}(?:[ \t]+(?:{_WORD})(?=[ "
            r"\t]+[a-z]|[,.(]))?)",
            _is_given_name_first,
        ),
        compiled(
            "name",
            rf"(?<![\w.])(?P<id>{_WORD}),[ \t]+(?:her|his|my|the|their)[ \t]+{relatives}\b",
            _is_given_name_first,
        ),
        compiled(
            "name", r"(?<!\w)(?P<id>[A-Z]{2,20},[ \t]+[A-Z][a-z]{2,20})\b", lambda text: text.split()[-1] in GIVEN_NAMES
        ),
        compiled("date", rf"(?<![\d/.-])(?P<id>{_DAY}([/.-]){_MONTH_NUMBER}\2{_YEAR})(?![\d/-])"),
        compiled("date", rf"(?<![\d/.-])(?P<id>{_MONTH_NUMBER}([/.-]){_DAY}\2{_YEAR})(?![\d/-])"),
        compiled(
            "date",
            rf"(?<![\d/.-])(?P<id>(?:{_DAY}([/-]){_MONTH_NUMBER}|{_MONTH_NUMBER}([/-]){_DAY})(?:\2"
            r"|\3)\d\d)(?![\d/.-])",
        ),
        compiled("date", rf"(?<![\d/.-])(?P<id>{_YEAR}([/.-]){_MONTH_NUMBER}\2{_DAY})(?![\d/-])"),
        compiled(
            "date",
            rf"(?<![\w/.-])(?P<id>{_DAY}(?:st|nd|rd|th)?(?:[ \t]+of)?[ \t-]{{1,2}}{_MONTH}(?:,?[ "
            rf"\t-]{{1,2}}{_YEAR})?)(?![ \t]+(?:be|have|need|also|require|benefit)\b)",
        ),
        compiled(
            "date",
            rf"\b(?P<id>{_MONTH}[ \t]{{1,2}}{_DAY}(?:st|nd|rd|th)?\b(?![.%/]?\d|[ \t]*(?:mg|ml|mmol"
            rf"|%))(?:,?[ \t]{{1,2}}{_YEAR})?)",
        ),
        compiled(
            "date",
            r"(?i:\b(?:d\.?o\.?b\.?|date[ \t]of[ \t]birth|born(?:[ \t](?:on|in))?))[ \t]*[:=]?[ "
            r"\t]*(?P<id>[\d/. -]{4,12}\d|"
            rf"{_MONTH}[ \t]+{_YEAR}|{_YEAR})",
        ),
        compiled(
            "phone",
            r"(?<![\w+])(?P<id>\+\d{1,3}[ ./-]?(?:\(0?\d{1,4}\)[ ./-]?)?\d{1,4}(?:[ "
            r"./-]?\d{2,4}){1,4})(?!\d)",
        ),
        compiled(
            "phone",
            r"(?<![\w.-])(?P<id>(?:1[ .-])?(?:\(\d{3}\)[ ]?|\d{3}[.-])\d{3}[.-]\d{4}(?:[ ]?(?:x"
            r"|ext\.?)[ ]?\d{1,5})?)(?![\w-])",
        ),
        compiled(
            "phone",
            r"(?<![\w.-])(?P<id>0(?:7\d{3}[ -]?\d{3}[ -]?\d{3}|[123]\d{2,3}[ -]?\d{3}[ -]?\d{3,4}|2\d[ "
            r"-]?\d{4}[ -]?\d{4}|\d{9,10}))(?![\w-]|\.\d)",
        ),
        compiled(
            "phone",
            r"\b(?:tel(?:ephone)?|phone|mobile|mob|cell|fax|pager|bleep|whatsapp|contact|call(?:[ "
            r"]\w{2,8})?(?:[ ]on)?)(?:[ ]?(?:no|number|nr))?\.?"
            r"[ \t]*[:=]?[ \t]*(?:on[ ]|at[ ]|is[ ])?(?P<id>\(?\+?\d[\d ()./-]{4,18}\d)",
            lambda text: 6 <= len(_digits(text)) <= 15,
            loose,
        ),
        compiled("email", r"(?<![\w.+-])(?P<id>[\w.+-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,4})"),
        compiled("url", r"(?P<id>\b(?:https?://|www\.)[^\s<>\"')\]]{2,300}(?<![.,;:]))", None, loose),
        compiled("ip", r"(?<![\w.])(?P<id>\d{1,3}(?:\.\d{1,3}){3})(?![\w.]\w)", _is_ipv4),
        compiled(
            "ip",
            r"(?<![\w:])(?P<id>(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}"
            r"|(?:[0-9a-f]{1,4}:){1,6}:[0-9a-f]{1,4})(?![\w:])",
            None,
            loose,
        ),
        compiled(
            "address",
            rf"(?<![\w/.])(?P<id>(?:(?:[Ff]lat|[Aa]pt\.?|[Aa]partment|[Uu]nit|[Ss]uite)[ ]\w{{1,5}},?[ "
            rf"])?\d{{1,5}}[A-Za-z]?,?[ ](?:(?:[A-Z][\w'\u2019]{{1,20}}|[NSEW]\.?)[ ]){{1,4}}{_STREET}\b\.?"
            rf"(?:,?[ ](?:[Ff]lat|[Aa]pt\.?|[Uu]nit|#)[ ]?\w{{1,5}})?(?:,[ ][A-Z][a-z]{{2,20}}(?:[ "
            rf"][A-Z][a-z]{{2,20}})?)?(?:,?[ ]{_STATE}[ ]\d{{5}}(?:-\d{{4}})?)?"
            rf"(?:,?[ ]{_POSTCODE_AREA}\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{{2}})?)",
        ),
        compiled("address", rf"\b(?P<id>{_POSTCODE_AREA}\d[A-Z\d]?[ ]\d[ABD-HJLNP-UW-Z]{{2}})\b"),
        compiled(
            "address",
            rf"\b(?P<id>[A-Z][a-z]{{2,20}}(?:[ ][A-Z][a-z]{{2,20}}){{0,2}},[ ]{_STATE},?[ "
            rf"]\d{{5}}(?:-\d{{4}})?)\b",
        ),
        compiled("address", r"\b(?P<id>P\.?[ ]?O\.?[ ]Box[ ]\d{1,8})\b", None, loose),
        compiled(
            "address",
            r"\b(?:home[ ])?address[ \t]*[:=][ \t]*(?P<id>[^\n;]{5,100}?)(?=[;\n]|$|\.[ ]|,?[ ](?:tel"
            r"|phone|dob|mobile)\b)",
            None,
            loose,
        ),
        compiled(
            "record_number",
            r"\b(?:MRN|M\.R\.N|URN|(?:medical|hospital|patient|clinic|chart|unit|health)[ ](?:record[ "
            r"])?(?:no|number|id|num|#)|hosp(?:ital)?[ ]?(?:no|num)"
            r"|record[ ](?:no|number)|accession|encounter|specimen[ ](?:no|number|id)|study[ ]id"
            rf"|episode[ ](?:no|number)|case[ ](?:no|number)){_SEPARATOR}(?P<id>{_CODE})",
            None,
            loose,
        ),
        compiled("national_id", r"(?<![\w.-])(?P<id>\d{3}[ -]\d{3}[ -]\d{4}|\d{10})(?![\w-]|\.\d)", _is_nhs_number),
        compiled(
            "national_id",
            r"\b(?:NHS|CHI|SSN|social[ ]security|NINO?|national[ ](?:id|insurance)|identity[ ]card"
            r"|Emirates[ ]ID|Iqama|passport|driver'?s?[ ]licen[cs]e|driving[ ]licen[cs]e|BSN|CPR[ "
            rf"](?:no|number)|AHV|codice[ ]fiscale|aadhaar|IHI|PPS){_SEPARATOR}(?P<id>(?=[\w "
            rf"/-]{{0,20}}\d)[A-Z0-9](?:[A-Z0-9]|[ -](?=[A-Z0-9]*\d)){{5,20}})",
            lambda text: len(_digits(text)) >= 5,
            loose,
        ),
        compiled("national_id", r"(?<![\w-])(?P<id>(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4})(?![\w-])"),
        compiled(
            "national_id",
            r"\b(?P<id>(?!BG|GB|NK|KN|TN|NT|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ ]?\d{2}[ ]?\d{2}[ "
            r"]?\d{2}[ ]?[A-D])\b",
        ),
        compiled("national_id", r"(?<![\w-])(?P<id>784-?(?:19|20)\d\d-?\d{7}-?\d)(?![\w-])"),
        compiled("national_id", r"(?<![\w-])(?P<id>(?:0[1-9]|[12]\d|3[01])(?:0[1-9]|1[0-2])\d\d-\d{4})(?![\w-])"),
        compiled(
            "insurance",
            r"\b(?:insurance|policy|member(?:ship)?|subscriber|medicare|medicaid|beneficiary|group"
            rf"|health[ ]plan|payer)(?:[ ](?:id|no|number|card|policy))+\.?{_SEPARATOR}(?P<id>(?=[\w "
            rf"-]{{0,20}}\d)[A-Z0-9][A-Z0-9-]{{4,20}})",
            None,
            loose,
        ),
        compiled(
            "device",
            r"\b(?:serial|device[ ]id|device[ ]identifier|IMEI|UDI|lot)(?:[ ](?:no|number|id"
            rf"|#))?{_SEPARATOR}(?P<id>{_CODE})",
            None,
            loose,
        ),
        compiled("device", r"(?<![\w:])(?P<id>[0-9a-f]{2}(?::[0-9a-f]{2}){5})(?![\w:])", None, loose),
        compiled("account", r"(?<![\w.-])(?P<id>\d{4}(?:[ -]?\d{4}){2}[ -]?\d{1,7})(?![\w-])", _is_card_number),
        compiled(
            "account",
            r"\b(?P<id>[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){3,7}(?:[ ]?[A-Z0-9]{1,3})?)\b",
            lambda text: len(_digits(text)) >= 10,
        ),
        compiled(
            "account",
            r"\b(?:account|acct|licen[cs]e|certificate|GMC|NPI|DEA)[ ]?(?:no|number|id|#)?\b\.?[ "
            r"\t]*[:#]?[ \t]*(?P<id>(?=[\w-]{0,20}\d{4})[A-Z0-9][\w-]{5,20})",
            None,
            loose,
        ),
        compiled(
            "age",
            r"(?<![\w.])(?P<id>\d{2,3})(?=(?:[ -]?(?:years?|yrs?|year)[ -]?(?:old|of[ ]age)|[ "
            r"-]?y[./]?o\b|[ ]?yr[ ]?old))",
            _over_89,
            loose,
        ),
        compiled(
            "age",
            r"\b(?:aged?|age[ ]is)[ ]?[:=]?[ ]?(?P<id>\d{2,3})\b(?!/|\.\d|[ ]?(?:months|weeks|days))",
            _over_89,
            loose,
        ),
        compiled("age", r"(?<![\w.])(?P<id>\d{2,3})(?=[ ]?(?:[FM]\b(?![A-Z/])))", _over_89),
        compiled(
            "plate",
            r"\b(?:(?:licen[cs]e|number|registration|reg)[ ]plates?|car[ ]reg(?:istration)?|vehicle[ "
            r"](?:reg(?:istration)?|number)|registration(?:[ ]number)?|plates?"
            rf"|VIN){_SEPARATOR}(?P<id>(?=[A-Z0-9 -]{{0,17}}\d)[A-Z0-9]{{1,17}}(?:[ "
            rf"-][A-Z0-9]{{2,4}}){{0,2}})\b",
            lambda text: any(c.isalpha() for c in text) or len(text) > 5,
            0,
        ),
    )
