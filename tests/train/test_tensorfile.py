import json
import pickle
import resource
import signal
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from synclora.train.tensorfile import HEADER_BYTES, TensorFileError, read_tensors, write_tensors

DRAW = torch.Generator().manual_seed(0)
TENSORS = {
    "b": torch.randn(3, 5, generator=DRAW),
    "a": torch.randn(7, generator=DRAW).bfloat16(),
    "c.é": torch.randn(2, 2, 2, generator=DRAW).half(),
    "one": torch.tensor(3.5),
}
METADATA = {"caption": 'a "quoted" | two\nlines, é', "z": "1", "a": "2"}


def same(found):
    return set(found) == set(TENSORS) and all(
        torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in TENSORS.items()
    )


def test_round_trip_and_the_library_reads_it(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, METADATA)
    tensors, metadata = read_tensors(path)
    assert same(tensors)
    assert metadata == METADATA
    assert same(load_file(path))
    save_file(TENSORS, tmp_path / "theirs.safetensors", metadata=METADATA)
    assert same(read_tensors(tmp_path / "theirs.safetensors")[0])
    assert read_tensors(tmp_path / "theirs.safetensors")[1] == METADATA


def test_views_are_written_as_they_look(tmp_path):
    whole = torch.arange(12.0).view(3, 4)
    write_tensors(tmp_path / "x", {"turned": whole.T, "part": whole[1:, ::2]}, {})
    tensors, _ = read_tensors(tmp_path / "x")
    assert torch.equal(tensors["turned"], whole.T)
    assert torch.equal(tensors["part"], whole[1:, ::2])


def test_equal_content_gives_equal_bytes_in_every_process(tmp_path):
    script = (
        "import sys, torch; from pathlib import Path; from synclora.train.tensorfile import write_tensors;"
        "write_tensors(Path(sys.argv[1]), {n: torch.full((3,), float(ord(n))) for n in 'bacd'}, {n: n for n in 'hgfedcba'})"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "there")], check=True)
    write_tensors(tmp_path / "here", {n: torch.full((3,), float(ord(n))) for n in "abcd"}, {n: n for n in "abcdefgh"})
    assert (tmp_path / "here").read_bytes() == (tmp_path / "there").read_bytes()


def test_full_disk_leaves_what_was_there(tmp_path):
    path = tmp_path / "x.safetensors"
    write_tensors(path, TENSORS, METADATA)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
        with pytest.raises(OSError, match="File too large"):
            write_tensors(path, {"big": torch.zeros(4096)}, {})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert same(read_tensors(path)[0])
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def header(entries, length=None):
    text = json.dumps(entries).encode()
    return (len(text) if length is None else length).to_bytes(8, "little") + text


def bad(name, good):
    ending = {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}
    return {
        "empty": b"",
        "text": b"just some text, long enough",
        "page": b"<!doctype html><title>404</title>",
        "pickle": pickle.dumps({"a": 1}),
        "old pickle": pickle.dumps({"a": 1}, protocol=2),
        "cut in the data": good[:-3],
        "cut in the header": good[:60],
        "longer": good + b"more",
        "great header": header({}, length=HEADER_BYTES + 1),
        "absurd header": header({}, length=(1 << 63) + 5),
        "no JSON": (9).to_bytes(8, "little") + b"{not JSON",
        "beyond the end": header({"a": ending}),
        "negative": header({"a": ending | {"shape": [-1], "data_offsets": [0, -4]}}),
        "overlap": header({n: {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} for n in "ab"}) + bytes(4),
        "dtype": header({"a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]}}) + bytes(8),
    }[name]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("empty", "not safetensors"),
        ("text", "not safetensors"),
        ("page", "not safetensors"),
        ("pickle", "a pickle, which can run code"),
        ("old pickle", "a pickle, which can run code"),
        ("cut in the data", "broken"),
        ("cut in the header", "ends within its header, at 60 bytes"),
        ("longer", "broken"),
        ("great header", "a header of 8388609 bytes, more than 8388608"),
        ("absurd header", "more than 8388608"),
        ("no JSON", "broken"),
        ("beyond the end", "broken"),
        ("negative", "broken"),
        ("overlap", "broken"),
        ("dtype", "a is I64; only F32, F16, BF16"),
    ],
)
def test_bad_files_are_refused_in_one_line(tmp_path, name, says):
    write_tensors(tmp_path / "good", TENSORS, METADATA)
    path = tmp_path / "x.safetensors"
    path.write_bytes(bad(name, (tmp_path / "good").read_bytes()))
    with pytest.raises(TensorFileError, match=says) as error:
        read_tensors(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)


def test_pickle_of_torch_is_refused(tmp_path):
    for zipped in (True, False):
        torch.save({"a": torch.zeros(2)}, tmp_path / "x.bin", _use_new_zipfile_serialization=zipped)
        with pytest.raises(TensorFileError, match="a pickle"):
            read_tensors(tmp_path / "x.bin")


def test_missing_file_and_folder_are_refused(tmp_path):
    with pytest.raises(TensorFileError, match="No such file"):
        read_tensors(tmp_path / "none")
    with pytest.raises(TensorFileError, match="directory"):
        read_tensors(tmp_path)
