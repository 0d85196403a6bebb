r"""A reasoned answer composed from ready sentences: numbered steps, the mode's answer sections, the boxed label.

The rewriters of `casimedicos` and `pubmedqa` share it, so that both write the grammar that the rewards ask for.

    compose("research", ["It was a trial.", "So yes."], ("It helped.", "A trial.", "It helps."), "yes")
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gazal.grammar import sections

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gazal.prompting import Mode


class NotRewritten(ValueError):
    """A record has no explanation that can be rewritten honestly; the message is the reason that is counted."""


def compose(mode: Mode, steps: Sequence[str], texts: Sequence[str], label: str) -> str:
    """The completion; `texts` are the contents of the mode's bold labels in their order."""
    heading, labels = sections(mode)
    reasoning = "\n".join(f"Step {number}: {text}" for number, text in enumerate(steps, 1))
    answer = "\n".join(f"**{name}**: {text}" for name, text in zip(labels, texts, strict=True))
    return f"<think>\n{reasoning}\n</think>\n\n## {heading}\n{answer}\n\nFinal answer: \\boxed{{{label}}}"
