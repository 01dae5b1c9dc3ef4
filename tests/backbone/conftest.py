"""Both miniatures, and tokens to put into them."""

from collections.abc import Callable

import pytest
import torch

from synclora.backbone.base import Backbone
from synclora.backbone.find import find_backbone
from synclora.incontext.layout import Tokens, first_frame, lay_out
from synclora.incontext.positions import Grid

GRID = Grid.of_video(frames=17, height=128, width=96, fps=16)


@pytest.fixture(scope="session")
def ltx_video() -> Backbone:
    return find_backbone("tiny:ltx-video")


@pytest.fixture(scope="session")
def ltx2() -> Backbone:
    return find_backbone("tiny:ltx-2")


@pytest.fixture(scope="session", params=["tiny:ltx-video", "tiny:ltx-2"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return find_backbone(request.param)


@pytest.fixture(scope="session")
def tokens_of() -> Callable[..., Tokens]:
    """Two samples on a grid of 3x4x3 cells: one source, the target by its seed and level, the second's first frame given."""

    def make(target_seed: int = 1, sigma: float = 0.7, source: bool = True, channels: int = 16) -> Tokens:
        source_bnc = torch.randn(2, GRID.tokens, channels, generator=torch.Generator().manual_seed(0))
        target_bnc = torch.randn(2, GRID.tokens, channels, generator=torch.Generator().manual_seed(target_seed))
        clean_bn = first_frame(torch.tensor([False, True]), GRID)
        return lay_out(source_bnc if source else None, target_bnc, torch.tensor([sigma, sigma / 2]), clean_bn, GRID)

    return make
