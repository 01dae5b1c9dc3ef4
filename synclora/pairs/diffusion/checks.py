"""Cheap checks on still pictures, before anything is animated: one person, large enough; an edit that shows, on the same person, in place.

    take = Checker(Stage.PORTRAIT, settings, out).check(take)      # dropped: quarantined, there is nothing to edit
    take = Checker(Stage.EDIT, settings, out).check(take)          # dropped: rejected, a verdict on the pair

What was measured is kept beside the picture (look.json). `against_portrait` and `against_edit` judge by that alone, so that a run with
other limits opens no picture, and a driver knows the outcome of scenes that were looked at before.
"""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TypeGuard

import numpy as np

from synclora.command import one_line
from synclora.edit.fit import LIKENESS, MIRRORED
from synclora.edit.warp import resemblance
from synclora.errors import MediaError, Reason
from synclora.media.decode import Picture
from synclora.motion.landmarks import Floats
from synclora.motion.signals import FACE_FRAME
from synclora.motion.stills import Stills, face_distance, face_width
from synclora.pairs.diffusion.change import edit_strength
from synclora.pairs.diffusion.halves import brought
from synclora.pairs.diffusion.look import Look
from synclora.pairs.diffusion.settings import CheckSettings, GenerateSettings, Stage
from synclora.pairs.diffusion.store import MadeStore
from synclora.pairs.diffusion.take import Take

Finding = tuple[Reason, str]

_HEAD = 0.7  # face widths from the face's middle to each side: head and chin; wider, new backgrounds count


class Checker:
    """Checks what one stage made."""

    def __init__(self, stage: Stage, settings: GenerateSettings, out: Path) -> None:
        self._stage, self._rule = stage, settings.checks
        self._store = MadeStore(out)

    def check(self, take: Take) -> Take:
        """The same scene, dropped if its picture will not do. Dropped ones pass.

        Raises:
            OSError: the output folder cannot be written (a full disk): the run must stop.
        """
        if take.dropped or self._stage.value not in take.made or (self._stage is Stage.PORTRAIT and not self._rule.faces):
            return take
        try:
            portrait = self._look(Stage.PORTRAIT, take) if self._rule.faces or self._stage is Stage.PORTRAIT else None
            edit = self._look(Stage.EDIT, take) if self._stage is Stage.EDIT else None
        except MediaError as error:
            return take.drop(self._stage, error.reason, error.detail)
        except OSError:
            raise
        except Exception as error:  # a surprise is the scene's own: the next one gets new graphs
            _stills.cache_clear()
            return take.drop(self._stage, Reason.CRASHED, f"{type(error).__name__}: {one_line(error)}")
        return judged(take, self._stage, portrait, edit, self._rule)

    def _look(self, stage: Stage, take: Take) -> Look:
        """What is to be measured on the picture, from the store if it was measured before."""
        identity = take.made[stage.value]
        known = self._store.look(stage, identity)
        if told(known, self._rule):
            return known
        look = self._measured(stage, take)
        self._store.keep_look(stage, identity, look)
        return look

    def _measured(self, stage: Stage, take: Take) -> Look:
        picture = self._store.picture(stage, take.made[stage.value])
        look = Look(picture.shape[1], picture.shape[0], None)
        if self._rule.faces:
            faces = sorted((face[list(FACE_FRAME), :2] for face in _stills().faces(picture)), key=face_width, reverse=True)
            points = tuple(tuple((round(float(x), 2), round(float(y), 2)) for x, y in face) for face in faces)
            look = replace(look, faces=points, second_face=round(_stills().second_face(picture), 3))
        if stage is Stage.EDIT:
            look = self._compared(look, picture, take)
        return look

    def _compared(self, look: Look, picture: Picture, take: Take) -> Look:
        """What an edited picture has of its portrait."""
        portrait = self._store.picture(Stage.PORTRAIT, take.made[Stage.PORTRAIT.value])
        same = brought(picture, portrait.shape[1], portrait.shape[0])
        direct, mirrored = resemblance(same, portrait), resemblance(same[:, ::-1], portrait)
        known = self._store.look(Stage.PORTRAIT, take.made[Stage.PORTRAIT.value])
        head = _head(known) if known else None
        likeness = max(direct, resemblance(same[head], portrait[head])) if head else direct
        change = edit_strength(portrait, picture)
        direct, mirrored, likeness, change = (round(value, 4) for value in (direct, mirrored, likeness, change))
        return replace(look, direct=direct, mirrored=mirrored, likeness=likeness, change=change)


