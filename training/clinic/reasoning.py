"""The reasoned answer that a generated case deserves, in the grammar of `gazal.trace`.

Every step cites only what the case says, in the words of the case, so that a checker can hold a model to the same rule.
The sections after the reasoning are those of the mode's prompt template. Three lengths: `full` with mechanism and
alternatives; `compact`, where each of four short steps carries a thought (findings, diagnosis, look-alike, option), for
a small model that sees few tokens; `brief` without the look-alike, for a tiny one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from gazal.grammar import sections
from training.clinic.english import listed, lower_first, sentence

if TYPE_CHECKING:
    import random
    from collections.abc import Collection

    from gazal.prompting import Mode
    from training.clinic.cases import Patient
    from training.clinic.knowledge import Condition, Contraindication
    from training.clinic.questions import Asked, Topic

Length = Literal["full", "compact", "brief"]
_MOST_WORDS = 20


def reasoned_answer(
    patient: Patient, asked: Asked, rng: random.Random, *, barred: Collection[str] = (), length: Length = "full"
) -> str:
    """The whole completion: numbered steps between the tags, the mode's sections, the boxed letter in `mcq`.

    Conditions whose ids are `barred` are not named as alternatives.
    """
    if length == "brief":
        steps = _brief_steps(patient, asked)
    elif patient.rival:
        steps = _undecided_steps(patient, patient.rival, asked)
    elif length == "compact":
        steps = _compact_steps(patient, asked, rng, barred)
    else:
        steps = _steps(patient, asked, rng, barred)
    thinking = "\n".join(f"Step {number}: {text}" for number, text in enumerate(steps, 1))
    heading, labels = sections(asked.mode)
    contents = _contents(patient, asked, labels, barred, length)
    answer = "\n".join(f"**{label}**: {text}" for label, text in contents.items())
    final = f"\n\nFinal answer: \\boxed{{{asked.key}}}" if asked.key else ""
    return f"<think>\n{thinking}\n</think>\n\n## {heading}\n{answer}{final}"


def _steps(patient: Patient, asked: Asked, rng: random.Random, barred: Collection[str]) -> list[str]:
    condition = patient.condition
    shown = [patient.told[each] for each in patient.present[:4]]
    steps = [f"The key findings are {listed(shown)}."]
    steps.append(f"Together they suggest {lower_first(condition.name)}. {sentence(condition.mechanism)}")
    against = _alternatives(patient, rng, barred, asked)
    if against:
        steps.append(" ".join(f"{name} is less likely given {finding}." for name, finding in against))
    flags = [patient.told[each] for each in condition.red_flags if patient.shows(each)]
    if flags:
        steps.append(f"Urgent because of {listed(flags[:2])}.")
    steps.append(_deciding_step(patient, asked))
    if asked.key:
        steps.append(f"The option that says so is: {asked.right}. That is option {asked.key}.")
    return steps


def _compact_steps(patient: Patient, asked: Asked, rng: random.Random, barred: Collection[str]) -> list[str]:
    """Findings, what they point to, a look-alike with what speaks against it, and the option as it is listed."""
    name = patient.condition.name
    steps = [
        f"Findings: {listed(few_words([patient.told[each] for each in patient.present[:3]]))}.",
        f"They point to: {name}.",
    ]
    for alternative, finding in _alternatives(patient, rng, barred, asked)[:1]:
        steps.append(f"Less likely: {alternative}. Against it: {finding}.")
    steps.append(chosen_option(asked))
    return steps


def few_words(findings: list[str]) -> list[str]:
    """The findings, without the third where they are long: a small model has few tokens to learn from."""
    return findings if len(" ".join(findings).split()) <= _MOST_WORDS else findings[:2]


def decision(topic: Topic, right: str, limit: Contraindication | None = None) -> str:
    """The sentence in which compact reasoning decides; `limit` is what a question about a contraindication turns on."""
    right = right.rstrip(".")
    if topic == "contraindication" and limit:
        factor, avoid = (lower_first(each).rstrip(".") for each in (limit.factor, limit.avoid))
        return f"Because of {factor}, avoid {avoid}. Instead: {right}."
    lead = {
        "diagnosis": "Best fit",
        "test": "Test that settles it",
        "treatment": "First treatment of it",
        "uncertainty": "Safest while this is not known",
        "worse": "Worsens its outlook",
        "better": "Improves its outlook",
    }[topic]
    return f"{lead}: {right}."


def chosen_option(asked: Asked) -> str:
    """The last step of compact reasoning: the decision and, in `mcq`, the letter under which it is listed."""
    said = decision(asked.topic, asked.right, asked.contraindication)
    return f"{said} This is option {asked.key}." if asked.key else said


def undecided_between(condition: Condition, rival: Condition) -> str:
    """What is said of a case that two conditions explain alike."""
    return f"They fit {lower_first(condition.name)} and {lower_first(rival.name)} alike."


def undecided_choice(asked: Asked) -> str:
    """The option that says so, and its letter."""
    return f"So the right choice is: {asked.right}. This is option {asked.key}."


def _undecided_steps(patient: Patient, rival: Condition, asked: Asked) -> list[str]:
    """Why the case decides nothing: two conditions fit, and what would tell them apart is not known."""
    return [
        f"Findings: {listed([patient.told[each] for each in patient.present[:4]])}.",
        undecided_between(patient.condition, rival),
        f"Nothing in the case decides between the two. A test that would: {patient.condition.tests[0].name}.",
        undecided_choice(asked) if asked.key else "So the right answer is: insufficient information.",
    ]


def _brief_steps(patient: Patient, asked: Asked) -> list[str]:
    """The findings, what they suggest, and the options in their order up to the one that fits."""
    shown = [patient.told[each] for each in patient.present[:3]]
    steps = [f"The key findings are {listed(shown)}.", f"Together they suggest {lower_first(patient.condition.name)}."]
    if asked.options and asked.key:
        tried = [label for label in asked.options if label <= asked.key]
        steps += [f"Option {label}, {lower_first(asked.options[label])}, does not fit." for label in tried[:-1]]
        steps.append(f"Option {asked.key}, {lower_first(asked.options[asked.key])}, fits.")
    return steps


def _deciding_step(patient: Patient, asked: Asked) -> str:
    condition = patient.condition
    treatment, prognosis = condition.treatment, condition.prognosis
    if asked.topic == "diagnosis":
        test = condition.tests[0]
        return f"{test.name} would show {lower_first(test.result).rstrip('.')}, which would settle it."
    if asked.topic == "test":
        test = condition.tests[0]
        return f"{test.name} settles it: {lower_first(test.why)}"
    if asked.topic == "treatment":
        return f"The first treatment is {lower_first(treatment.first_line).rstrip('.')}. {treatment.why}"
    if asked.topic == "contraindication" and asked.contraindication:
        limit = asked.contraindication
        return f"{asked.note} So {lower_first(limit.avoid).rstrip('.')} must be avoided. {sentence(limit.why)}"
    if asked.topic == "uncertainty":
        return f"{asked.note} {condition.uncertainty.why}"
    if asked.topic == "worse":
        return f"{prognosis.course.rstrip('.')}. What worsens it: {lower_first(_worse(asked, condition)).rstrip('.')}."
    return f"{prognosis.course.rstrip('.')}. What improves it: {lower_first(asked.right).rstrip('.')}."


def _worse(asked: Asked, condition: Condition) -> str:
    return asked.right if asked.key else listed(condition.prognosis.worse[:2])


def _alternatives(patient: Patient, rng: random.Random, barred: Collection[str], asked: Asked) -> list[tuple[str, str]]:
    """Up to two look-alikes, each with a finding of this case that speaks against it; those among the options first.

    The knowledge base's own explanation is not quoted: it may name findings that this case does not show.
    """
    others = {each.id: each for each in patient.presentation.conditions if each.id not in barred}
    pairs = [(each.against, each.finding) for each in patient.condition.discriminators if each.against in others]
    usable = [(against, finding) for against, finding in pairs if _speaks_against(patient, finding, others[against])]
    rng.shuffle(usable)
    if not usable:
        usable = [
            (other.id, finding)
            for other in others.values()
            if other.id in patient.condition.must_not_miss
            for finding in patient.present
            if finding not in other.findings.all_present()
        ]
    options = set((asked.options or {}).values())
    usable.sort(key=lambda pair: (others[pair[0]].name not in options, -len(patient.told[pair[1]])))
    by_alternative = dict(usable)
    return [
        (others[alternative].name, patient.told[finding].rstrip("."))
        for alternative, finding in list(by_alternative.items())[:2]
    ]


def _speaks_against(patient: Patient, finding: str, other: Condition) -> bool:
    """Whether the case shows a finding that the other condition lacks, or lacks one that it usually has."""
    if patient.shows(finding):
        return finding not in (*other.findings.typical, *other.findings.supporting)
    return finding in patient.absent and finding in other.findings.typical


def _contents(
    patient: Patient, asked: Asked, labels: tuple[str, ...], barred: Collection[str], length: Length
) -> dict[str, str]:
    """Text for each bold label of the mode's answer sections."""
    if asked.key and asked.options:
        others = [label for label in asked.options if label != asked.key]
        fits = f"It fits {lower_first(patient.condition.name)}"
        if patient.rival:
            fits = f"{patient.condition.name} and {lower_first(patient.rival.name)} fit alike"
        elif length == "full":
            fits += f": {listed([patient.told[each] for each in patient.present[:2]])}"
        texts = (
            f"{asked.key}. {asked.right}",
            fits,
            f"{', '.join(others[:-1])} and {others[-1]} fit less",
        )
        return {label: sentence(text) for label, text in zip(labels, texts, strict=True)}
    texts_of = _undecided_texts if patient.rival else _open_texts
    return {label: sentence(text) for label, text in zip(labels, texts_of(asked.mode, patient, barred), strict=True)}


