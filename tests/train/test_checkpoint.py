"""A checkpoint is whole or not one: whatever is done to its bytes, what is read back is what was written."""

import json
import os

import pytest
import torch

from synclora.train import checkpoint
from synclora.train.checkpoint import CheckpointError, checkpoints, newest, newest_or_refuse, read, save, sweep
from synclora.train.strategy import OptimizerState
from tests.train.conftest import fill, one_line

RECIPE = {"lora.rank": 4, "caption": "3d1t", "optimizer.betas": [0.9, 0.999], "context.drop_source": 0.1, "revision": None}
SHAPES = {"transformer_blocks.0.attn1.to_q.lora_A.weight": (4, 8), "mean.square.lora_B.weight": (8, 4), "scalar": ()}
FILES = ("adapter.safetensors", "optimizer.safetensors", "state.json")


def state_of(steps, scale=1):
    """Named like the moments' prefixes too, which must not confuse them."""
    generator = torch.Generator().manual_seed(steps)
    shapes = {name: (shape[0] * scale, *shape[1:]) if shape else () for name, shape in SHAPES.items()}
    tensors = [{name: torch.randn(shape, generator=generator) for name, shape in shapes.items()} for _ in range(3)]
    return OptimizerState(steps, *tensors)


def same(found, expected):
    assert found.steps == expected.steps
    for name in ("weights", "mean", "square"):
        one, other = getattr(found, name), getattr(expected, name)
        assert one.keys() == other.keys()
        assert all(torch.equal(one[key], other[key]) for key in other), name
        assert all(tensor.dtype == torch.float32 for tensor in one.values())


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run" / "checkpoints"


@pytest.fixture
def two(folder):
    """An older checkpoint and a newer one."""
    save(folder, state_of(10), RECIPE)
    return save(folder, state_of(20), RECIPE)


def test_what_was_saved_comes_back(folder):
    path = save(folder, state_of(7), RECIPE)
    assert path == folder / "step-000007"
    assert sorted(file.name for file in path.iterdir()) == sorted(FILES)
    found = read(path)
    assert (found.folder, found.step, found.recipe) == (path, 7, RECIPE)
    same(found.load(), state_of(7))


def test_equal_states_are_equal_bytes(folder):
    one, other = (save(folder / name, state_of(7), RECIPE) for name in "ab")
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in FILES)


def test_none_was_written(folder):
    assert newest(folder) == (None, [])
    with pytest.raises(CheckpointError, match=r"none is intact \(none was written\); train again") as refused:
        newest_or_refuse(folder)
    one_line(refused.value)
    sweep(folder, 2)
    assert not folder.exists()


def test_the_newest_is_found(folder, two):
    for steps in (5, 100, 15):
        save(folder, state_of(steps), RECIPE)
    assert [path.name for path in checkpoints(folder)] == [f"step-{n:06d}" for n in (100, 20, 15, 10, 5)]
    found, passed = newest(folder)
    assert (found.step, passed) == (100, [])
    assert newest_or_refuse(folder) == found


def flipped(content, place):
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


