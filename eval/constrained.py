"""Answers forced into form: the server's structured output leaves a reply no choice but one of the final answers.

A base model that was never taught the form parses at about 0 %, so that its accuracy says nothing about what it knows.
Asked this way it can only name a label, without any reasoning: a second accounting, labelled as constrained wherever it
is shown, never the headline. (A model that the server splits reasoning for would still reason first; the force begins
after that.) A JSON schema is used, which OpenAI-compatible servers share; it is one string and no
object, because small models fill the free white space of an object with thousands of line breaks.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

OPTION = "constrained_to"
"""Among the sampling parameters of a run; absent where the model answers as it likes."""
FINAL_ANSWER = "final answer"


def response_format(choices: Sequence[str]) -> dict[str, Any]:
    """The request field that allows the final answers for these labels and nothing else."""
    lines = [f"Final answer: \\boxed{{{label}}}" for label in choices]
    schema = {"type": "string", "enum": lines}
    return {"type": "json_schema", "json_schema": {"name": "final_answer", "schema": schema}}


def applied(sampling: Mapping[str, Any], choices: Sequence[str]) -> dict[str, Any]:
    """Sampling as it is sent: the option replaced by what the server understands, where it is set."""
    sent = dict(sampling)
    if sent.pop(OPTION, None):
        sent["response_format"] = response_format(choices)
    return sent


def unwrapped(content: str) -> str:
    """The text of a reply that is one JSON string; unchanged where it is none, as when it was cut."""
    try:
        text = json.loads(content)
    except ValueError:
        return content
    return text if isinstance(text, str) else content
