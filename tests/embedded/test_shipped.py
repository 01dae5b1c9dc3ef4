"""The claim, on the weights that come with the package and a real clip that nothing was trained on: without the adapter the model animates the
edited frame as it likes, with it the edit moves as the source does."""

import pytest

from synclora.backbone.folder import EMBEDDED, adapters_of
from synclora.edit.library import USUAL
from synclora.embedded.evaluation.make import BARE, FROZEN, SOURCE
from synclora.embedded.measure import Asked, run

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def test_with_the_adapter_an_edit_moves_as_its_source_does(portraits, tmp_path):
    folder = adapters_of(EMBEDDED)
    if folder is None:
        pytest.skip("no adapters were shipped with this checkout")
    adapters = tuple(folder / name for name in (USUAL, f"{USUAL}-causal-source"))
    asked = Asked(EMBEDDED, adapters, portraits, tmp_path / "out", clips=1, seeds=1, sets=("real",), steps=4)
    scores = {one.condition: one.score for one in run(asked, tell=lambda _line: None)}
    for adapter in adapters:
        one = scores[adapter.name]
        assert one.mean > 0.8
        assert abs(one.lag) < 0.5
        assert one.first < 0.05 < one.strength  # it begins as the edited picture, and is no copy of the source
        assert one.face == 1
    assert max(scores[BARE].mean, scores[FROZEN].mean) < 0.3
    assert scores[SOURCE].mean > 0.95
