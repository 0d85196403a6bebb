"""From a case and a task mode to chat messages: the same words in training, serving, evaluation and the form preview.

One file a mode lies in `gazal/prompts/`; its first line is its version. A prompt is one user turn and no system turn,
as in the quick-start of the published Gazal-R1 card. Templates and finished prompts are hashed, and the hashes travel
with every answer and benchmark row. The case stands in a fence and is named as data; `as_data` keeps whatever it says
from closing the fence or posing as a turn of the conversation.

    prompt = render("mcq", vignette, options={"A": "Aspirin", "B": "Heparin"})
    client.chat.completions.create(model="nano", messages=prompt.messages)
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from string import Template
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gazal.case import ClinicalCase

Mode = Literal["diagnosis", "treatment", "uncertainty", "prognosis", "mcq", "research"]
MODES: tuple[Mode, ...] = get_args(Mode)

OPTION_LABELS = tuple("ABCDEFGHIJ")
RESEARCH_LABELS = ("yes", "no", "maybe")


_SURROGATE = re.compile("[\ud800-\udfff]")
_CONTROL = re.compile(r"<\s*(/?\s*(?:think|case|tool_call|tool_response|s)\s*|[|｜][^<>\n]{0,64}[|｜])>", re.IGNORECASE)  # noqa: RUF001


class PromptError(ValueError):
    """The request cannot be rendered; `field` names the part to correct."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True)
class PromptTemplate:
    """One mode's template as it lies on disk."""

    mode: Mode
    version: int
    text: str
    sha256: str


@dataclass(frozen=True)
class Prompt:
    """A rendered prompt: what is sent, which answers are allowed, and the hashes that identify it."""

    mode: Mode
    text: str
    options: Mapping[str, str]
    """Label to text in `mcq`; empty otherwise."""
    template_version: int
    template_sha256: str

    @property
    def messages(self) -> list[dict[str, str]]:
        """The chat messages to send."""
        return [{"role": "user", "content": self.text}]

    @property
    def choices(self) -> tuple[str, ...]:
        """The closed set of final answers, empty in the open modes."""
        return choices(self.mode, self.options)

    @property
    def sha256(self) -> str:
        """Identity of the exact words sent."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def choices(mode: Mode, options: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """The final answers that `mode` allows: option letters, yes/no/maybe, or none."""
    if mode == "mcq":
        return tuple(options or ())
    return RESEARCH_LABELS if mode == "research" else ()


@cache
def template(mode: Mode) -> PromptTemplate:
    """Read a mode's template. Raises ValueError for a mode that does not exist."""
    if mode not in MODES:
        raise ValueError(f"unknown mode {mode!r}; use one of: {', '.join(MODES)}")
    raw = (Path(__file__).parent / "prompts" / f"{mode}.txt").read_text(encoding="utf-8")
    head, _, text = raw.partition("\n\n")
    return PromptTemplate(mode, int(head.removeprefix("version:")), text, hashlib.sha256(raw.encode()).hexdigest())


@cache
def templates_sha256() -> str:
    """One hash over all templates; the artifact manifest stores it."""
    listing = "".join(f"{template(mode).sha256}  {mode}\n" for mode in sorted(MODES))
    return hashlib.sha256(listing.encode()).hexdigest()


def as_data(text: str) -> str:
    """`text` with the brackets of control tokens replaced, so that no tokenizer and no reader takes them for control.

    That is chat tokens such as `<|im_start|>`, the tags of reasoning and tools, and the fence itself. Nothing else
    changes: "p < 0.05" and "SpO2 <90 %" stay as they are.
    """
    return _CONTROL.sub(r"(\1)", text)


def render(
    mode: Mode,
    case: ClinicalCase | str,
    *,
    question: str = "",
    options: Mapping[str, str] | None = None,
) -> Prompt:
    """Render the prompt of `mode` for a structured case, a free vignette or (research) an abstract.

    `options` maps letters A, B, C ... in order to option texts and belongs to `mcq` alone. Raises PromptError naming
    the field that is missing, superfluous or malformed.
    """
    chosen = template(mode)
    for name, value in (("vignette", str(case)), ("question", question), ("options", str(options or ""))):
        if not value.isascii() and _SURROGATE.search(value):
            raise PromptError(name, "the text holds half a surrogate pair, which is no character; correct its encoding")
    text = as_data(case if isinstance(case, str) else case.to_text()).strip()
    if not text:
        raise PromptError("vignette", "the case is empty; give a vignette or a structured case")
    if mode == "research" and not question.strip():
        raise PromptError("question", "mode 'research' needs a question to answer from the abstract")
    checked = _checked_options(mode, options)
    values = {
        "case": text,
        "question": as_data(question).strip(),
        "options": "\n".join(f"{label}. {option}" for label, option in checked.items()),
    }
    wording = chosen.text
    for name, value in values.items():
        if not value:
            wording = wording.replace(f"${name}\n", "")
    return Prompt(
        mode, Template(wording).substitute(values).strip(), MappingProxyType(checked), chosen.version, chosen.sha256
    )


def _checked_options(mode: Mode, options: Mapping[str, str] | None) -> dict[str, str]:
    if mode != "mcq":
        if options:
            raise PromptError("options", f"mode {mode!r} takes no options; use mode 'mcq'")
        return {}
    given = {label: as_data(" ".join(text.split())) for label, text in (options or {}).items()}
    if not 2 <= len(given) <= len(OPTION_LABELS):
        raise PromptError("options", f"mode 'mcq' needs 2 to {len(OPTION_LABELS)} options; got {len(given)}")
    expected = OPTION_LABELS[: len(given)]
    if tuple(given) != expected:
        raise PromptError("options", f"options must be labelled {', '.join(expected)} in this order")
    for label, text in given.items():
        if not text:
            raise PromptError("options", f"option {label} is empty")
    return given
