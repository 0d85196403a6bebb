"""Text that nobody vouches for becomes HTML that can do nothing: cases, model answers, error messages.

Everything is escaped. A model's Markdown keeps emphasis, lists, headings, tables and code; links and images stay the
text they are written as, and nh3 lets no other tag and no attribute pass. Characters that turn the direction of a
line, or that no one sees, are shown by their code instead of obeyed.
"""

from __future__ import annotations

import html
import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from itertools import zip_longest
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MAX_SHOWN_CHARS = 40_000
"""Longest text that is drawn; exports hold all of it."""

TAGS = {"p", "br", "strong", "em", "ul", "ol", "li", "code", "pre", "blockquote", "hr", "h5"}
TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}

Kind = Literal["lead", "danger", "for", "against", "missing", "next", "other"]

_HIDDEN = re.compile(
    "[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]"
)
_HEADING_TAG = re.compile(r"(</?)h[1-6]>")
_LABEL = re.compile(
    r"^[ \t]*[-*]?[ \t]*\*\*([^*\n]{2,60}?)\*\*[ \t]*[:：][ \t]*"  # noqa: RUF001
    r"|^[ \t]*[-*]?[ \t]*\*\*([^*\n]{2,60}?)[:：]\*\*[ \t]*",  # noqa: RUF001
    re.MULTILINE,
)
_FINAL = re.compile(r"^[ \t>*_#-]*final answer[ \t*_]*[:：].*$", re.IGNORECASE | re.MULTILINE)  # noqa: RUF001

_KINDS: dict[str, Kind] = {
    "primary diagnosis": "lead",
    "best option": "lead",
    "first-line treatment": "lead",
    "decision": "lead",
    "likely course": "lead",
    "conclusion": "lead",
    "must not miss": "danger",
    "contraindications and interactions": "danger",
    "safety net": "danger",
    "supporting findings": "for",
    "reasoning": "for",
    "favourable factors": "for",
    "findings against": "against",
    "other options": "against",
    "unfavourable factors": "against",
    "missing information": "missing",
    "key uncertainties": "missing",
    "information that would change it": "missing",
    "uncertainty": "missing",
    "next steps": "next",
    "monitoring": "next",
    "modifiable factors": "next",
}


@dataclass(frozen=True)
class Section:
    """A labelled part of an answer; what stands before the first label has no label."""

    kind: Kind
    label: str
    text: str


def visible(text: str) -> str:
    """`text` with direction marks and other unseen characters shown as their code."""
    return _HIDDEN.sub(lambda found: f"[U+{ord(found.group()):04X}]", text)


def escaped(text: str) -> str:
    """Plain text as HTML."""
    return html.escape(visible(text))


def with_code(text: str) -> str:
    """One of the page's own texts as HTML, what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def cut(text: str) -> tuple[str, int]:
    """The part of a long text that is drawn, and how many characters were left out."""
    return text[:MAX_SHOWN_CHARS], max(0, len(text) - MAX_SHOWN_CHARS)


def markdown(text: str) -> str:
    """A model's Markdown as harmless HTML."""
    import nh3

    drawn = _parser().render(visible(cut(text)[0]))
    return nh3.clean(_HEADING_TAG.sub(r"\1h5>", drawn), tags=TAGS, attributes={}, clean_content_tags=set())


@cache
def _parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "maxNesting": 20}).enable("table")
    return parser.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])


def sections(answer: str) -> list[Section]:
    """The labelled parts of an answer, in its own order; the line with the final answer is shown elsewhere."""
    text = _FINAL.sub("", cut(answer)[0])
    marks = list(_LABEL.finditer(text))
    head = re.sub(r"^[ \t]*#{1,6}[ \t].*$", "", text[: marks[0].start()] if marks else text, flags=re.MULTILINE).strip()
    found = [Section("other", "", head)] if head else []
    for mark, following in zip_longest(marks, marks[1:]):
        label = (mark[1] or mark[2]).strip()
        body = text[mark.end() : following.start() if following else len(text)]
        body = re.sub(r"^[ \t]*#{1,6}[ \t].*$", "", body, flags=re.MULTILINE).strip()
        found.append(Section(_KINDS.get(label.lower(), "other"), label, body))
    return found


def is_right_to_left(text: str) -> bool:
    """Whether the first letter that has a direction runs from right to left."""
    for character in text[:500]:
        direction = unicodedata.bidirectional(character)
        if direction in ("L", "R", "AL"):
            return direction != "L"
    return False
