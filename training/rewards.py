r"""Rewards for GRPO: pure functions from a completion to named components, without torch.

The policy is stricter than `gazal.answers` and is a separate implementation over the same grammar on purpose: whatever
games one of them shows up as a gap between the reward and the measured accuracy.

| component  | range   | meaning |
| ---------- | ------- | ------- |
| accuracy   | 0 or 1  | the one boxed label, alone on the last line, is the key |
| format     | 0 to 1  | the shape of a reasoned answer, in the prompt's script, a quarter point a property |
| length     | -1 to 0 | soft overlong punishment (DAPO, arXiv 2503.14476, equation 13), in tokens, clamped |
| repetition | -1 to 0 | minus the share of repeated token n-grams |

`total` gates the bonus by correctness: a wrong or truncated reply earns nothing for its looks, while the two penalties
always apply, so that rambling never pays. A truncated reply has accuracy and format 0.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHAPE = re.compile(r"\s*<think>\n(?P<reasoning>.*?)\n?</think>\n(?P<answer>.*)", re.DOTALL)
_STEP = re.compile(r"^Step (\d{1,3}): (.*)$", re.MULTILINE | re.ASCII)
_FINAL_LINE = re.compile(r"(?:^|\n)Final answer: \\boxed\{([^{}\n]{1,20})\}\s*\Z")
_HEADING = re.compile(r"^## \S", re.MULTILINE)
_LABEL = re.compile(r"^\*\*[^*\n]+\*\*: \S", re.MULTILINE)
_MIN_STEPS = 2
_MIN_STEP_WORDS = 4
_MIN_SCRIPT_SHARE = 0.9


class RewardPolicy(BaseModel):
    """What a recipe may set; every value is ours, the paper's weights are not known."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    accuracy_weight: Annotated[float, Field(ge=0)] = 1.0
    format_weight: Annotated[float, Field(ge=0)] = 0.2
    length_weight: Annotated[float, Field(ge=0)] = 0.2
    repetition_weight: Annotated[float, Field(ge=0)] = 0.2
    max_tokens: Annotated[int, Field(ge=1)] = 4096
    """Completion budget; at it the length component is -1."""
    overlong_buffer_tokens: Annotated[int, Field(ge=1)] = 1024
    """The punishment grows linearly over this many tokens before `max_tokens`."""
    repetition_ngram: Annotated[int, Field(ge=1, le=20)] = 4


@dataclass(frozen=True)
class Components:
    """The components of one completion, and which format properties it lacks."""

    accuracy: float
    format: float
    length: float
    repetition: float
    lacks: tuple[str, ...] = ()

    def total(self, policy: RewardPolicy) -> float:
        """The weighted sum, the format bonus only where the answer is right."""
        return (
            policy.accuracy_weight * self.accuracy
            + policy.format_weight * self.format * self.accuracy
            + policy.length_weight * self.length
            + policy.repetition_weight * self.repetition
        )


def score(
    completion: str,
    key: str,
    choices: Sequence[str],
    token_ids: Sequence[int],
    policy: RewardPolicy,
    *,
    prompt: str = "",
    opened: bool = False,
    truncated: bool = False,
) -> Components:
    """Score one completion against its key.

    `choices` are the allowed labels, `token_ids` the completion's tokens, `prompt` the text whose script the reply must
    keep, `opened` says that the prompt ended with `<think>`, `truncated` that the token budget ended the reply.
    """
    text = f"<think>\n{completion.lstrip()}" if opened else completion
    missing = ("truncated",) if truncated else format_lacks(text, choices, prompt)
    accuracy = 0.0 if truncated else float(boxed_label(text, choices) == key)
    return Components(
        accuracy,
        0.0 if truncated else max(0.0, 1.0 - 0.25 * len(missing)),
        soft_overlong(len(token_ids), policy.max_tokens, policy.overlong_buffer_tokens),
        repetition(token_ids, policy.repetition_ngram),
        missing,
    )


def boxed_label(text: str, choices: Sequence[str]) -> str | None:
    r"""The label of the one `\boxed{}` after the reasoning, if it ends the reply; letter for letter, or None."""
    if text.count("<think>") != 1 or text.count("</think>") != 1:
        return None
    answer = text.partition("</think>")[2]
    final = _FINAL_LINE.search(answer)
    if final is None or answer.count("\\boxed") != 1:
        return None
    return final[1] if final[1] in choices else None


def format_lacks(text: str, choices: Sequence[str], prompt: str = "") -> tuple[str, ...]:
    """Which of the four properties of a reasoned answer are missing: shape, steps, sections, script.

    shape: one reasoning block, then one answer that ends with one boxed label (where there are choices). steps:
    at least two, numbered from 1 without gaps, each with something in it, nothing outside them. sections: a heading and
    a bold label. script: nine letters of ten are Latin or in
    the script that the prompt is mostly written in.
    """
    lacks = []
    shape = _SHAPE.fullmatch(text) if text.count("<think>") == text.count("</think>") == 1 else None
    if shape is None or (choices and boxed_label(text, choices) is None):
        lacks.append("shape")
    reasoning, answer = (shape["reasoning"], shape["answer"]) if shape else ("", "")
    if not _steps_are_sound(reasoning):
        lacks.append("steps")
    if not (_HEADING.search(answer) and _LABEL.search(answer)):
        lacks.append("sections")
    if script_share(text, main_script(prompt)) < _MIN_SCRIPT_SHARE:
        lacks.append("script")
    return tuple(lacks)


def _steps_are_sound(reasoning: str) -> bool:
    steps = list(_STEP.finditer(reasoning))
    if len(steps) < _MIN_STEPS or reasoning[: steps[0].start()].strip():
        return False
    if [int(step[1]) for step in steps] != list(range(1, len(steps) + 1)):
        return False
    return all(len(step[2].split()) >= _MIN_STEP_WORDS for step in steps)


def main_script(text: str) -> str:
    """The script most letters are written in, as the first word of their Unicode names; LATIN without letters."""
    if text.isascii():
        return "LATIN"
    scripts = Counter(unicodedata.name(char, "?").partition(" ")[0] for char in text if char.isalpha())
    return scripts.most_common(1)[0][0] if scripts else "LATIN"


def script_share(text: str, script: str) -> float:
    """The share of letters in `script`, in Latin (the grammar is written in it) or in Greek (medicine mixes them)."""
    if text.isascii():
        return 1.0
    letters = [unicodedata.name(char, "?").partition(" ")[0] for char in text if char.isalpha()]
    fitting = sum(name in (script, "LATIN", "GREEK", "MICRO") for name in letters)
    return fitting / len(letters) if letters else 1.0


def soft_overlong(length_tokens: int, max_tokens: int, buffer_tokens: int) -> float:
    """0 up to `max_tokens - buffer_tokens`, then linearly down to -1 at `max_tokens`, and -1 beyond."""
    return min(0.0, max(-1.0, (max_tokens - buffer_tokens - length_tokens) / buffer_tokens))


def repetition(token_ids: Sequence[int], ngram: int) -> float:
    """Minus the share of n-grams that occurred before: 0 when all differ, near -1 for one phrase over and over."""
    count = len(token_ids) - ngram + 1
    if count <= 0:
        return 0.0
    distinct = len(set(zip(*(token_ids[start:] for start in range(ngram)), strict=False)))
    return distinct / count - 1.0
