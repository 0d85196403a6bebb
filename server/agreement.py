"""How far several samples of one question agree, and what that agreement is worth.

Self-consistency (Wang et al. 2022, arXiv 2203.11171): ask n times at a temperature above zero and count the answers
that agree with the most frequent one. The share k/n is a count and no probability. It becomes one only through a
calibration file, which an evaluation run of the same weights, mode and n has written: how often answers with k of n
were right.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gazal.artifact import Sha256
from gazal.prompting import Mode

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gazal.answers import Extraction


class Dissent(BaseModel):
    """An answer, or a failure to give one, of samples that do not agree with the majority."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    value: str | None
    failure: str | None
    count: int


class Agreement(BaseModel):
    """The vote of the samples."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    method: Literal["self-consistency"] = "self-consistency"
    samples: int
    agreeing: int
    """Samples that gave the final answer; a sample without a readable answer agrees with none."""
    tied: bool
    """Another answer was as frequent; the one given first is shown."""
    dissent: list[Dissent]
    calibrated: bool
    """True only with a calibration file of these weights, this mode and this number of samples."""
    probability: float | None
    """How often such an agreement was right in the calibration run; null when not calibrated."""
    abstain_below: int | None = None
    """Fewer agreeing samples than this are an abstention, as fitted on development data; null when not fitted."""


class CalibrationBin(BaseModel):
    """What an evaluation run saw for one level of agreement."""

    model_config = ConfigDict(extra="forbid")

    agreeing: Annotated[int, Field(ge=0, le=8)]
    questions: Annotated[int, Field(ge=1)]
    accuracy: Annotated[float, Field(ge=0, le=1)]


class Calibration(BaseModel):
    """The calibration file: one evaluation run's accuracy by level of agreement."""

    model_config = ConfigDict(extra="forbid")

    method: Literal["self-consistency"]
    artifact_digest: Sha256
    mode: Mode
    samples: Annotated[int, Field(ge=2, le=8)]
    run: str
    """The evaluation run that measured it."""
    bins: list[CalibrationBin]
    abstain_below: Annotated[int | None, Field(ge=1, le=9)] = None
    """Fewer agreeing samples than this are too unreliable to be an answer; one more than `samples` is always."""
    target_accuracy: Annotated[float | None, Field(gt=0, lt=1)] = None
    """The accuracy that the threshold was fitted to reach."""
    development_data: dict[str, str] = {}
    """Question set to its sha256."""

    def speaks_of(self, digest: str, mode: Mode, samples: int) -> bool:
        """Whether it was measured on these weights, in this mode and with so many samples."""
        return (self.artifact_digest, self.mode, self.samples) == (digest, mode, samples)

    def probability(self, digest: str, mode: Mode, samples: int, agreeing: int) -> float | None:
        """The measured accuracy at this agreement, or None where the file does not speak of it."""
        if not self.speaks_of(digest, mode, samples):
            return None
        return next((each.accuracy for each in self.bins if each.agreeing == agreeing), None)


def load_calibration(path: Path) -> Calibration:
    """Read a calibration file. Raises ValueError naming what is wrong with it."""
    try:
        return Calibration.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ValueError(f"GAZAL_CALIBRATION_FILE: {path} cannot be read ({error.strerror})") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"GAZAL_CALIBRATION_FILE: {path} is malformed at {where}: {first['msg']}") from error


def vote(
    finals: Sequence[Extraction], calibration: Calibration | None, digest: str, mode: Mode
) -> tuple[int, Agreement]:
    """The index of the sample to show, and the vote. A failure never wins while any sample has an answer."""
    counts = Counter(final.value for final in finals if final.value is not None)
    most = max(counts.values(), default=0)
    winners = [value for value, count in counts.items() if count == most]
    chosen = next((index for index, final in enumerate(finals) if final.value in winners), 0) if winners else 0
    value = finals[chosen].value
    others = Counter((final.value, final.failure) for final in finals if final.value is None or final.value != value)
    probability = (
        calibration.probability(digest, mode, len(finals), most) if calibration and len(winners) == 1 else None
    )
    speaks = calibration is not None and calibration.speaks_of(digest, mode, len(finals))
    return chosen, Agreement(
        samples=len(finals),
        agreeing=most,
        tied=len(winners) > 1,
        dissent=[Dissent(value=each[0], failure=each[1], count=count) for each, count in others.most_common()],
        calibrated=probability is not None,
        probability=probability,
        abstain_below=calibration.abstain_below if calibration and speaks else None,
    )
