"""The grammar of a reasoned answer: split a reply into reasoning and answer, and the reasoning into steps.

    <think>
    Step 1: ...
    Step 2: ...
    </think>

    ## Clinical Assessment ...
    Final answer: \\boxed{C}

Both parsers are incremental, because replies arrive in chunks that may cut a tag in half, and both give the same result
for every way of cutting. The splitter loses no character: the texts of its pieces, in order, are the reply.

Its rules cover every shape that models produce. `<think>` starts reasoning and `</think>` ends it. A `</think>` met
outside reasoning means that the text since the last tag was reasoning after all: the chat template had opened the tag
in the prompt, or the model closed twice. A repeated `<think>` inside reasoning is only a tag. A reply that ends inside
reasoning was truncated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from gazal.answers import Extraction, extract

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

OPEN_TAG = "<think>"
CLOSE_TAG = "</think>"

PieceKind = Literal["reasoning", "answer", "tag"]

_TAG = re.compile(r"</?think>")
_STEP_HEADER = re.compile(
    r"^[ \t>#*_-]*step[ \t]*(\d{1,3})(?:[ \t]*[*_]*[ \t]*[:：)]|[ \t*_]*[ \t][–—-][ \t])[ \t*_]*",  # noqa: RUF001
    re.IGNORECASE,
)
_FAILED = frozenset({"error", "abort", "content_filter"})


@dataclass(frozen=True)
class Piece:
    """A run of the reply that belongs to one side, or a tag."""

    kind: PieceKind
    text: str


@dataclass(frozen=True)
class Step:
    """One numbered reasoning step; `number` is the model's own and may repeat or jump."""

    number: int
    text: str


@dataclass(frozen=True)
class ReasonedAnswer:
    """A reply taken apart."""

    reasoning: str
    steps: tuple[Step, ...]
    answer: str
    """The Markdown after the reasoning, trimmed."""
    final: Extraction | None
    """The final answer or why there is none; None in modes without a closed set of answers."""
    reasoning_complete: bool
    """False when the reply ended inside the reasoning."""
    finish_reason: str | None


@dataclass
class Splitter:
    """Splits a reply into reasoning and answer while it arrives.

    `opened` says that the prompt already ended with `<think>`, so the reply begins inside the reasoning.
    `feed` returns the pieces that are certain so far; `finish` returns what was held back. When an unmatched `</think>`
    shows that text already returned as answer was reasoning, `reclassified` counts it; `pieces` holds the final truth.
    """

    opened: bool = False
    reclassified: int = 0
    _in_reasoning: bool = field(init=False, repr=False)
    _held: str = field(default="", init=False, repr=False)
    _pieces: list[Piece] = field(default_factory=list, init=False, repr=False)
    _run: list[str] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        self._in_reasoning = self.opened

    @property
    def in_reasoning(self) -> bool:
        """Whether the next character would be reasoning."""
        return self._in_reasoning

    def feed(self, chunk: str) -> list[Piece]:
        """Take the next part of the reply; return the pieces that are now certain."""
        text = self._held + chunk
        out: list[Piece] = []
        position = 0
        for tag in _TAG.finditer(text):
            self._text(text[position : tag.start()], out)
            self._tag(tag.group(), out)
            position = tag.end()
        rest = text[position:]
        keep = _tag_prefix_chars(rest)
        self._text(rest[: len(rest) - keep], out)
        self._held = rest[len(rest) - keep :]
        return out

    def finish(self) -> list[Piece]:
        """End of the reply: what looked like the start of a tag was text."""
        out: list[Piece] = []
        self._text(self._held, out)
        self._held = ""
        return out

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """All pieces so far, neighbours of a kind joined; their texts in order are the reply (without what is held)."""
        return (*self._pieces, *self._run_piece())

    def side(self, kind: PieceKind) -> str:
        """All text of one kind, in order."""
        return "".join(piece.text for piece in self.pieces if piece.kind == kind)

    @property
    def reasoning(self) -> str:
        """All reasoning; where the model thought several times, its parts on lines of their own."""
        parts = [piece.text for piece in self.pieces if piece.kind == "reasoning"]
        return "".join(part if part.endswith("\n") else part + "\n" for part in parts[:-1]) + "".join(parts[-1:])

    @property
    def answer(self) -> str:
        """The text after the reasoning: the last that is not blank, since a model may think and answer again."""
        segments = [""]
        for piece in self.pieces:
            if piece.kind == "answer":
                segments[-1] += piece.text
            elif piece.text == CLOSE_TAG and piece.kind == "tag":
                segments.append("")
        after_reasoning = segments[1:] or segments
        return next((text for text in reversed(after_reasoning) if text.strip()), "")

    def _text(self, text: str, out: list[Piece]) -> None:
        if text:
            self._run.append(text)
            out.append(Piece(self._kind(), text))

    def _tag(self, tag: str, out: list[Piece]) -> None:
        if tag == CLOSE_TAG and not self._in_reasoning:
            self.reclassified += sum(map(len, self._run))
            self._in_reasoning = True
        self._pieces.extend(self._run_piece())
        self._run.clear()
        piece = Piece("tag", tag)
        self._pieces.append(piece)
        out.append(piece)
        self._in_reasoning = tag == OPEN_TAG

    def _run_piece(self) -> Iterable[Piece]:
        text = "".join(self._run)
        return [Piece(self._kind(), text)] if text else []

    def _kind(self) -> PieceKind:
        return "reasoning" if self._in_reasoning else "answer"


