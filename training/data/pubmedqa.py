r"""PubMedQA abstracts as reasoned answers in our grammar, made while data is built; none of their text is kept here.

The data set keeps the authors' conclusion apart from the abstract that the question is answered from. The steps are the
question, the sentence that tells design or size with what such a design can show, the results nearest to the question,
and the conclusion. A conclusion that says what the abstract does not (other numbers, mostly other words) would teach
inventing: such a row is left out with a reason.

    record = rewrite({"question": ..., "context": [...], "answer": "yes", "rationale": ...})

Data set: PubMedQA (pubmedqa/pubmedqa, Jin et al., 2019), MIT.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from gazal.prompting import as_data
from training.data.composing import NotRewritten, compose
from training.data.sentences import sentences, telling_words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_WORDS = 50
_MIN_GROUNDED_SHARE = 0.5
_MIN_ABOUT = 2
_MAX_RESULTS = 2

_SIZE = re.compile(
    r"\b(?:\d[\d,]*|n ?= ?\d+|one|two|three|four|five|six|seven|eight|nine|ten|\w+ty(?:-\w+)?|"
    r"\w+ hundred)\b[^.;]{0,60}"
    r"\b(?:patients?|women|men|children|infants?|subjects?|participants?|adults?|cases?|controls?|students?|"
    r"residents?|"
    r"specimens?|eyes|knees|hips|hospitals|procedures|studies|records|births|pregnancies|volunteers|respondents)\b",
    re.IGNORECASE,
)
_DESIGNS = (
    (r"randomi[sz]ed|randomly (?:assigned|allocated)|"
     r"placebo", "Chance decided the groups, so a difference can be read as an effect."),
    (r"meta-analys\w+|systematic review", "Pooled studies weigh more than one, but share the faults of their parts."),
    (r"case-control", "A case-control comparison shows association, and depends on how controls were chosen."),
    (r"cross-sectional|surveys?|questionnaires?|"
     r"interview\w*", "Data of one moment show association, not what came first."),
    (r"retrospective\w*|records|charts?|database|"
     r"registry", "Data looked up afterwards show association, and what was not recorded is missing."),
    (r"cohort|prospective\w*|"
     r"longitudinal\w*", "A cohort observed over time shows what came first, but groups may differ in other ways."),
    (r"mice|rats?|rabbits?|in vitro|cell lines?|cadaver\w*|dogs|"
     r"pigs", "A laboratory model says little directly about patients."),
)  # fmt: skip
_CONNECTIVE = re.compile(
    r"^(?:however|thus|therefore|moreover|furthermore|in addition|in conclusion|nevertheless),? (\w)", re.IGNORECASE
)
_NO_DESIGN = "The abstract does not name its design, which limits what it can show."
_FUTURE = re.compile(
    r"\b(?:further|future|more|additional|larger|prospective) (?:\w+ )?(?:stud(?:y|ies)|research|trials?|"
    r"investigations?|work)\b|MeSH|"
    r"\bwe (?:recommend|suggest)\b|copyright|https?:",
    re.IGNORECASE,
)


def rewrite(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with a `completion` made from abstract and conclusion. Raises NotRewritten with the reason."""
    question, answer = str(record.get("question") or "").strip(), str(record.get("answer"))
    sections = [_plain(str(each)) for each in record.get("context") or []]
    abstract = " ".join(sections)
    about = telling_words(question)
    stated = [each for each in sentences(_plain(str(record.get("rationale") or ""))) if not _FUTURE.search(each)]
    conclusion = _nearest(stated, about, 1)
    if not conclusion:
        raise NotRewritten("no conclusion about the question")
    if not grounded(conclusion[0], f"{question} {abstract}"):
        raise NotRewritten("its conclusion says what the abstract does not")
    design, remark = _design(sections)
    about |= telling_words(conclusion[0])
    results = [each for each in _nearest(_result_sentences(record, sections), about, _MAX_RESULTS) if each != design]
    if not results:
        raise NotRewritten("no result that bears on the question")
    verdict = "The results leave it open" if answer == "maybe" else f"The results speak for {answer}"
    steps = [f"The question is: {question}", f"{design} {remark}".strip(), " ".join(results), *conclusion]
    steps.append(f"{verdict}, within these limits, so the answer is {answer}.")
    texts = (*_nearest(results, about, 1), f"{design} {remark}".strip(), conclusion[0])
    return {**record, "completion": compose("research", steps, texts, answer)}


def _plain(text: str) -> str:
    return as_data(text).strip(" :;-")


def grounded(conclusion: str, source: str) -> bool:
    """Whether every number and at least half of the telling words of a conclusion stand in its source."""
    numbers = set(re.findall(r"\d+(?:\.\d+)?", conclusion)) - set(re.findall(r"\d+(?:\.\d+)?", source))
    telling = telling_words(conclusion)
    known = {word[:6] for word in telling_words(source)}
    shared = sum(word[:6] in known for word in telling)
    return not numbers and shared >= _MIN_GROUNDED_SHARE * len(telling)


def _design(parts: Sequence[str]) -> tuple[str, str]:
    """The sentence that tells most about design and size, and what its design can show."""
    best, most, remark = "", 0, _NO_DESIGN
    for each in (sentence for part in parts for sentence in sentences(part)):
        found = next((text for cue, text in _DESIGNS if re.search(rf"\b(?:{cue})\b", each, re.IGNORECASE)), "")
        score = 2 * bool(found) + bool(_SIZE.search(each))
        if score > most and len(each.split()) <= _MAX_WORDS:
            best, most, remark = each, score, found or _NO_DESIGN
    return best, remark


def _result_sentences(record: Mapping[str, Any], parts: Sequence[str]) -> list[str]:
    """Sentences of the sections labelled as results; of the last section where no label says so."""
    labels = [str(each).upper() for each in (record.get("meta") or {}).get("context_labels") or []]
    named = [part for label, part in zip(labels, parts, strict=False) if "RESULT" in label or "FINDING" in label]
    return [each for part in named or parts[-1:] for each in sentences(part)]


def _nearest(listed: Sequence[str], about: set[str], count: int) -> list[str]:
    """Up to `count` sentences that share most words with what the question is about, in their order."""
    scored = [(len(telling_words(each) & about), -index, each) for index, each in enumerate(listed)]
    fitting = [each for each in scored if each[0] >= _MIN_ABOUT and len(each[2].split()) <= _MAX_WORDS]
    chosen = sorted(fitting, reverse=True)[:count]
    return [
        _CONNECTIVE.sub(lambda found: found[1].upper(), text)
        for _, _, text in sorted(chosen, key=lambda each: -each[1])
    ]
