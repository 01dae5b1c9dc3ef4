"""The strokes that all charts are made of, as SVG text.

A drawing is 1000 wide and 100 high, and is stretched to its place: y grows downwards, 0 is the top. Texts and dots stand outside the
stretched part, at a percentage of the width and at pixels of the height, and keep their shape.
"""

from collections.abc import Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def chart(
    kind: str, height: int, top: int, plot_height: int, plot: list[str], texts: list[str], label: str, data: str = ""
) -> str:
    """A chart: the stretched drawing `plot` from pixel row `top` on, `texts` over it.

    Args:
        kind: its classes.
        height: of the whole, in pixels.
        top: where the drawing begins, in pixels.
        plot_height: of the drawing, in pixels.
        plot: strokes of the drawing.
        texts: texts and dots.
        label: for those who hear the page.
        data: further attributes, with a space before each.
    """
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart {kind}" width="100%" height="{height}" role="img"'
        f' aria-label="{escape(label)}"{data}>'
        f'<svg class="plot" y="{top}" width="100%" height="{plot_height}" viewBox="0 0 1000 100" preserveAspectRatio="none">'
        f"{''.join(plot)}</svg>{''.join(texts)}</svg>"
    )


def text(name: str, percent: float, y: float, words: str) -> str:
    """Words beside the drawing, at a percentage of the width and a pixel of the height; at the edges they stay inside."""
    anchor = "start" if percent < 2 else "end" if percent > 98 else "middle"
    return f'<text class="{name}" x="{percent:.2f}%" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>'


def dot(name: str, percent: float, y: float) -> str:
    """A round dot, placed as texts are."""
    return f'<circle class="{name}" cx="{percent:.2f}%" cy="{y:.1f}" r="2.5"/>'


def rect(name: str, x: float, y: float, width: float, height: float) -> str:
    """A filled box of the drawing."""
    return f'<rect class="{name}" x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"/>'


def line(name: str, x1: float, y1: float, x2: float, y2: float) -> str:
    """A straight stroke of the drawing."""
    return f'<line class="{name}" x1="{x1:.2f}" y1="{y1:g}" x2="{x2:.2f}" y2="{y2:g}"/>'


def path(name: str, x: Doubles | Sequence[float], y: Doubles | Sequence[float], first: int, last: int) -> str:
    """A stroke through the points from number `first` to number `last`."""
    points = "L".join(f"{x[i]:.1f} {y[i]:.1f}" for i in range(first, last + 1))
    return f'<path class="{name}" d="M{points}"/>'
