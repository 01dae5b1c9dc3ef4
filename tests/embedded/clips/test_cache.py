"""Cut once; a second call makes nothing and finds the same."""

from synclora.embedded.clips import cache
from synclora.embedded.clips.cache import build_cache
from tests.embedded.conftest import TINY


def test_a_second_call_finds_what_the_first_made(index, small_portraits, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(index.items[0].folder.parents[2]))
    monkeypatch.setattr(cache, "Landmarker", None)  # needed by nothing that is there
    assert build_cache(small_portraits, TINY.clips) == index


def test_what_is_half_made_is_made_again(index, small_portraits, monkeypatch):
    item = index.of("train")[0]
    monkeypatch.setenv("XDG_CACHE_HOME", str(item.folder.parents[2]))
    before = item.pixels().copy()
    (item.folder / f"{item.name}.json").unlink()
    (item.folder / f"{item.name}.npy").write_bytes(b"half")
    assert build_cache(small_portraits, TINY.clips) == index
    assert (item.pixels() == before).all()
    assert not list(item.folder.glob(".*"))
