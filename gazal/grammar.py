r"""The grammar of a reasoned answer as a regular expression, for engines with structured output.

A model trained on the grammar needs none of this. A base model does not know it: asked for steps, SmolLM2-135M
writes one sentence. Holding its sampling to this expression makes it write steps and a readable final answer, so that
the whole chain can be tried before a model is trained. It changes what the model says, so every answer made this way
is labelled `constrained`, and benchmarks never use it unless their name says so.
"""

from __future__ import annotations

import re
from functools import cache

from gazal.prompting import Mode, template

CONSTRAINED_STEPS = 4
_SENTENCE = r"[A-Z0-9][^\n<>\\]{20,220}[.]"
_LABELLED = r"[^\n<>\\*]{8,160}[.]"


@cache
def answer_regex(mode: Mode, choices: tuple[str, ...] = ()) -> str:
    """The expression a reply in `mode` must match: four steps, the mode's answer sections, then the boxed label."""
    heading, labels = sections(mode)
    steps = "".join(rf"Step {number}: {_SENTENCE}\n" for number in range(1, CONSTRAINED_STEPS + 1))
    answer = rf"\n## {re.escape(heading)}\n" + "".join(
        rf"\*\*{re.escape(label)}\*\*: {_LABELLED}\n" for label in labels
    )
    final = rf"\nFinal answer: \\boxed\{{({'|'.join(map(re.escape, choices))})\}}" if choices else ""
    return rf"<think>\n{steps}</think>\n{answer}{final}"


@cache
def sections(mode: Mode) -> tuple[str, tuple[str, ...]]:
    """Heading and bold labels of the answer, read from the mode's template so that there is one place for them."""
    text = template(mode).text
    heading = re.search(r"^## (.+)$", text, re.MULTILINE)
    if heading is None:
        raise ValueError(f"the template of mode {mode!r} has no '## ' heading")
    return heading[1], tuple(re.findall(r"^\*\*(.+?)\*\*:", text, re.MULTILINE))
