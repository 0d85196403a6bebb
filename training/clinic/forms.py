"""The forms a case is written in: prose, notes, a triage card, a referral, a patient's letter, labelled lines.

Each form takes the same patient and the words chosen for each finding, and puts them in an order and between
connectives that vary, so that neither position nor formula tells what matters. Facts of no importance are drawn from
what can be true of this patient: a child has no office, an unconscious patient drinks no tea.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from training.clinic.english import article, enumerated, listed, sentence, upper_first

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from training.clinic.cases import Patient

Style = Literal["clinical", "lay", "structured", "notes", "triage", "referral", "letter"]

CHILD_YEARS = 16
_KINDS = ("symptom", "history", "sign", "vital", "lab", "investigation")
_LINES = (
    ("Complaint", "symptom", ", "),
    ("History", "history", "; "),
    ("Examination", "sign", ", "),
    ("Vitals", "vital", ", "),
    ("Laboratory", "lab", ", "),
    ("Investigations", "investigation", ", "),
)
_FACTS: tuple[tuple[float, float, str], ...] = (
    (18, 90, "lives in a third-floor flat"),
    (20, 90, "shares a house with a sister"),
    (25, 90, "is left-handed"),
    (22, 60, "usually works in an office"),
    (25, 62, "has a job in a bakery"),
    (45, 95, "has two grown-up children"),
    (68, 95, "retired some years ago"),
    (18, 90, "moved to this town last year"),
    (18, 85, "broke a wrist as a teenager"),
    (3, 15, "broke an arm two years ago, healed"),
    (2, 12, "has an older brother"),
    (0, 12, "lives with both parents"),
    (6, 15, "goes to the local school"),
    (1, 4, "goes to nursery three days a week"),
    (0, 2, "is the second child of the family"),
)
_FACT_CHANCE = 0.3


def write(patient: Patient, style: Style, rng: random.Random, *, plain: bool = False) -> str:
    """The case in the given form, from the words in `patient.told`. `plain` puts prose into one fixed order."""
    return _plain(patient) if plain and style != "structured" else _FORMS[style](patient, rng)


def _of(patient: Patient, *kinds: str) -> list[str]:
    findings = patient.presentation.findings
    return [patient.told[each] for each in patient.present if findings[each].kind in kinds]


def _not(patient: Patient, *kinds: str) -> list[str]:
    findings = patient.presentation.findings
    return [patient.told[each] for each in patient.absent if findings[each].kind in (kinds or _KINDS)]


def age_text(patient: Patient) -> str:
    """The age as it stands before a noun: "67-year-old", "8-month-old"."""
    if patient.age_years >= 2:
        return f"{patient.age_years:.0f}-year-old"
    return f"{max(1, round(patient.age_years * 12))}-month-old"


def _short_age(patient: Patient) -> str:
    if patient.age_years >= 2:
        return f"{patient.age_years:.0f}"
    return f"{max(1, round(patient.age_years * 12))}/12"


def _noun(patient: Patient) -> str:
    if patient.age_years < CHILD_YEARS:
        return "girl" if patient.sex == "female" else "boy"
    return "woman" if patient.sex == "female" else "man"


def _person(patient: Patient) -> str:
    return f"{age_text(patient)} {_noun(patient)}"


def _a_person(patient: Patient, rng: random.Random) -> str:
    if patient.age_years >= CHILD_YEARS and rng.random() < 0.25:
        return f"a {_noun(patient)} of {patient.age_years:.0f}"
    return f"{article(_person(patient))} {_person(patient)}"


def _she(patient: Patient) -> str:
    return "she" if patient.sex == "female" else "he"


def _fact(patient: Patient, rng: random.Random) -> str:
    possible = [text for low, high, text in _FACTS if low <= patient.age_years < high]
    if patient.presentation.id in ("bone-or-back-pain", "limping-child", "painful-joint"):
        possible = [text for text in possible if "broke" not in text]
    if not possible or rng.random() > _FACT_CHANCE:
        return ""
    return sentence(f"{_she(patient)} {rng.choice(possible)}")


def _teller(patient: Patient, rng: random.Random) -> str:
    informant = patient.presentation.informant
    if informant == "parent":
        return rng.choice(("the mother", "the father", "the aunt", "the grandmother"))
    if informant == "relative":
        return rng.choice(("a relative", "the family", "a close friend", "the partner"))
    return _she(patient)


def _prose(patient: Patient, rng: random.Random) -> str:
    symptoms, history = _of(patient, "symptom"), _of(patient, "history")
    rng.shuffle(symptoms)
    person = _a_person(patient, rng)
    split = rng.randint(1, len(symptoms)) if len(symptoms) > 1 else len(symptoms)
    first, later = symptoms[:split], symptoms[split:]
    told = [sentence(f"{person} is seen")]
    if first:
        opening = rng.choice(
            (
                "{p} presents with {f}",
                "{p} is seen because of {f}",
                "{p} comes in with {f}",
                "{p} is brought in with {f}",
                "{p} attends the clinic. There has been {f}",
                "The reason for the visit of {p} is {f}",
                "You are asked to see {p} with {f}",
                "In the emergency department, {p} reports {f}",
                "{p} has {f}",
            )
        )
        told = [
            sentence(opening.format(p=upper_first(person) if opening[0] == "{" else person, f=enumerated(first, rng)))
        ]
    if later:
        more = rng.choice(
            ("There is also {}", "On questioning: {}", "Added to this is {}", "The history brings out {}", "{}")
        )
        told.append(sentence(more.format(enumerated(later, rng))))
    background = rng.choice(
        ("Background: {}", "The history includes {}", "Of note: {}", "Past and social history: {}", "Known: {}")
    )
    middle = [sentence(background.format(enumerated(history, rng)))] if history else []
    middle += [each for each in (_fact(patient, rng),) if each]
    negatives, signs, vitals = _not(patient), _of(patient, "sign"), _of(patient, "vital")
    if negatives:
        form = rng.choice(
            ("Also noted: {}", "Asked and looked for: {}", "Negatives: {}", "Of relevance: {}", "Against that: {}")
        )
        middle.append(sentence(form.format(enumerated(negatives))))
    if rng.random() < 0.5:
        signs, vitals = signs + vitals, []
    if signs:
        form = rng.choice(
            ("On examination: {}", "Examination shows {}", "Found: {}", "On examining the patient: {}", "Signs: {}")
        )
        middle.append(sentence(form.format(enumerated(signs, rng))))
    if vitals:
        form = rng.choice(("Observations: {}", "Vital signs: {}", "Measured: {}", "{}", "At the bedside: {}"))
        middle.append(sentence(form.format(enumerated(vitals, rng))))
    tests = _of(patient, "lab", "investigation")
    form = rng.choice(("Results: {}", "Tests show {}", "Investigations: {}", "So far: {}", "The work-up gave {}"))
    last = [sentence(form.format(enumerated(tests, rng)))] if tests else []
    rng.shuffle(middle)
    parts = told + middle + last
    if tests and rng.random() < 0.15:
        parts = last + told + middle
        parts[0] = "Known before the visit: " + listed(tests) + "."
    return " ".join(parts)


def _plain(patient: Patient) -> str:
    blocks = (
        (f"A {_person(patient)} presents with {{}}.", _of(patient, "symptom")),
        ("Background: {}.", _of(patient, "history")),
        ("Also noted: {}.", _not(patient)),
        ("On examination: {}.", _of(patient, "sign", "vital")),
        ("Results: {}.", _of(patient, "lab", "investigation")),
    )
    return " ".join(text.format(enumerated(items)) for text, items in blocks if items)


def _lay(patient: Patient, rng: random.Random) -> str:
    person, symptoms = _a_person(patient, rng), _of(patient, "symptom")
    rng.shuffle(symptoms)
    opening = rng.choice(
        (
            f"{person} comes in.",
            f"{person} is seen.",
            f"the next patient: {person}.",
            f"seen today: {person}.",
            f"{person} asks for help.",
        )
    )
    parts = [upper_first(opening)]
    if symptoms:
        verb = rng.choice(("says", "puts it like this", "tells the story", "explains"))
        parts.append(f"{upper_first(_teller(patient, rng))} {verb}: {_quoted(symptoms, rng)}")
    others = []
    history = _of(patient, "history")
    if history:
        form = rng.choice(("Asked about earlier: {}", "In the past: {}", "Also said: {}", "Background: {}"))
        others.append(sentence(form.format(enumerated(history, rng))))
    unseen = _not(patient, "sign", "vital", "lab", "investigation")
    if unseen:
        form = rng.choice(("Looked for as well: {}", "Checked: {}", "Also noted: {}"))
        others.append(sentence(form.format(enumerated(unseen, rng))))
    negatives = _not(patient, "symptom", "history")
    if negatives:
        form = rng.choice(("When asked: {}", "Not everything is wrong: {}", "The answers to other questions: {}"))
        others.append(sentence(form.format(enumerated(negatives, rng))))
    fact = _fact(patient, rng)
    others += [fact] if fact else []
    seen = _of(patient, "sign", "vital")
    if seen:
        form = rng.choice(("What can be seen: {}", "On looking and measuring: {}", "Found: {}", "The nurse notes {}"))
        others.append(sentence(form.format(enumerated(seen, rng))))
    rng.shuffle(others)
    tests = _of(patient, "lab", "investigation")
    if tests:
        others.append(
            sentence(rng.choice(("Tests: {}", "The results: {}", "Then came {}")).format(enumerated(tests, rng)))
        )
    return " ".join(parts + others)


def _quoted(symptoms: list[str], rng: random.Random) -> str:
    if rng.random() < 0.4 or len(symptoms) == 1:
        return '"' + " ".join(sentence(each) for each in symptoms) + '"'
    first, *others = symptoms
    linking = rng.choice(
        (
            "{f}, and then {o}",
            "the main thing is {f}; on top of that {o}",
            "{f} - and {o}",
            "it began with {f}; now {o}",
            "mostly {f}, but also {o}",
        )
    )
    return '"' + sentence(linking.format(f=first, o=enumerated(others))) + '"'


def _introduced(patient: Patient, rng: random.Random) -> str:
    """Who the letter is about, in the words of the person who writes it."""
    years = f"{patient.age_years:.0f}" if patient.age_years >= 2 else f"{max(1, round(patient.age_years * 12))} months"
    female = patient.sex == "female"
    if patient.age_years < CHILD_YEARS:
        return f"I am writing about my {'daughter' if female else 'son'}, who is {years}."
    if patient.presentation.informant == "relative":
        relation = rng.choice(("aunt" if female else "uncle", "friend", "neighbour"))
        return f"I am worried about my {relation}, {'a woman' if female else 'a man'} of {years}."
    if rng.random() < 0.5:
        return f"I am {article(_person(patient))} {_person(patient)}."
    return f"{upper_first(_noun(patient))}, {years}, new to your practice."


def _letter(patient: Patient, rng: random.Random) -> str:
    child, symptoms = patient.age_years < CHILD_YEARS, _of(patient, "symptom")
    rng.shuffle(symptoms)
    who = _introduced(patient, rng)
    parts = [rng.choice(("Dear doctor,", "Good morning.", "Hello,", "To the practice:")), who]
    if symptoms:
        lead = rng.choice(
            (
                "What troubles us: {}" if child else "What bothers me: {}",
                "The problem: {}",
                "This is what happened: {}",
                "I list it: {}",
            )
        )
        parts.append(sentence(lead.format(enumerated(symptoms))))
    history, negatives = _of(patient, "history"), _not(patient, "symptom", "history")
    extra = []
    if history:
        extra.append(
            sentence(
                rng.choice(("You should know: {}", "From before: {}", "In case it matters: {}")).format(
                    enumerated(history)
                )
            )
        )
    if negatives:
        extra.append(
            sentence(
                rng.choice(("Otherwise: {}", "To be complete: {}", "I was told to mention: {}")).format(
                    enumerated(negatives)
                )
            )
        )
    rng.shuffle(extra)
    found = _of(patient, "sign", "vital") + _not(patient, "sign", "vital")
    if found:
        extra.append(
            sentence(
                rng.choice(("The practice adds: {}", "Seen by the nurse: {}", "At the visit: {}")).format(
                    enumerated(found, rng)
                )
            )
        )
    tests = _of(patient, "lab", "investigation") + _not(patient, "lab", "investigation")
    if tests:
        extra.append(
            sentence(
                rng.choice(("Results on file: {}", "Tests since then: {}", "Enclosed results: {}")).format(
                    enumerated(tests, rng)
                )
            )
        )
    return " ".join(parts + extra)


def _referral(patient: Patient, rng: random.Random) -> str:
    opening = rng.choice(
        ("Thank you for seeing {}.", "I should be grateful for your opinion on {}.", "Re: {}.", "I refer {}.")
    )
    parts = [rng.choice(("Dear colleague,", "Dear all,", "Referral.")), opening.format(_a_person(patient, rng))]
    blocks = [
        (_of(patient, "symptom"), ("Complaint: {}", "There is {}", "The trouble is {}", "The patient has had {}")),
        (_of(patient, "history"), ("Previously: {}", "Relevant past: {}", "The record shows {}")),
        (_not(patient), ("Relevant negatives: {}", "For completeness: {}", "Against other causes: {}")),
        (_of(patient, "sign", "vital"), ("I found {}", "Examination: {}", "On my examination {}")),
        (_of(patient, "lab", "investigation"), ("Our tests: {}", "Results so far: {}", "Enclosed: {}")),
    ]
    if rng.random() < 0.4:
        blocks[1], blocks[0] = blocks[0], blocks[1]
    for items, forms in blocks:
        if items:
            parts.append(sentence(rng.choice(forms).format(enumerated(items, rng))))
    closing = rng.choice(("", "With kind regards.", "Many thanks."))
    parts += [each for each in (_fact(patient, rng), closing) if each]
    return " ".join(parts)


def _notes(patient: Patient, rng: random.Random) -> str:
    sex = "F" if patient.sex == "female" else "M"
    head = rng.choice(
        (
            f"{_short_age(patient)}{sex}",
            f"{sex}, {_short_age(patient)}",
            f"{_short_age(patient)} y {sex}" if patient.age_years >= 2 else f"{_short_age(patient)} {sex}",
        )
    )
    mark = rng.choice(("; ", ", ", " / "))
    sections = [
        (rng.choice(("HPC", "PC", "c/o", "Sx")), _of(patient, "symptom")),
        (rng.choice(("PMH", "Hx", "Bg")), _of(patient, "history")),
        (rng.choice(("neg", "Neg", "pertinent neg")), _not(patient)),
        (rng.choice(("O/E", "Exam", "ex")), _of(patient, "sign")),
        (rng.choice(("Obs", "VS", "obs")), _of(patient, "vital")),
        (rng.choice(("Ix", "Bloods/Ix", "Results")), _of(patient, "lab", "investigation")),
    ]
    if rng.random() < 0.4:
        middle = sections[1:5]
        rng.shuffle(middle)
        sections[1:5] = middle
    lines = [f"{label}{rng.choice((': ', ' - '))}{mark.join(items)}" for label, items in sections if items]
    separator = rng.choice((". ", "\n", "\n", " | "))
    return separator.join([head, *lines])


def _triage(patient: Patient, rng: random.Random) -> str:
    clock = f"{rng.randint(0, 23):02d}:{rng.choice((5, 10, 20, 35, 40, 55)):02d}"
    how = rng.choice(("walked in", "by car", "by ambulance", "brought by family"))
    symptoms = _of(patient, "symptom")
    lines = [f"Triage {clock}, {how}. {upper_first(_person(patient))}."]
    if symptoms:
        lines.append(
            f"Says: {', '.join(symptoms)}."
            if patient.presentation.informant == "patient"
            else f"Reported: {', '.join(symptoms)}."
        )
    vitals, signs = _of(patient, "vital") + _not(patient, "vital"), _of(patient, "sign") + _not(patient, "sign")
    if vitals:
        lines.append(f"Obs: {', '.join(vitals)}.")
    if signs:
        lines.append(f"Looks/exam: {', '.join(signs)}.")
    history = _of(patient, "history") + _not(patient, "history")
    if history:
        lines.append(f"{rng.choice(('PMH', 'Background', 'Asked'))}: {', '.join(history)}.")
    other = _not(patient, "symptom", "lab", "investigation")
    if other:
        lines.append(f"{rng.choice(('Negatives', 'Checked'))}: {', '.join(other)}.")
    tests = _of(patient, "lab", "investigation")
    if tests:
        lines.append(f"Back already: {', '.join(tests)}.")
    return rng.choice((" ", "\n")).join(lines)


def _structured(patient: Patient, _: random.Random) -> str:
    """The labelled lines of `ClinicalCase.to_text`, so that the API's structured form is familiar to the model."""
    lines = [("Patient", f"{age_text(patient)} {patient.sex}")]
    for label, kind, mark in _LINES:
        lines.append((label, mark.join([*_of(patient, kind), *_not(patient, kind)])))
    return "\n".join(f"{label}: {text}" for label, text in lines if text)


_FORMS: dict[Style, Callable[[Patient, random.Random], str]] = {
    "clinical": _prose,
    "lay": _lay,
    "structured": _structured,
    "notes": _notes,
    "triage": _triage,
    "referral": _referral,
    "letter": _letter,
}
