"""A still picture as an array: `read_picture("portrait.jpg", 1024)`."""

import warnings
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from synclora.errors import MediaError, Reason
from synclora.media import container as outside

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # what cameras and people send; Pillow's rarer readers are not offered to strangers
MAX_PIXELS = 50_000_000  # the largest phone pictures; 150 MB as RGB
MAX_BYTES = 64 * 1024**2  # 50 megapixels of PNG


def read_picture(path: str | Path, max_side: int | None = None) -> npt.NDArray[np.uint8]:
    """(height, width, 3) uint8 RGB, turned as its EXIF orientation says; larger than `max_side` is scaled down.

    Raises:
        MediaError: the file is missing, no picture, damaged or too large.
    """
    with outside.open_regular(str(path)) as file:
        size = outside.size_of(file)
        if size == 0:
            raise MediaError(Reason.EMPTY_FILE, "0 bytes")
        if size > MAX_BYTES:
            raise MediaError(Reason.TOO_LARGE, f"{size} bytes, a picture may have {MAX_BYTES}")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is checked below
                picture = Image.open(file, formats=FORMATS)
            if picture.width * picture.height > MAX_PIXELS:
                raise MediaError(Reason.PICTURE_SIZE, f"{picture.width}x{picture.height}, at most {MAX_PIXELS} pixels")
            if max_side:
                picture.draft("RGB", (max_side, max_side))  # a JPEG decodes straight to a half, quarter or eighth
            upright = ImageOps.exif_transpose(picture).convert("RGB")
        except UnidentifiedImageError as error:
            raise MediaError(Reason.UNKNOWN_CONTAINER, f"no {', '.join(FORMATS)} picture") from error
        except Image.DecompressionBombError as error:
            raise MediaError(Reason.PICTURE_SIZE, f"more than {MAX_PIXELS} pixels") from error
        except (OSError, ValueError, SyntaxError) as error:
            raise MediaError(Reason.BROKEN_MEDIA, " ".join(str(error).split())) from error
    if max_side and max(upright.size) > max_side:
        upright.thumbnail((max_side, max_side), Image.Resampling.LANCZOS)
    return np.array(upright, dtype=np.uint8)
