"""Pairs as two folders of equal names, or as one folder per pair.

    may/source/ana.mp4 + may/edited/ana.mp4          -> row "ana"        (twin folders)
    may/ana/source.mp4 + may/ana/hat.mp4, wig.mp4    -> rows "ana/hat", "ana/wig"   (pair folders: all but the source are edits)

    FolderPairs("may").rows()

A caption lies beside the edited video: `hat.txt` for `hat.mp4`.
"""

from dataclasses import dataclass, replace
from itertools import groupby

from synclora.errors import Reason, SyncLoraError
from synclora.pairs.base import Pair, View
from synclora.pairs.listing import Entry, Listing
from synclora.pairs.reader import Found, Reader, captions, first_problem, unique, with_caption

SOURCE, EDITED = "source", "edited"
EXPECTED = "expected source/NAME.mp4 with edited/NAME.mp4, or folders that hold source.mp4 and its edits"


def has_twins(listing: Listing) -> bool:
    """Whether the folder holds both `source/` and `edited/`."""
    there = {*listing.videos, *(entry.name for entry in listing.closed)}
    return {SOURCE, EDITED} <= there


def pair_folders(listing: Listing) -> list[str]:
    """The subfolders (or "" for the folder itself) that hold a source video."""
    twins = {SOURCE, EDITED} if has_twins(listing) else set()
    return [folder for folder in listing.videos if folder not in twins and any(map(_is_source, listing.videos[folder]))]


def half_named(listing: Listing) -> list[str]:
    """The subfolders that hold an `edited*` video: pair folders, though a source may be missing."""
    return [folder for folder, videos in listing.videos.items() if folder and any(v.stem.startswith(EDITED) for v in videos)]


@dataclass(frozen=True)
class FolderPairs(Reader):
    """Pairs found by the names of folders and files."""

    def _read(self, listing: Listing) -> Found:
        folders = pair_folders(listing)
        if has_twins(listing):
            if folders:
                raise SyncLoraError(
                    f"--input {self.root}: holds source/ and edited/, and the pair folder {folders[0] or '.'!r} as well; "
                    "give one of the two"
                )
            found = _twins(listing, self.root)
        elif folders or half_named(listing):
            if "" in folders and len(folders) > 1:
                raise SyncLoraError(f"--input {self.root}: holds a source video and pair folders as well; give one of the two")
            found = _pair_folders(listing, [""] if folders == [""] else [folder for folder in listing.videos if folder])
        else:
            lone = next((name for name in (SOURCE, EDITED) if name in listing.videos), "")
            missing = f"{lone}/ is there without its twin folder" if lone else "no pairs found"
            missing += "".join(f"; {entry.detail}" for entry in listing.closed[:1])
            raise SyncLoraError(f"--input {self.root}: {missing}; {EXPECTED}")
        return self._finish(found, listing)

    def _finish(self, found: list[tuple[Pair, list[Entry]]], listing: Listing) -> Found:
        keys = [(entries[-1].folder, entries[-1].stem) for _, entries in found]
        own = captions(listing.texts[key] for key in sorted({key for key in keys if key in listing.texts}))
        rows = []
        for (pair, _), key in zip(found, keys, strict=True):
            rows.append(with_caption(replace(pair, caption=self.caption), own.get(key)))
        used = {entry.path for _, entries in found for entry in entries}
        return Found(unique(rows), listing.total - len(used) - len(own))


def _twins(listing: Listing, root: str) -> list[tuple[Pair, list[Entry]]]:
    for entry in listing.closed:
        if entry.name in (SOURCE, EDITED):
            raise SyncLoraError(f"--input {root}: {entry.detail}")
    sources, edits = _by_stem(listing.videos[SOURCE]), _by_stem(listing.videos[EDITED])
    found: list[tuple[Pair, list[Entry]]] = []
    for stem in sorted({*sources, *edits}):
        left, right = sources.get(stem, []), edits.get(stem, [])
        found += [
            _pair(stem, _at(left, number), _at(right, number), f"{SOURCE}/{stem}.*", f"{EDITED}/{stem}.*", number)
            for number in range(max(len(left), len(right)))
        ]
    return found


def _pair_folders(listing: Listing, folders: list[str]) -> list[tuple[Pair, list[Entry]]]:
    found = []
    for folder in folders:
        prefix = f"{folder}/" if folder else ""
        sources = [entry for entry in listing.videos[folder] if _is_source(entry)]
        edits = _by_stem([entry for entry in listing.videos[folder] if not _is_source(entry)])
        source = sources[0] if sources else None
        for stem, same in edits.items():
            for number, edit in enumerate(same):
                found.append(_pair(f"{prefix}{stem}", source, edit, f"{prefix}source.*", "", number))
        if not edits:
            found.append(_pair(folder or SOURCE, source, None, "", f"{prefix}*.mp4 beside the source", 0))
        found += [_pair(f"{prefix}{SOURCE}", extra, extra, "", "", 1) for extra in sources[1:]]
    for entry in listing.closed if folders != [""] else []:
        view = View(entry.path)
        found.append((Pair(entry.name, view, view, problem=entry.problem, detail=entry.detail), [entry]))
    return found


def _pair(
    name: str, source: Entry | None, edited: Entry | None, no_source: str, no_edited: str, number: int
) -> tuple[Pair, list[Entry]]:
    """One row with the files it uses. `number` counts files of the same stem: all after the first are duplicates."""
    entries = [entry for entry in (source, edited) if entry]
    pair = Pair(name, View(source.path if source else ""), View(edited.path if edited else ""))
    broken = first_problem(*entries)
    if broken:
        return pair.failed(*broken), entries
    if source is None or edited is None:
        return pair.failed(Reason.MISSING_HALF, f"there is no {no_edited if source else no_source}"), entries
    if number:
        again = " and ".join(dict.fromkeys(repr(entry.relative) for entry in entries))
        return pair.failed(Reason.DUPLICATE, f"{again}: the name {name!r} is taken by another file; rename one"), entries
    return pair, entries


def _by_stem(videos: list[Entry]) -> dict[str, list[Entry]]:
    return {stem: list(same) for stem, same in groupby(videos, key=lambda entry: entry.stem)}


def _at(same: list[Entry], number: int) -> Entry | None:
    return same[min(number, len(same) - 1)] if same else None


def _is_source(entry: Entry) -> bool:
    return entry.stem == SOURCE
