"""Contact sheets: a few evenly spaced frames of clips that belong together, one row per clip, as one picture.

    sheet = contact_sheet("red hair, step 400", {"source": source_tyxc, "our edit": edit_tyxc}, fps=25.0)
    write_png(out / "contact.png", sheet)

Shapes: t frames, y rows, x columns of pixels, c colours (RGB).
"""

import os
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from synclora.media.decode import Picture

COLUMNS = 6
"""Frames of a row: on a desk they stand beside each other without scrolling."""

_THUMB_H = 160
_GAP, _MARGIN = 4, 12
_LABELS_W = 96
_TITLE_H, _TIMES_H, _BANNER_H = 30, 20, 30
_PAGE, _INK, _QUIET, _WARNING = (251, 250, 248), (28, 28, 31), (98, 97, 95), (168, 40, 30)


def evenly(frames: int, columns: int = COLUMNS) -> list[int]:
    """Numbers of at most so many frames, the first and the last among them."""
    return sorted({round(at) for at in np.linspace(0, frames - 1, min(columns, frames))})


def contact_sheet(
    title: str, clips: Mapping[str, NDArray[np.uint8]], fps: float, *, banner: str = "", columns: int = COLUMNS
) -> Picture:
    """Draw a sheet.

    Args:
        title: the line above; cut where it does not fit.
        clips: (t, y, x, 3) by the label of their row, all of one length.
        fps: turns frame numbers into the seconds above the columns.
        banner: a warning over everything.
        columns: frames of a row.

    Returns:
        (height, width, 3) uint8.

    Raises:
        ValueError: there are no clips, or they differ in length.
    """
    lengths = {len(clip) for clip in clips.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"contact sheet {title}: clips of {sorted(lengths)} frames; give clips of one length")
    shown = evenly(lengths.pop(), columns)
    rows = [[_thumb(clip[frame]) for frame in shown] for clip in clips.values()]
    steps = np.cumsum([0, *(max(row[i].shape[1] for row in rows) + _GAP for i in range(len(shown)))])
    width = _MARGIN + _LABELS_W + max(int(steps[-1]), _THUMB_H) + _MARGIN
    top = _BANNER_H * bool(banner) + _TITLE_H + _TIMES_H
    sheet = Image.new("RGB", (width, top + len(rows) * (_THUMB_H + _GAP) + _MARGIN), _PAGE)
    pen = ImageDraw.Draw(sheet)
    if banner:
        pen.rectangle((0, 0, width, _BANNER_H - 1), _WARNING)
        _write(pen, banner, (_MARGIN, 7), 14, _PAGE, width - 2 * _MARGIN)
    _write(pen, title, (_MARGIN, top - _TIMES_H - _TITLE_H + 8), 16, _INK, width - 2 * _MARGIN)
    for frame, x in zip(shown, steps[:-1], strict=True):
        _write(pen, f"{frame / fps:.2f} s", (_MARGIN + _LABELS_W + int(x), top - _TIMES_H + 2), 12, _QUIET)
    for label, row, y in zip(clips, rows, range(top, sheet.height, _THUMB_H + _GAP), strict=False):
        _write(pen, label, (_MARGIN, y + _THUMB_H // 2 - 8), 14, _INK, _LABELS_W - 8)
        for thumb, x in zip(row, steps[:-1], strict=True):
            sheet.paste(Image.fromarray(thumb), (_MARGIN + _LABELS_W + int(x), y))
    return np.asarray(sheet)


def stack(sheets: Sequence[Picture]) -> Picture:
    """Sheets below each other, the narrow ones filled up at their right."""
    width = max(sheet.shape[1] for sheet in sheets)
    whole = Image.new("RGB", (width, sum(sheet.shape[0] for sheet in sheets)), _PAGE)
    y = 0
    for sheet in sheets:
        whole.paste(Image.fromarray(sheet), (0, y))
        y += sheet.shape[0]
    return np.asarray(whole)


def write_png(path: Path, picture: Picture) -> None:
    """Write a picture under a temporary name, then rename.

    Raises:
        OSError: the file cannot be written; an older one stays.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        Image.fromarray(picture).save(scratch, format="PNG")
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _thumb(picture: Picture) -> Picture:
    height, width = picture.shape[:2]
    how = cv2.INTER_AREA if height >= _THUMB_H else cv2.INTER_LINEAR
    size = max(1, round(width * _THUMB_H / height)), _THUMB_H
    return np.asarray(cv2.resize(np.ascontiguousarray(picture), size, interpolation=how), np.uint8)


def _write(
    pen: ImageDraw.ImageDraw, words: str, at: tuple[int, int], size: int, colour: tuple[int, int, int], room: int | None = None
) -> None:
    """One line of text, cut with dots where `room` pixels end."""
    font = ImageFont.load_default(size)
    plain = unicodedata.normalize("NFKD", " ".join(words.split()))  # Pillow's own font knows ASCII and little more
    words = "".join(letter if letter.isascii() else "?" for letter in plain if not unicodedata.combining(letter))
    while room and len(words) > 3 and font.getlength(words) > room:
        words = words.removesuffix("...")[:-1].rstrip() + "..."
    pen.text(at, words, fill=colour, font=font)
