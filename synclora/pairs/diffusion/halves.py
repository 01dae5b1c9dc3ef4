"""Two pictures side by side for one animation, and its video cut in two.

double = side_by_side(portrait, edited, width=960, height=480)
source_thwc, edited_thwc = cut(video_thwc)

The halves meet without a seam, at exactly half the width: what the model draws left of it is the source, right of it the edit.
"""

import cv2
import numpy as np

from synclora.media.decode import Picture


def brought(picture: Picture, width: int, height: int) -> Picture:
    """The picture at another size: averaged over areas where it shrinks, cubic where it grows, itself where it has that size."""
    if picture.shape[:2] == (height, width):
        return picture
    shrinks = picture.shape[0] >= height and picture.shape[1] >= width
    filter_ = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (width, height), interpolation=filter_), np.uint8)


def side_by_side(source: Picture, edited: Picture, width: int, height: int) -> Picture:
    """One picture of `width` x `height`, an even width: the source in the left half, the edit in the right."""
    return np.hstack([brought(half, width // 2, height) for half in (source, edited)])


def cut(video_thwc: Picture) -> tuple[Picture, Picture]:
    """Views of both halves (t, h, w / 2, c) of a video of even width (t, h, w, c): source, edited."""
    middle = video_thwc.shape[2] // 2
    return video_thwc[:, :, :middle], video_thwc[:, :, middle:]
