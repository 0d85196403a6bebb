"""Whether a phrase is said of this patient now, or denied, past, of a relative, or merely possible.

In the spirit of NegEx and ConText (Chapman 2001, Harkema 2009): cue words with a scope that ends at the end of the
sentence, at words that turn it (but, now), and at commas unless a list goes on. In doubt a finding counts as present:
a flag too many costs a look, a flag too few may cost a life. Windows are bounded, so long text costs linear time.
"""

from __future__ import annotations

import re
from collections import deque
from typing import Literal

Status = Literal["present", "past", "other"]
"""`past`: of this patient, but earlier. `other`: denied, of somebody else, or hypothetical."""

_BEFORE, _AFTER = 200, 120

_NEGATION = re.compile(
    r"\b(?:no|not|denie[sd]|deny|denying|without|never|neither|nor|negative for|absence of"
    r"|free (?:of|from)|ruled out|excluded"
    r"|(?:does|do|did|has|have|had|is|are|was|were)n't|none of|nil)\b"
    r"(?! (?:better|improve\w*|improving|relief|relieved|longer|doubt|sure|only|just|change"
    r"|settling|settled|responding|getting|warning"
    r"|until|able|want|wanting|to|a|so|fade|stop|resolv\w*|help\w*|breath sounds|air entry"
    r"|pulses?|reflex\w*|bowel sounds|sensation|feeling"
    r"|response|flow|urine|recovery)\b)"
)
_TURN = re.compile(
    r"\b(?:but|however|although|though|except|apart|yet|now|then|presents?|presenting"
    r"|presented|started|began|begun|sudden(?:ly)?|developed|develops"
    r"|because|until|today|new|newly|tonight|instead|otherwise|only|still|this (?:morning|afternoon|evening))\b"
)
_LIST_BREAK = re.compile(
    r"\b(?:a|an|is|are|was|has|have|had|with|on|since|severe|worst|for|who|which|takes|feels?"
    r"|looks|found|his|her|my|the|he|she|they|i)\b|\d"
)
_DENIED_AFTER = re.compile(
    r"[\s:)]{0,3}(?:(?:\w{1,20} ){0,2}(?:is|was|are|were) (?=ruled out|excluded|absent"
    r"|negative))?(?:(?:is|are|was|were|has been|have been|all|both) ){0,2}(?:excluded|ruled "
    r"out|absent\b|negative|none\b|unlikely|not (?:seen|present|found)"
    r"|denied|resolved|has settled|settled\b)"
)
_PAST_BEFORE = re.compile(
    r"(?<!hour )(?<!hours )(?<!day )(?<!days )(?<!week )(?<!weeks )(?<!month )(?<!months "
    r")(?<!minute )\b(?:history of|h/o|hx of|pmh|previous(?:ly)?|prior|formerly|former|used to"
    r"|recovered from|survived|treated for|past medical history)\b"
)
_DATED = re.compile(
    r"\b(?:in|since|of|around|until) (?:19|20)\d\d\b|\b(?:months|years?|decades?) (?:ago"
    r"|before|previously)\b|\blast (?:year|month|summer|winter|spring|autumn)\b"
    r"|\bas (?:a|an) (?:child|teenager|teen|baby|boy|girl|infant|adolescent|young)\b|\bin "
    r"(?:childhood|infancy|(?:his|her|my) (?:teens|twenties|thirties|youth))\b"
    r"|\bat (?:the age of|age) \w+|\bat (?:[89]|1[0-7])(?=[,\n]|$)|\b(?:first|last|earlier|previous) pregnancy\b"
)
_CURRENT = re.compile(
    r"\b(?:now|today|tonight|currently|again|new|newly|sudden(?:ly)?|presents?|presenting"
    r"|presented|ongoing|since (?:yesterday|this|last night)"
    r"|this (?:morning|afternoon|evening)|(?:minutes?|hours?|days?) ago|like|similar|same|than|unlike|reminds|worse)\b"
)
_VERB = re.compile(r"\b(?:was|were|is|found|brought|comes|came|complains|noticed|reports|developed)\b")
_ACTED = re.compile(r"\b(?:had|suffered|underwent|developed|admitted|treated|diagnosed|survived)\b")
_FAMILY = re.compile(
    r"\b(?:family history|fhx|(?:father|mother|grand\w+|brother|sister|aunt|uncle|cousin|parents?|mum|dad|siblings?)"
    r"(?: and \w+)?(?: has| have)?,? (?:had|died|suffered|with|was diagnosed|diagnosed))\b"
)
_HYPOTHETICAL = re.compile(
    r"(?<!\bas )(?<!\beven )\bif\b|\bin (?:the )?(?:case|event) of\b|\bshould (?:he|she|they"
    r"|you|it|this|any)\b|\breturn (?:at once )?(?:if|for|with)\b"
    r"|\bwatch(?:ing)? (?:out )?for\b|\bwarned (?:of|about)\b|\badvi[sc]ed? (?:on|about|to)\b"
    r"|\btold to\b|\basks? (?:whether|about|how)\b|\basked (?:directly|about)\b"
    r"|\bwants? (?:to know|advice)\b|\b(?:at )?risk of\b|\bworks? (?:for|as|in)\b|\bscreen\w* "
    r"for\b|\bcould (?:she|he|i) have\b|\bleaflet\b"
    r"|\bprevent\w*\b|\bprophyla\w+\b|\bin the future\b|\bno risk\b"
)

