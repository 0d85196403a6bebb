r"""CasiMedicos explanations as reasoned answers in our grammar, made while data is built; none of their text is here.

A doctor's comment on an exam question becomes numbered steps: first the finding of the case that it leans on most, then
its own sentences, whole and in order, options named by letter, talk about the exam dropped, and last the keyed option.
What cannot be rewritten honestly is left out with a reason: comments that argue for another option or about the key,
that need a picture or an earlier question, or of which less than half remains.

    record = rewrite({"question": ..., "options": {...}, "answer": "C", "rationale": ...})
    record["completion"]      ->  "<think>\nStep 1: ..."

Data set: Antidote CasiMedicos (ixa-ehu/antidote-casimedicos), CC BY 4.0. Part of it was translated by machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from training.data.composing import NotRewritten, compose
from training.data.exam_talk import connected
from training.data.option_numbers import lettered, verdicts
from training.data.sentences import balanced, sentences, telling_words

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

_MIN_RATIONALE_WORDS = 40
_MIN_LEFT_WORDS = 25
_MIN_LEFT_SHARE = 0.5
_MIN_STEPS, _MAX_STEPS = 3, 6
_WORDS_A_STEP = 30
_QUOTED_WORDS = range(7, 46)
_MIN_SHARED_WORDS = 2

_PICTURE = re.compile(
    r"\b(?:image|figure|photo(?:graph)?|picture) ?(?:no\.? ?|number |n[ºo]? ?)?\d"
    r"|\b(?:attached|accompanying|following|enclosed|this|in the|of the|the) (?:images?|figures?|photo(?:graph)?s?)\b"
    r"|\bimages? (?:show|correspond|question)|\b(?:shown|seen|attached) (?:below|above)\b",
    re.IGNORECASE,
)
_DISPUTE = re.compile(
    r"\b(?:official|ministry|template|challeng(?:e|ed|eable)|contest(?:ed|able)|impugn\w*|annul(?:led|ment)?|"
    r"appeal(?:ed|able)?|disputed|none of the (?:options|answers) (?:is|are)|two (?:correct|valid) (?:options|"
    r"answers)|"
    r"poorly (?:worded|written|formulated)|misleading|another valid)\b",
    re.IGNORECASE,
)
_LINKED = re.compile(r"^\s*\d{1,3}\s*[.)-]\s|\b(?:previous|preceding) (?:question|case)\b", re.IGNORECASE)
_EXCEPTION = re.compile(
    r"\b(?:NOT|not|EXCEPT|except|FALSE|false|INCORRECT|incorrect|WRONG|wrong|LEAST|least|NEVER|contraindicated)\b"
)
_CITATION = re.compile(r"\[\d+(?:[,-] ?\d+)*\]|\((?:see|cf\.?|source|ref)[^)]*\)", re.IGNORECASE)
_NAMED = re.compile(r"\b[Oo]ptions? ((?:[A-E](?:, | and ))*[A-E])\b")
_AGAINST = re.compile(
    r"\b(?:not?|nor|never|without|unlike|less|unlikely|rare\w*|rule\w*|discard\w*|exclude\w*|false|incorrect|"
    r"wrong|rather|"
    r"instead|however|while|although|contraindicat\w+|reserved|absen\w+|differ\w*)\b",
    re.IGNORECASE,
)


def rewrite(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with a `completion` made from its `rationale`. Raises NotRewritten with the reason."""
    question, rationale = str(record.get("question") or ""), str(record.get("rationale") or "")
    options, key = dict(record.get("options") or {}), str(record.get("answer"))
    if not question.strip() or key not in options:
        raise NotRewritten("no question, or a key that is no option")
    _refuse(question, rationale)
    asks_exception = _EXCEPTION.search(sentences(question)[-1]) is not None
    told = [lettered(each) for each in sentences(_CITATION.sub("", rationale))]
    if contradicts(" ".join(told), key, asks_exception=asks_exception):
        raise NotRewritten("argues for another option than the key")
    kept = connected(told)
    if _length(*kept) < max(_MIN_LEFT_WORDS, _MIN_LEFT_SHARE * _length(rationale)):
        raise NotRewritten("too little left without talk about the exam")
    steps = [f"Findings: {found}"] if (found := finding_of_case(question, kept, options[key])) else []
    room, wanted = _MAX_STEPS - 1 - len(steps), _MIN_STEPS - 1 - len(steps)
    steps += balanced(kept, parts=min(room, max(wanted, round(_length(*kept) / _WORDS_A_STEP))))
    if len(steps) < _MIN_STEPS - 1:
        raise NotRewritten("one sentence, which makes no steps")
    chosen = "The exception that is asked for" if asks_exception else "Best fit"
    steps.append(f"{chosen}: {options[key].strip().rstrip('.')}. This is option {key}.")
    return {**record, "completion": compose("mcq", steps, _answer_texts(kept, options, key), key)}


def contradicts(told: str, key: str, *, asks_exception: bool) -> bool:
    """Whether lettered prose argues for another option, or against the keyed one.

    Where the question asks for the exception, "option A is correct" says that A is not the answer.
    """
    said = verdicts(told)
    if asks_exception:
        return bool((said.announced | said.announced_wrong | said.rejected) - {key}) or key in said.affirmed
    return bool((said.announced | said.affirmed) - {key}) or key in said.rejected | said.announced_wrong


def finding_of_case(question: str, kept: Sequence[str], option: str) -> str:
    """The sentence of the case, but for its question, that shares most with the explanation; empty where none does."""
    about = telling_words(" ".join([*kept, option]))
    best, most = "", _MIN_SHARED_WORDS - 1
    for each in sentences(question)[:-1]:
        score = len(telling_words(each) & about)
        if score > most and _length(each) in _QUOTED_WORDS:
            best, most = each, score
    return best


def _refuse(question: str, rationale: str) -> None:
    if _length(rationale) < _MIN_RATIONALE_WORDS:
        raise NotRewritten(f"explanation of fewer than {_MIN_RATIONALE_WORDS} words")
    for pattern, reason in (
        (_PICTURE, "needs a picture"),
        (_LINKED, "needs an earlier question"),
        (_DISPUTE, "disputes the question or its key"),
    ):
        if pattern.search(question) or pattern.search(rationale):
            raise NotRewritten(reason)


def _answer_texts(kept: Sequence[str], options: Mapping[str, str], key: str) -> tuple[str, str, str]:
    telling = {label: telling_words(text) for label, text in options.items()}
    others = [label for label in options if label != key]
    about_others = set().union(*(telling[label] for label in others))
    reason = _most_about(kept, telling[key] - about_others or telling[key], [key])
    reason = reason or max(kept, key=lambda each: min(_length(each), _QUOTED_WORDS[-1]))
    doubting = [each for each in kept if each != reason and _AGAINST.search(each)]
    against = _most_about(doubting, about_others - telling[key], others)
    return (
        f"{key}. {options[key].strip().rstrip('.')}.",
        reason,
        against or f"{', '.join(others[:-1])} and {others[-1]} answer the question less well.",
    )


def _most_about(listed: Sequence[str], topic: Collection[str], letters: Sequence[str]) -> str:
    """The sentence, not too long to quote, that says most about some options; empty where none says anything."""
    best, most = "", 0
    for each in listed:
        named = {letter for listing in _NAMED.findall(each) for letter in re.findall("[A-E]", listing)}
        score = len(telling_words(each).intersection(topic)) + 2 * (bool(named) and named.issubset(letters))
        if score > most and _length(each) in _QUOTED_WORDS:
            best, most = each, score
    return best


def _length(*texts: str) -> int:
    return sum(len(text.split()) for text in texts)