SPOIL = {
    "first byte": lambda content: flipped(content, 0),
    "a byte in the middle": lambda content: flipped(content, len(content) // 2),
    "last byte": lambda content: flipped(content, len(content) - 1),
    "cut in half": lambda content: content[: len(content) // 2],
    "one byte short": lambda content: content[:-1],
    "one byte longer": lambda content: content + b"}",
    "empty": lambda content: b"",
    "gone": lambda content: None,
}


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("name", FILES)
def test_a_spoilt_newest_falls_back_to_the_one_before_and_says_so(folder, two, name, how):
    content = SPOIL[how]((two / name).read_bytes())
    if content is None:
        (two / name).unlink()
    else:
        (two / name).write_bytes(content)
    with pytest.raises(CheckpointError):
        read(two)
    found, passed = newest(folder)
    same(found.load(), state_of(10))
    assert len(passed) == 1
    assert passed[0].startswith("checkpoint step-000020: ")
    assert "\n" not in passed[0]
    if content is not None and name != "state.json":
        assert f"{name} is not what was written" in passed[0]
    sweep(folder, 3)
    assert [path.name for path in checkpoints(folder)] == ["step-000010"]


def test_no_byte_of_the_facts_can_change_their_meaning(two):
    """Not the step, not the recipe, not a digest: a flipped bit is seen, or was of a blank."""
    path, before = two / "state.json", read(two)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(flipped(content, place))
        try:
            assert read(two) == before, content[place : place + 10]
        except CheckpointError as error:
            one_line(error)


@pytest.mark.parametrize(
    "text", ["[]", "null", "3", '"text"', "{}", '{"format": 1}', '{"format": 1, "sha256": 3, "facts_sha256": ""}']
)
def test_facts_that_are_none(two, text):
    (two / "state.json").write_text(text)
    with pytest.raises(CheckpointError, match=r"^checkpoint step-000020: "):
        read(two)


def test_another_version_is_not_read(two):
    facts = json.loads((two / "state.json").read_text())
    (two / "state.json").write_text(json.dumps(facts | {"format": 2}))
    with pytest.raises(CheckpointError, match="step-000020: of another version of this project"):
        read(two)


def test_none_is_intact(folder, two):
    for path in checkpoints(folder):
        (path / "adapter.safetensors").unlink()
    found, passed = newest(folder)
    assert found is None
    assert len(passed) == 2
    with pytest.raises(
        CheckpointError, match=r"none is intact \(checkpoint step-000020: .*; checkpoint step-000010: .*\)"
    ) as refused:
        newest_or_refuse(folder)
    one_line(refused.value)


def test_files_of_two_checkpoints_do_not_mix(folder, two):
    (folder / "step-000010" / "adapter.safetensors").replace(two / "adapter.safetensors")
    found, passed = newest(folder)
    assert found is None
    assert len(passed) == 2


def test_half_written_folders_are_not_seen_and_swept(folder, two):
    for name in (".step-000030.12345.part", f".step-000030.{os.getpid()}.part"):
        (folder / name).mkdir()
        (folder / name / "adapter.safetensors").write_bytes(b"half of")
    assert newest(folder)[0].step == 20
    path = save(folder, state_of(30), RECIPE)  # also in the place of one that is in its way
    same(read(path).load(), state_of(30))
    (folder / "checkpoint_manager_snapshot.json").write_text("{}")
    sweep(folder, 3)
    assert sorted(path.name for path in folder.iterdir()) == [
        *("checkpoint_manager_snapshot.json", "step-000010", "step-000020", "step-000030"),
    ]


def test_a_taken_name_is_not_overwritten(folder, two):
    (two / "adapter.safetensors").write_bytes(b"spoilt")
    again = save(folder, state_of(20), RECIPE)
    assert again == folder / "step-000020-2"
    assert (two / "adapter.safetensors").read_bytes() == b"spoilt"
    found, passed = newest(folder)
    assert (found.folder, passed) == (again, [])
    same(found.load(), state_of(20))
    later = save(folder, state_of(21), RECIPE)
    assert newest(folder)[0].folder == later


@pytest.mark.parametrize("keep", [1, 2, 3, 9])
def test_only_the_newest_are_kept_and_corrupt_ones_do_not_count(folder, keep):
    for steps in (1, 2, 3, 4, 5):
        path = save(folder, state_of(steps), RECIPE)
    (path / "state.json").unlink()
    sweep(folder, keep)
    assert [read(path).step for path in checkpoints(folder)] == [4, 3, 2, 1][:keep]


def test_a_full_disk_leaves_the_older_one(small_disk):
    folder = small_disk / "checkpoints"
    older = save(folder, state_of(1), RECIPE)
    before = {path.name: path.read_bytes() for path in older.iterdir()}
    ballast = fill(small_disk)
    with ballast.open("r+b") as file:  # the first of its files finds room, the second does not
        file.truncate(ballast.stat().st_size - 100 * 4096)
    large = state_of(2, scale=1000)
    with pytest.raises(OSError, match="No space left on device"):
        save(folder, large, RECIPE)
    assert [path.name for path in folder.iterdir()] == ["step-000001"]
    assert {path.name: path.read_bytes() for path in older.iterdir()} == before
    same(newest_or_refuse(folder).load(), state_of(1))
    ballast.unlink()
    same(read(save(folder, large, RECIPE)).load(), large)


def test_a_folder_of_checkpoints_that_is_a_file(tmp_path):
    (tmp_path / "checkpoints").write_text("in its place")
    with pytest.raises(OSError, match=r"exists|Not a directory"):
        save(tmp_path / "checkpoints", state_of(1), RECIPE)
    assert checkpoint.newest(tmp_path / "checkpoints") == (None, [])
