"""One video as seen: a file, or half of a file."""

from dataclasses import dataclass
from typing import Literal

Half = Literal["whole", "left", "right"]


@dataclass(frozen=True)
class View:
    """One video as seen: a file, or the left or right half of a file (the width cut exactly in two)."""

    path: str
    half: Half = "whole"
