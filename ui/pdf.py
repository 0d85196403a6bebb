"""A finished answer as a printable PDF.

fpdf2's built-in font knows western European letters only. For others a TrueType font is needed: the one named by
GAZAL_UI_PDF_FONT, or DejaVu Sans where matplotlib (of the benchmarks) is installed. Characters that the font lacks
become '?', and the page is told how many; letters that join, as in Arabic, need the package uharfbuzz to be joined.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gazal.artifact import NOT_FOR_CLINICAL_USE
from ui.export import AI_NOTICE, as_object, provenance_lines
from ui.render import visible

if TYPE_CHECKING:
    from fpdf import FPDF

    from ui.export import Choices
    from ui.run import Run

_PLAIN = {"–": "-", "—": "-", "‘": "'", "’": "'", "“": '"', "”": '"', "…": "...", "≥": ">=", "≤": "<=", "→": "->"}  # noqa: RUF001
_PLAIN |= {"\u00a0": " ", "\u202f": " ", "\u2009": " ", "•": "-", "−": "-", "μ": "µ"}  # noqa: RUF001


LONG_WORD = 60
"""Characters of a word that may be broken anywhere."""


@dataclass(frozen=True)
class Pdf:
    """The document and how many characters of its text the font lacks."""

    data: bytes
    lost: int


@cache
def usual_font() -> Path | None:
    """DejaVu Sans as matplotlib ships it, where that is installed; nothing of matplotlib is imported."""
    found = importlib.util.find_spec("matplotlib")
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    return path if path.is_file() else None


class _Writer:
    """Writes paragraphs and counts what cannot be shown."""

    def __init__(self, font: Path | None) -> None:
        from fpdf import FPDF
        from fpdf.fonts import TTFFont

        self.pdf: FPDF = FPDF(format="A4")
        self.pdf.set_margins(20, 18)
        self.pdf.set_auto_page_break(True, 18)
        self.lost = 0
        self._family = "helvetica"
        self._known: set[int] | None = None
        if font is not None:
            self.pdf.add_font("own", "", str(font))
            self._family = "own"
            loaded = self.pdf.fonts["own"]
            self._known = set(loaded.cmap) if isinstance(loaded, TTFFont) else None
            if importlib.util.find_spec("uharfbuzz"):
                self.pdf.set_text_shaping(True)
        self.pdf.add_page()

    def write(self, text: str, size: float = 10, gap: float = 2.5, grey: bool = False) -> None:
        from fpdf.enums import WrapMode

        self.pdf.set_font(self._family, "", size)
        self.pdf.set_text_color(90 if grey else 20)
        for line in visible(text).split("\n"):
            longest = max(map(len, line.split()), default=0)
            mode = WrapMode.CHAR if longest > LONG_WORD else WrapMode.WORD
            self.pdf.multi_cell(0, size * 0.5, self._shown(line), new_x="LMARGIN", new_y="NEXT", wrapmode=mode)
        self.pdf.ln(gap)

    def heading(self, text: str) -> None:
        self.write(text, 13, 1)

    def _shown(self, text: str) -> str:
        out = []
        for character in text.replace("\t", "    ").replace("\r", ""):
            plain = character if self._has(character) else _PLAIN.get(character, character)
            if all(self._has(each) for each in plain):
                out.append(plain)
            else:
                out.append("?")
                self.lost += 1
        return "".join(out)

    def _has(self, character: str) -> bool:
        if self._known is not None:
            return ord(character) in self._known
        return ord(character) < 0x7F or 0xA0 <= ord(character) <= 0xFF


def as_pdf(run: Run, choices: Choices, own: str = "", font: Path | None = None) -> Pdf:
    """The export as a PDF. `font` is the user's; without it the usual one is looked for."""
    told = as_object(run, choices, own)
    writer = _Writer(font or usual_font())
    writer.pdf.set_title("Gazal-R1: a reasoned answer")
    writer.pdf.set_subject(NOT_FOR_CLINICAL_USE)
    writer.heading("Gazal-R1: a reasoned answer")
    writer.write(f"{NOT_FOR_CLINICAL_USE} {AI_NOTICE}", 9, 4)
    _flags(writer, told["red_flags"])
    if "prompt" in told:
        writer.heading("Prompt")
        writer.write(told["prompt"], 9, 4)
    if "own_assessment" in told:
        writer.heading("Own assessment, written before")
        writer.write(told["own_assessment"], gap=4)
    writer.heading("The model's written reasoning")
    for step in told["steps"]:
        writer.write(f"Step {step['number']} ({step['at_s']} s): {step['text']}")
    writer.heading("Answer")
    writer.write(told["answer"].replace("**", ""), gap=3)
    final = told["final_answer"]
    if final:
        said = f"{final['value']} {final.get('text') or ''}" if final["value"] else f"none ({final['failure']})"
        writer.write(f"Final answer: {said}")
    if told["agreement"]:
        vote = told["agreement"]
        writer.write(f"Agreement: {vote['agreeing']} of {vote['samples']} answers (a count, not a probability)")
    for line in provenance_lines(told):
        writer.write(line, 8, 0.5, grey=True)
    return Pdf(bytes(writer.pdf.output()), writer.lost)


def _flags(writer: _Writer, flags: list[dict[str, Any]] | None) -> None:
    if not flags:
        writer.write("Red flags: " + ("not checked." if flags is None else "no rule fired. This excludes nothing."))
        return
    writer.heading("Red flags found by fixed rules")
    for flag in flags:
        title = flag.get("title") or flag.get("name") or flag.get("id")
        writer.write(f"- {title}: {flag.get('action') or flag.get('message') or flag.get('reason') or ''}")