_REAL_AGAIN = re.compile(r"\b(?:but|however|although|now|today|currently)\b")


def status(text: str, start: int, end: int) -> Status:
    """How `text[start:end]` is meant; `text` comes from `phrases.normalised`."""
    from_ = max(text.rfind("\n", max(0, start - _BEFORE), start) + 1, start - _BEFORE, 0)
    stop = text.find("\n", end, end + _AFTER)
    before = text[from_:start]
    after = text[end : stop if stop >= 0 else end + _AFTER]
    if _negated(before) or _DENIED_AFTER.match(after) or _unreal(before) or _of_family(before, after):
        return "other"
    return "past" if _past(before, after) else "present"


def _negated(before: str) -> bool:
    cue = _last(_NEGATION, before)
    if cue is None:
        return False
    between = before[cue.end() :]
    if _TURN.search(between):
        return False
    first, *more = re.split(r"[,:]", between)
    if len(first.split()) > 8:
        return False
    return all(len(part.split()) <= 4 and not _LIST_BREAK.search(part) for part in more)


def _last(cues: re.Pattern[str], text: str) -> re.Match[str] | None:
    return next(iter(deque(cues.finditer(text), maxlen=1)), None)


def _unreal(before: str) -> bool:
    cue = _last(_HYPOTHETICAL, before)
    return cue is not None and not _REAL_AGAIN.search(before, cue.end())


def _of_family(before: str, after: str) -> bool:
    cue = _FAMILY.search(before)
    if cue is None:
        return "runs in the family" in after or "in the family" in after
    return not _CURRENT.search(before, cue.end()) and not re.search(
        r"\b(?:minutes?|hours?) ago|this morning|now\b", after
    )


def _past(before: str, after: str) -> bool:
    """By a cue in the same part of the sentence, unless something current stands between."""
    near = re.split(r"[,:]", before)[-1]
    for cue in _PAST_BEFORE.finditer(before):
        between = before[cue.end() :]
        parts = re.split(r"[,:]", between)
        listed = all(len(part.split()) <= 4 and not _LIST_BREAK.search(part) for part in parts[1:])
        if listed and len(parts[0].split()) <= 7 and not _CURRENT.search(between) and not _VERB.search(parts[0]):
            return True
    for cue in _DATED.finditer(near):
        if _ACTED.search(near, cue.end()) and not _CURRENT.search(near, cue.end()):
            return True
    own = re.split(r"[,:]", after)[0]
    cue_after = _DATED.search(own)
    return bool(cue_after) and not _CURRENT.search(own[: cue_after.start() if cue_after else 0])
