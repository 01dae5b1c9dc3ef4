"""A scene on its way through the stages: what passes between workers, as JSON. Pictures and videos stay on disk, under their ids."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from synclora.errors import Reason
from synclora.pairs.base import Pair, View
from synclora.pairs.diffusion.settings import Stage


@dataclass(frozen=True)
class Scene:
    """Everything that is asked of the three models, in words.

    Attributes:
        number: of the scene in its set, from 0.
        portrait: prompt of the portrait.
        kind: of the edit, a key of the catalogue.
        instruction: to the edit model.
        performance: prompt of the double picture's animation.
        seed: of all three; a stage draws its own from it.
        edit: what the instruction asks for, without what it asks to keep; "" where it asks for nothing else.
    """

    number: int
    portrait: str
    kind: str
    instruction: str
    performance: str
    seed: int
    edit: str = ""

    @property
    def name(self) -> str:
        """What people call it; in the order of its number."""
        return f"{self.number:07d}-{self.kind}"

    @property
    def in_words(self) -> str:
        """The edit, for people and captions."""
        return self.edit or self.instruction


@dataclass(frozen=True)
class Take:
    """One scene and how far it came.

    Attributes:
        scene: what was asked.
        made: ids of what exists, by stage, in the store.
        dropped: why it goes no further; None while it does.
        at: the stage that dropped it: the making of that stage's picture or video, or the check on it.
        detail: one line, with the value and its limit.
        rejected: dropped by a verdict on the pair (nothing edited, person lost, misaligned), and not because it could not be made or judged.
        notes: what happened that a user should read once, such as a batch that was halved.
        spent_s: seconds of GPU spent on it in this run, shares of a card counted as shares.
    """

    scene: Scene
    made: dict[str, str]
    dropped: Reason | None = None
    at: str = ""
    detail: str = ""
    rejected: bool = False
    notes: tuple[str, ...] = ()
    spent_s: float = 0.0

    def to_json(self) -> str:
        """For a row of Ray Data."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`."""
        fields = json.loads(text)
        reason = Reason(fields["dropped"]) if fields["dropped"] else None
        return cls(**fields | {"scene": Scene(**fields["scene"]), "dropped": reason, "notes": tuple(fields["notes"])})

    def drop(self, at: Stage, reason: Reason, detail: str, *, rejected: bool = False) -> "Take":
        """The same scene, at its end."""
        return replace(self, dropped=reason, at=at.value, detail=" ".join(detail.split()), rejected=rejected)

    def truth(self) -> str:
        """What the manifest says of it: what was asked, what was made, where it ended. The same for equal content, whatever it cost."""
        known: dict[str, Any] = {"scene": asdict(self.scene), "made": self.made, "at": self.at}
        return json.dumps(known, sort_keys=True)

    def pair(self, caption: str, source: Path | None, edited: Path | None) -> Pair:
        """A row of the curation.

        Args:
            caption: of the pair.
            source: the left half's video; of a dropped scene the portrait, if there is one.
            edited: the right half's video; of a dropped scene the edited portrait, if there is one.
        """
        halves = View(str(source or "")), View(str(edited or ""))
        return Pair(self.scene.name, *halves, caption, self.truth(), self.dropped, self.detail, self.rejected)
