"""Microsoft Presidio as an optional second detector beside `gazal.identifiers`; `pip install presidio-analyzer` first.

Its recognisers run without a language model and without its e-mail and URL recognisers, which look a list of domain
suffixes up on the internet; our own patterns find both. What the two find is joined, so that nothing of ours is lost.

    find(text, analyzer())
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from gazal.identifiers import Identifier, joined
from gazal.identifiers import find as find_ours

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gazal.identifier_patterns import IdentifierType

_TYPES: dict[str, IdentifierType] = {
    "PERSON": "name",
    "PHONE_NUMBER": "phone",
    "LOCATION": "address",
    "DATE_TIME": "date",
    "US_SSN": "national_id",
    "US_ITIN": "national_id",
    "US_PASSPORT": "national_id",
    "US_DRIVER_LICENSE": "national_id",
    "UK_NHS": "national_id",
    "UK_NINO": "national_id",
    "MEDICAL_LICENSE": "account",
    "CREDIT_CARD": "account",
    "IBAN_CODE": "account",
    "US_BANK_NUMBER": "account",
    "IP_ADDRESS": "ip",
}
_NOT_USED = ("EmailRecognizer", "UrlRecognizer", "SpacyRecognizer")
"""The first two look domain suffixes up, the third needs a language model, which PyPI does not have."""
_LEAST_SCORE = 0.5
"""Below it Presidio guesses: a record number is a bank account at 0.05."""


class Found(Protocol):
    """What Presidio says of a part of a text."""

    entity_type: str
    start: int
    end: int
    score: float


class Analyzer(Protocol):
    """The part of Presidio's AnalyzerEngine that is used."""

    def analyze(self, text: str, language: str) -> Sequence[Found]:
        """Everything it finds."""
        ...


def analyzer() -> Analyzer:
    """Presidio without a language model and without look-ups. Raises ImportError naming the package to install."""
    try:
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine
    except ImportError as error:
        raise ImportError("Presidio is not installed; run: pip install presidio-analyzer") from error
    registry: Any = RecognizerRegistry()
    registry.load_predefined_recognizers()
    for name in _NOT_USED:
        registry.remove_recognizer(name)
    no_model = NoOpNlpEngine(models=[{"lang_code": "en", "model_name": "none"}])
    engine: Analyzer = AnalyzerEngine(registry=registry, nlp_engine=no_model, supported_languages=["en"])
    return engine


def find(text: str, engine: Analyzer) -> list[Identifier]:
    """What `gazal.identifiers.find` finds and what Presidio is sure of, in order and without overlaps."""
    theirs = [
        Identifier(_TYPES[each.entity_type], each.start, each.end)
        for each in engine.analyze(text=text, language="en")
        if each.entity_type in _TYPES and each.score >= _LEAST_SCORE
    ]
    return joined([*find_ours(text), *theirs])