def _tag_prefix_chars(text: str) -> int:
    """How many characters at the end of `text` could be the beginning of a tag."""
    start = text.rfind("<", -len(CLOSE_TAG) + 1)
    if start < 0:
        return 0
    tail = text[start:]
    return len(tail) if OPEN_TAG.startswith(tail) or CLOSE_TAG.startswith(tail) else 0


@dataclass
class StepParser:
    """Cuts reasoning into steps while it arrives; a step is returned when the next one begins or the reasoning ends.

    A step begins at a line that starts with "Step N:"; Markdown emphasis, headings and quotes around it are accepted.
    Text before the first step belongs to no step.
    """

    _number: int | None = field(default=None, init=False, repr=False)
    _lines: list[str] = field(default_factory=list, init=False, repr=False)
    _line: str = field(default="", init=False, repr=False)
    _line_is_header: bool = field(default=False, init=False, repr=False)

    def feed(self, text: str) -> list[Step]:
        """Take the next part of the reasoning; return the steps that are now complete."""
        done: list[Step] = []
        first, *others = text.split("\n")
        self._extend(first, done)
        for line in others:
            self._end_line()
            self._extend(line, done)
        return done

    def finish(self) -> list[Step]:
        """End of the reasoning: return the last step."""
        self._end_line()
        return self._close()

    def _extend(self, text: str, done: list[Step]) -> None:
        before = len(self._line)
        self._line += text
        if self._line_is_header or before > _HEADER_CHARS:
            return
        header = _STEP_HEADER.match(self._line[:_HEADER_CHARS])
        if header:
            done.extend(self._close())
            self._number = int(header[1])
            self._line_is_header = True

    def _end_line(self) -> None:
        line = self._line
        header = _STEP_HEADER.match(line) if self._line_is_header else None
        if header:
            line = line[header.end() :]
            if header.group().count("**") % 2:  # "**Step 1: Title**": the closing half goes with the opening one
                line = line.replace("**", "", 1)
        self._lines.append(line)
        self._line, self._line_is_header = "", False

    def _close(self) -> list[Step]:
        lines, self._lines = self._lines, []
        if self._number is None:
            return []
        step = Step(self._number, "\n".join(lines).strip())
        self._number = None
        return [step]


_HEADER_CHARS = 60
"""A step header lies within this many characters of its line's start; past it a long line is not looked at again."""


def parse_steps(reasoning: str) -> tuple[Step, ...]:
    """All steps of a finished reasoning text."""
    parser = StepParser()
    return (*parser.feed(reasoning), *parser.finish())


def assemble(
    reasoning: str,
    answer: str,
    *,
    reasoning_complete: bool,
    finish_reason: str | None,
    choices: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> ReasonedAnswer:
    """Build the answer from its two sides, as when the engine's own reasoning parser has split them."""
    truncated = not reasoning_complete or finish_reason == "length"
    final = (
        extract(answer, choices, options=options, truncated=truncated, failed=finish_reason in _FAILED)
        if choices
        else None
    )
    return ReasonedAnswer(
        reasoning.strip(), parse_steps(reasoning), answer.strip(), final, reasoning_complete, finish_reason
    )


def parse(
    raw: str,
    *,
    opened: bool = False,
    finish_reason: str | None = "stop",
    choices: Sequence[str] = (),
    options: Mapping[str, str] | None = None,
) -> ReasonedAnswer:
    """Take a whole reply apart. Never raises, whatever the text."""
    splitter = Splitter(opened)
    splitter.feed(raw)
    splitter.finish()
    return assemble(
        splitter.reasoning,
        splitter.answer,
        reasoning_complete=not splitter.in_reasoning,
        finish_reason=finish_reason,
        choices=choices,
        options=options,
    )


def template_opens_reasoning(chat_template: str) -> bool:
    """Whether a chat template ends the prompt with the opening tag, as QwQ's does and Qwen3's does not.

    Looks at what the template writes after its generation prompt; a tag that is closed again there (Qwen3 with thinking
    switched off) does not count.
    """
    tail = chat_template.rpartition("add_generation_prompt")[2]
    return OPEN_TAG in re.sub(r"<think>(?:\\n|\s)*</think>", "", tail)