def _undecided_texts(mode: Mode, patient: Patient, _: Collection[str]) -> tuple[str, ...]:
    rival = patient.rival or patient.condition
    both = f"{patient.condition.name} or {lower_first(rival.name)}"
    test = patient.condition.tests[0].name
    shown = listed([patient.told[each] for each in patient.present[:3]])
    if mode == "treatment":
        return (
            f"not decided: {both}",
            "none that is specific before the diagnosis is made",
            "cannot be judged yet",
            "supportive measures until then",
            "repeat the examination and the vital signs",
            f"insufficient information; needed: {lower_first(test)}",
        )
    return (
        f"not decided: {both}",
        listed([patient.condition.name, rival.name]),
        f"{shown}, which fit both",
        "none of those given",
        f"insufficient information; needed: {lower_first(test)}",
        test,
    )


def _open_texts(mode: Mode, patient: Patient, barred: Collection[str]) -> tuple[str, ...]:
    condition, findings = patient.condition, patient.presentation.findings
    names = {each.id: each.name for each in patient.presentation.conditions}
    treatment, uncertainty, prognosis = condition.treatment, condition.uncertainty, condition.prognosis
    test = condition.tests[0]
    dangers = [names[each] for each in condition.must_not_miss if each not in barred][:2]
    must_not_miss = listed(dangers) if dangers else "nothing more dangerous among the usual causes"
    supporting = listed([patient.told[each] for each in patient.present[:3]])
    atypical = [patient.told[each] for each in condition.findings.atypical if patient.shows(each)]
    unknown = [findings[each].clinical[0] for each in condition.findings.typical if not patient.shows(each)]
    limit = treatment.contraindications[0]
    texts: dict[Mode, tuple[str, ...]] = {
        "diagnosis": (
            condition.name,
            must_not_miss,
            supporting,
            listed(atypical) if atypical else "none of those given",
            f"whether there is {listed(unknown[:2])}" if unknown else "nothing that would change the assessment",
            test.name,
        ),
        "treatment": (
            condition.name,
            treatment.first_line,
            f"with {lower_first(limit.factor)}: avoid {lower_first(limit.avoid)}",
            treatment.second_line,
            f"repeat the examination; {lower_first(test.name)} if the course is unexpected",
            f"whether there is {lower_first(limit.factor)}",
        ),
        "uncertainty": (
            uncertainty.decision,
            uncertainty.missing,
            listed([condition.name, *dangers]),
            uncertainty.why,
            f"{test.name}: {lower_first(test.result)}",
            "any new or worsening finding means a new assessment",
        ),
        "prognosis": (
            condition.name,
            prognosis.course,
            listed(prognosis.worse[:2]),
            listed(prognosis.better[:2]),
            f"early treatment: {lower_first(treatment.first_line)}",
            "one examination only; the course will tell more",
        ),
    }
    return texts[mode]
