"""Batches are a function of the seed and the step, and see the training side alone."""

import pytest
import torch

from synclora.embedded.clips.feed import Feed, cut, plain_window
from tests.embedded.conftest import TINY


@pytest.fixture(scope="module")
def feed(index):
    return Feed(index, TINY)


def test_a_step_s_batch_does_not_depend_on_what_came_before(index, feed):
    later = [feed.batch(step) for step in (3, 0)]
    again = Feed(index, TINY).batch(3)
    assert torch.equal(later[0].pixels_bcfyx, again.pixels_bcfyx)
    assert torch.equal(later[0].weight_b1fyx, again.weight_b1fyx)
    other = Feed(index, TINY.model_copy(update={"seed": 1})).batch(3)
    assert later[0].pixels_bcfyx.shape != other.pixels_bcfyx.shape or not torch.equal(later[0].pixels_bcfyx, other.pixels_bcfyx)


def test_batches_are_of_training_clips_in_their_own_time(index, feed):
    trained_on = {item.name: item.fps for item in index.of("train")}
    shapes = set()
    for step in range(8):
        batch = feed.batch(step)
        assert all(trained_on[name] == fps for name, fps in zip(batch.names, batch.fps_b, strict=True))
        assert batch.pixels_bcfyx.abs().max() <= 1
        assert float(batch.weight_b1fyx.mean()) == pytest.approx(1, abs=1e-5)
        shapes.add(tuple(batch.pixels_bcfyx.shape))
    assert shapes == {(2, 3, 17, 48, 48), (2, 3, 17, 32, 32)}


def test_what_counts_more_is_where_the_eyes_are(index, feed):
    item = index.of("train")[0]
    pixels, labels = cut(item, plain_window(item, TINY))
    assert pixels.shape == (17, 48, 48, 3)
    assert labels.shape == (17, 48, 48)
    close = next(batch for batch in map(feed.batch, range(20)) if batch.pixels_bcfyx.shape[-1] == 32)
    high = close.weight_b1fyx > close.weight_b1fyx.min() * 2
    assert high.float().mean() > 1.5 * (labels > 0).mean()  # two thirds of the side around them, so they fill more of it
