"""Which kind of pairs a path holds.

    source = find_pairs("shoots/may")          # or a side-by-side video, a table, s3://bucket/may
    for pair in source.rows():
        print(pair.name, pair.problem or "", pair.detail)
    print(f"ignored {source.ignored} other files")

What is in the folder decides; where two readings are possible, the error says so and `layout` settles it.
"""

from pathlib import Path
from typing import Literal

from synclora.errors import SyncLoraError
from synclora.pairs.folders import EDITED, EXPECTED, SOURCE, FolderPairs, half_named, has_twins, pair_folders
from synclora.pairs.listing import TABLE_ENDINGS, Listing, list_folder
from synclora.pairs.reader import Reader
from synclora.pairs.sidebyside import SideBySidePairs
from synclora.pairs.storage import MAX_BYTES, VIDEO_ENDINGS, is_remote, local_path, one_line, open_filesystem
from synclora.pairs.table import NAMES, TablePairs, table_in

Layout = Literal["auto", "folders", "side_by_side", "table"]


def find_pairs(input: str, *, layout: Layout = "auto", caption: str = "", max_bytes: int = MAX_BYTES) -> Reader:
    """The source of pairs that an input is.

    Args:
        input: a folder, a table or a video; local, file:// or one of the stores that `storage.STORES` lists.
        layout: how to read it; "auto" decides by what is there.
        caption: for pairs that come without one.
        max_bytes: the largest remote file that is fetched.

    Raises:
        SyncLoraError: there is nothing, it cannot be read, it holds no pairs, or it can be read in two ways.
    """
    if not _is_folder(input):
        return _file(input, layout, caption, max_bytes)
    listing = list_folder(input)
    if layout in ("auto", "table"):
        table = table_in(listing)
        if table:
            return TablePairs(table, caption, max_bytes)
        if layout == "table":
            raise SyncLoraError(f"--input {input}: no table in it; expected one of {', '.join(NAMES)}, or give the table's path")
    kind = SideBySidePairs if layout == "side_by_side" or (layout == "auto" and _is_joined(listing)) else FolderPairs
    return kind(input, caption, max_bytes, listing)


def _is_joined(listing: Listing) -> bool:
    """Whether the folder holds side-by-side videos; otherwise it is for the reader of folders to take or to refuse."""
    loose, folders = listing.videos.get("", []), pair_folders(listing)
    below = [folder for folder in listing.videos if folder]
    if not loose or folders == [""]:
        if below and not (loose or folders or has_twins(listing) or half_named(listing) or {SOURCE, EDITED} & set(below)):
            raise _ambiguous(listing, f"the folder {below[0]!r} holds videos, none of them named source.*")
        return False
    if below:
        raise _ambiguous(listing, f"holds videos ({loose[0].name!r}) and folders of videos ({below[0]!r})")
    named = next((video for video in loose if video.stem.lower().startswith((SOURCE, EDITED))), None)
    if named:
        raise _ambiguous(listing, f"{named.name!r} is named like one half of a pair, and its other half is not there")
    return True


def _ambiguous(listing: Listing, what: str) -> SyncLoraError:
    return SyncLoraError(
        f"--input {listing.root}: {what}; {EXPECTED}; if every video shows source and edit side by side, "
        "set layout to side_by_side"
    )


def _file(path: str, layout: Layout, caption: str, max_bytes: int) -> Reader:
    name = path.lower()
    if name.endswith(TABLE_ENDINGS) and layout in ("auto", "table"):
        return TablePairs(path, caption, max_bytes)
    if name.endswith(VIDEO_ENDINGS) and layout in ("auto", "side_by_side"):
        return SideBySidePairs(path, caption, max_bytes)
    if layout != "auto":
        raise SyncLoraError(f"--input {path}: a file cannot be read with layout {layout}; give a folder, or set layout to auto")
    raise SyncLoraError(f"--input {path}: neither a video ({' '.join(VIDEO_ENDINGS)}) nor a table ({' '.join(TABLE_ENDINGS)})")


def _is_folder(path: str) -> bool:
    try:
        if is_remote(path):
            filesystem, inner = open_filesystem(path)
            folder, exists = bool(filesystem.isdir(inner)), bool(filesystem.exists(inner))
        else:
            local = Path(local_path(path))
            folder, exists = local.is_dir(), bool(path) and local.exists()
    except SyncLoraError as error:
        raise SyncLoraError(f"--input {error}") from error
    except Exception as error:  # each driver raises its own kinds
        raise SyncLoraError(f"--input {path}: {one_line(error)}") from error
    if not exists:
        raise SyncLoraError(f"--input {path!r}: no such file or folder; give a folder of pairs, a video or a table")
    return folder
