"""What the page says, in each language. Both files have the same keys; a test holds them to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ui.texts.ar import AR
from ui.texts.en import EN

Language = Literal["en", "ar"]
Texts = Mapping[str, str]

LANGUAGES: dict[Language, Texts] = {"en": EN, "ar": AR}
