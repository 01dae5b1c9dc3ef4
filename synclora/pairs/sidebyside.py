"""Pairs in one picture: the source in the left half of a video, the edited half at the right, cut exactly in two.

    SideBySidePairs("joined/").rows()       # every video of the folder and of its subfolders
    SideBySidePairs("ana.mp4").rows()       # one video

A caption lies beside its video: `ana.txt` for `ana.mp4`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.base import Pair, View
from synclora.pairs.listing import CAPTION_ENDING, Entry, Listing, check_file, list_folder
from synclora.pairs.reader import Found, Reader, captions, unique, with_caption
from synclora.pairs.storage import VIDEO_ENDINGS, is_remote, local_path, open_filesystem


@dataclass(frozen=True)
class SideBySidePairs(Reader):
    """One pair per video."""

    def _read(self, listing: Listing) -> Found:
        entries = [entry for videos in listing.videos.values() for entry in videos]
        if not entries:
            raise SyncLoraError(f"--input {self.root}: no pairs found; expected videos with the source left and the edit right")
        keys = [(entry.folder, entry.stem) for entry in entries]
        own = captions(listing.texts[key] for key in sorted({key for key in keys if key in listing.texts}))
        seen: set[tuple[str, str]] = set()
        rows = []
        for entry, key in zip(entries, keys, strict=True):
            rows.append(with_caption(_pair(entry, self.caption, key in seen), own.get(key)))
            seen.add(key)
        rows += [_pair(entry, self.caption, False) for entry in listing.closed]
        return Found(unique(rows), listing.total - len(entries) - len(own) - len(listing.closed))

    def _list(self) -> Listing:
        is_video = self.root.lower().endswith(VIDEO_ENDINGS) and not Path(local_path(self.root)).is_dir()
        return single_video(self.root) if is_video else list_folder(self.root)


def single_video(path: str) -> Listing:
    """A listing that holds one video, wherever it lies, and the caption beside it."""
    listing, text = Listing(path), path[: path.rindex(".")] + CAPTION_ENDING
    if is_remote(path):
        for url in (path, text):
            filesystem, inner = open_filesystem(url)
            if url == path or filesystem.exists(inner):
                listing.add(Entry("", url.rpartition("/")[2], url, int(filesystem.info(inner).get("size") or 0)))
        return listing
    video = Path(local_path(path)).absolute()
    listing.add(check_file(str(video)))
    beside = video.with_suffix(CAPTION_ENDING)
    if beside.exists():
        listing.add(check_file(str(beside), os.path.realpath(video.parent)))
    return listing


def _pair(entry: Entry, caption: str, again: bool) -> Pair:
    name = f"{entry.folder}/{entry.stem}" if entry.folder else entry.stem
    pair = Pair(name, View(entry.path, "left"), View(entry.path, "right"), caption)
    if entry.problem:
        return pair.failed(entry.problem, entry.detail)
    if again:
        return pair.failed(Reason.DUPLICATE, f"{entry.relative!r}: the name {name!r} is taken by another file; rename one")
    return pair
