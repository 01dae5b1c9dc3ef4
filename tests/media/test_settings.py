import pytest

from synclora.media.settings import MediaLimits
from synclora.settings import RecipeError


def test_a_recipe_may_change_limits_but_not_invent_them():
    assert MediaLimits.from_values({"max_seconds": 60}, "recipe").max_seconds == 60
    with pytest.raises(RecipeError, match="max_length: no such setting"):
        MediaLimits.from_values({"max_length": 60}, "recipe")
    with pytest.raises(RecipeError, match="min_frames"):
        MediaLimits.from_values({"min_frames": 0}, "recipe")
