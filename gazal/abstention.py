r"""Whether a reply abstains: "insufficient information" is a legitimate outcome, and no failure to answer.

Three things count, in this order:

- `option`: the option that was chosen says itself that nothing can be told (`OPTION_SAYS`);
- `said`: the answer holds the words that the prompts ask for, "insufficient information" (or "not enough
  information"), as a statement of its own, and no readable letter stands against them. "Insufficient information about
  allergies" is a gap in the record, not an abstention;
- `disagreement`: fewer samples agree than the threshold that `python -m eval calibrate` fitted on development data.

    abstained("**Missing Information**: insufficient information", None)     ->  "said"
    abstained("Final answer: \\boxed{D}", Extraction(value="D"), {"D": "Cannot be determined"})  ->  "option"
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gazal.answers import Extraction

Abstention = Literal["said", "option", "disagreement"]

OPTION_SAYS = re.compile(
    r"\b(?:insufficient|not enough|too little) (?:clinical )?(?:information|data|evidence)\b"
    r"|\b(?:cannot|can not|can't) be (?:determined|told|known|judged|calculated|answered)\b"
    r"|\bindeterminate\b",
    re.IGNORECASE,
)
"""What an option says that stands for "it cannot be told"."""

_SAID = re.compile(
    r"(?<!\bno )(?<!\bnot )\b(?:insufficient|not enough) information\b(?! (?:about|on|regarding|concerning|as to)\b)",
    re.IGNORECASE,
)
_NOTHING_TO_JUDGE = ("truncated", "empty", "error")


def abstained(
    answer: str,
    final: Extraction | None,
    options: Mapping[str, str] | None = None,
    *,
    agreeing: int | None = None,
    abstain_below: int | None = None,
) -> Abstention | None:
    """Why this reply abstains, or None when it does not.

    `answer` is the text after the reasoning, `final` what was read from it (None in the open modes), `options` the
    texts of the labels. `agreeing` samples of several gave this answer; fewer than `abstain_below` is an abstention.
    """
    if final is not None and final.value is not None:
        if OPTION_SAYS.search((options or {}).get(final.value, "")):
            return "option"
    elif (final is None or final.failure not in _NOTHING_TO_JUDGE) and _SAID.search(" ".join(answer.split())):
        return "said"
    if agreeing is not None and abstain_below is not None and agreeing < abstain_below:
        return "disagreement"
    return None
