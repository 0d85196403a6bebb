"""Generated abstracts for mode `research`: a trial with made-up counts, and what follows from its confidence interval.

The answer is computed, not written: `yes` when the 95 % interval of the risk ratio lies wholly below 1, `no` when it
lies wholly above 1 or is narrow around it, else `maybe`. Interval: log method (Katz et al., Biometrics 1978).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from gazal.grammar import sections
from training.clinic.english import lower_first

if TYPE_CHECKING:
    import random

    from training.clinic.knowledge import Condition

Label = Literal["yes", "no", "maybe"]
NearlyWide = Literal["none", "keyed", "disputed"]
"""Whether brief trials have intervals that are narrow but nearly wide, and whether all readers call them narrow."""

_OUTCOMES = ("death within 90 days", "readmission within 30 days", "treatment failure", "recurrence within one year")
_INTERVENTIONS = (
    "a nurse-led follow-up programme",
    "an early physiotherapy protocol",
    "a checklist for the first hour",
    "a decision aid for patients",
    "a shorter course of the usual treatment",
    "daily telephone review in the first week",
)
_NARROW = 1.15
_PLAINLY_NARROW, _NEARLY_WIDE, _PLAINLY_WIDE = 1.16, 1.25, 1.45
"""Upper end over lower end of an interval that holds 1; it is wide from the square of `_NARROW`, 1.3225."""

_NEARLY_WIDE_SHARE = 2 / 3
_STRICT_READERS = 2 / 3


@dataclass(frozen=True)
class Study:
    """One generated trial."""

    abstract: str
    question: str
    answer: Label
    completion: str


def risk_ratio(events: int, size: int, control_events: int, control_size: int) -> tuple[float, float, float]:
    """Risk ratio and its 95 % interval by the log method; needs at least one event in each arm."""
    ratio = (events / size) / (control_events / control_size)
    spread = 1.96 * math.sqrt(1 / events - 1 / size + 1 / control_events - 1 / control_size)
    return ratio, ratio * math.exp(-spread), ratio * math.exp(spread)


def conclude(low: float, high: float) -> Label:
    """What an interval of the risk ratio says about benefit."""
    if high < 1:
        return "yes"
    if low > 1 or (low > 1 / _NARROW and high < _NARROW):
        return "no"
    return "maybe"


def study(condition: Condition, rng: random.Random, *, brief: bool = False, nearly_wide: NearlyWide = "none") -> Study:
    """A trial in patients with this condition.

    `brief` is for models that can read a digit or two: the reasoning says only where the interval lies, and how wide it
    is where it holds 1. No such trial shows harm, so that each answer has one reason; and an interval that holds 1 is
    plainly narrow or plainly wide, unless two thirds of the narrow ones are to be `nearly_wide`. Their answer is `no`;
    where it is disputed, two readers in three call them wide and conclude `maybe`.
    """
    target: Label = rng.choice(("yes", "no", "maybe"))
    near = brief and target == "no" and nearly_wide != "none" and rng.random() < _NEARLY_WIDE_SHARE
    while True:
        size, events, control_events = _counts(target, rng, harm=not brief)
        ratio, low, high = risk_ratio(events, size, control_events, size)
        if conclude(low, high) == target and (not brief or _clear(target, high / low, near)):
            break
    if near and nearly_wide == "disputed" and rng.random() < _STRICT_READERS:
        target = "maybe"
    intervention, outcome = rng.choice(_INTERVENTIONS), rng.choice(_OUTCOMES)
    population = f"adults with {lower_first(condition.name)}"
    if condition.age_years[1] <= 16:
        population = population.replace("adults", "children", 1)
    rates, interval = _rates(events, control_events, size), _interval(ratio, low, high)
    abstract = (
        f"BACKGROUND: It is not known whether {intervention} helps {population}. "
        f"METHODS: {2 * size} patients from {rng.randint(2, 30)} hospitals were randomised to {intervention} or usual "
        "care. "
        f"The primary outcome was {outcome}, assessed by blinded reviewers. "
        f"RESULTS: {outcome[0].upper() + outcome[1:]} occurred in {rates} ({interval})."
    )
    question = f"Does {intervention} reduce {outcome} in {population}?"
    if brief:
        return Study(abstract, question, target, _brief(target))
    return Study(abstract, question, target, _completion(target, size, outcome, rates, interval))


def _rates(events: int, control_events: int, size: int) -> str:
    treated, controls = (f"{count} of {size} ({count / size:.1%})" for count in (events, control_events))
    return f"{treated} against {controls}"


def _interval(ratio: float, low: float, high: float) -> str:
    return f"risk ratio {ratio:.2f}, 95% CI {low:.2f} to {high:.2f}"


def _clear(target: Label, ratio: float, near: bool) -> bool:
    """Whether an interval with this ratio of its ends may be shown in a brief trial."""
    if target == "no":
        return ratio > _NEARLY_WIDE if near else ratio < _PLAINLY_NARROW
    return target == "yes" or ratio > _PLAINLY_WIDE


def _counts(target: Label, rng: random.Random, *, harm: bool) -> tuple[int, int, int]:
    size = {"yes": rng.randint(300, 2500), "no": rng.randint(1500, 9000), "maybe": rng.randint(40, 400)}[target]
    control = rng.uniform(0.12, 0.4)
    effect = {
        "yes": rng.uniform(0.45, 0.8),
        "no": rng.choice((1.0, rng.uniform(1.15, 1.5))) if harm else rng.uniform(0.95, 1.05),
        "maybe": rng.uniform(0.7, 1.3),
    }
    return size, max(1, round(size * control * effect[target])), max(1, round(size * control))


_MEANINGS: dict[Label, str] = {
    "yes": "The whole interval lies below 1, so the outcome was rarer with the intervention",
    "no": "The interval excludes a benefit that would matter",
    "maybe": "The interval includes both benefit and harm, so the trial cannot decide",
}


def _brief(answer: Label) -> str:
    """Reasoning that quotes no number: to copy one is beyond a model that has read a million tokens."""
    if answer == "yes":
        place, trial = "ends below 1", "a randomised trial"
    else:
        width = "narrow" if answer == "no" else "wide"
        place, trial = f"holds 1 and is {width}", f"a randomised trial with a {width} interval"
    steps = (
        "Two groups of a randomised trial are compared.",
        f"The interval of the risk ratio {place}.",
        f"{_MEANINGS[answer]}.",
    )
    return _written(answer, steps, (f"the interval {place}", trial))


def _completion(answer: Label, size: int, outcome: str, rates: str, interval: str) -> str:
    steps = (
        f"The question is whether the intervention reduces {outcome}.",
        f"This is a randomised trial with {2 * size} patients and blinded assessment.",
        f"The outcome occurred in {rates}, {interval}.",
        f"{_MEANINGS[answer]}.",
    )
    return _written(answer, steps, (f"{outcome} in {rates}", f"randomised, {2 * size} patients, {interval}"))


def _written(answer: Label, steps: tuple[str, ...], found: tuple[str, str]) -> str:
    """The completion from its steps, and what stands behind the first two labels of the mode's sections."""
    meaning = _MEANINGS[answer]
    heading, labels = sections("research")
    texts = (*found, meaning[0].lower() + meaning[1:])
    thinking = "\n".join(f"Step {number}: {text}" for number, text in enumerate(steps, 1))
    body = "\n".join(f"**{label}**: {text[0].upper() + text[1:]}." for label, text in zip(labels, texts, strict=True))
    return f"<think>\n{thinking}\n</think>\n\n## {heading}\n{body}\n\nFinal answer: \\boxed{{{answer}}}"