def against_portrait(look: Look, rule: CheckSettings) -> Iterator[Finding]:
    """What speaks against a portrait."""
    faces = look.points()
    if not faces:
        yield Reason.NO_FACE, "the portrait shows no face"
        return
    if look.second_face >= rule.second_face:
        yield Reason.TWO_FACES, f"the portrait shows a second face {look.second_face:.2f} times as wide as the first"
    if (width := face_width(faces[0]) / look.width) < rule.min_face:
        yield Reason.NO_FACE, f"the portrait's face is {width:.2f} of the picture's width, less than {rule.min_face:g}"


def against_edit(look: Look, portrait: Look | None, rule: CheckSettings) -> Iterator[Finding]:
    """What speaks against an edited portrait; of its person, only beside the look at a portrait."""
    if look.change < rule.min_edit:
        yield Reason.NO_EDIT, f"edit strength {look.change:.4f} < {rule.min_edit:g}: nothing was edited"
    if not rule.faces or not portrait or not portrait.faces:
        return
    if not look.faces:
        yield Reason.NO_FACE, "the edited portrait shows no face"
        return
    still, scale = portrait.points()[0], portrait.width / look.width
    face = min((one * scale for one in look.points()), key=lambda one: face_distance(one, still))
    if (width := face_width(face) / portrait.width) < rule.min_face:
        yield Reason.FACE_LOST, f"the edited portrait's face is {width:.2f} of the picture's width, less than {rule.min_face:g}"
    elif look.second_face >= rule.second_face:
        yield Reason.TWO_FACES, f"the edited portrait shows a second face {look.second_face:.2f} times as wide as the first"
    yield from _against_place(look, face, still, rule)


def _against_place(look: Look, face: Floats, still: Floats, rule: CheckSettings) -> Iterator[Finding]:
    """Landmarks tell a shift, a scale and a turned head; another person in the same place, or a mirrored one, the rest of the picture."""
    if (off := face_distance(face, still)) > rule.max_misalignment:
        yield Reason.MISALIGNED, f"the edit's face is {off:.2f} face widths from the portrait's > {rule.max_misalignment:g}"
    if look.mirrored - look.direct > MIRRORED and look.mirrored > LIKENESS:
        yield (
            Reason.MISALIGNED,
            f"the edit is mirrored: it resembles the portrait by {look.direct:.2f}, mirrored by {look.mirrored:.2f}",
        )
    elif look.likeness < rule.min_likeness:
        yield (
            Reason.FACE_LOST,
            f"the edit resembles the portrait by {look.likeness:.2f} < {rule.min_likeness:g}: another person or view",
        )


def told(look: Look | None, rule: CheckSettings) -> TypeGuard[Look]:
    """Whether a look has what the rule asks for."""
    return look is not None and (look.faces is not None or not rule.faces)


def judged(take: Take, stage: Stage, portrait: Look | None, edit: Look | None, rule: CheckSettings) -> Take:
    """The scene after the stage's check, as far as it was looked at; dropped, it has nothing of later stages."""
    findings: list[Finding] = []
    if stage is Stage.PORTRAIT and rule.faces and told(portrait, rule):
        findings = list(against_portrait(portrait, rule))
    elif stage is Stage.EDIT and told(edit, rule):
        findings = list(against_edit(edit, portrait, rule))
    if not findings:
        return take
    made = {one.value: take.made[one.value] for one in (Stage.PORTRAIT, stage)}
    details = "; ".join(detail for _, detail in findings)
    return replace(take, made=made).drop(stage, findings[0][0], details, rejected=stage is Stage.EDIT)


def _head(look: Look) -> tuple[slice, slice] | None:
    """Rows and columns around the widest face."""
    faces = look.points()
    if not faces:
        return None
    middle, reach = faces[0].mean(0), _HEAD * face_width(faces[0])
    low, high = np.maximum(0, middle - reach).astype(int), (middle + reach).astype(int)
    return slice(low[1], high[1]), slice(low[0], high[0])


@cache
def _stills() -> Stills:
    """One per process: building the graphs takes longer than looking at ten pictures."""
    return Stills()
