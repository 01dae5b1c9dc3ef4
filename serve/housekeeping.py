"""What nobody is called for: jobs past their deadline, jobs kept long enough, files that belong to no job.

    keep_house(table, files, settings)          # every few seconds; any number of processes may

Each part is a few statements, or one listing of the store every ten minutes; each may be cut off anywhere and is taken up by the next call.
"""

import time
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from serve.files import FileStore
from serve.jobs import JobTable, made_at
from serve.settings import ServiceSettings
from serve.worker import tidy

ORPHAN_S = 3600.0
"""A folder without a row is left alone for so long: its job is being accepted. Storing an upload takes minutes at most."""
SEARCH_S = 600.0
"""Between two searches for orphans: they list the whole store."""
UNTIDY_S = 60.0
"""An ended job's worker has so long to tidy by itself."""

_searched: WeakKeyDictionary[FileStore, float] = WeakKeyDictionary()  # when this process searched it last


@dataclass(frozen=True)
class Swept:
    """What was done."""

    overdue: int = 0
    """Jobs that failed by their deadline."""
    expired: int = 0
    """Jobs that were kept long enough and are gone."""
    tidied: int = 0
    """Jobs whose spare artefacts are gone."""
    orphans: int = 0
    """Folders of jobs that were never accepted."""


def keep_house(table: JobTable, files: FileStore, settings: ServiceSettings) -> Swept:
    """One round.

    Raises:
        TableError: the database stayed away.
        OSError: the store cannot be reached or written.
    """
    overdue = len(table.overdue())
    tidied = 0
    for job in table.untidy(UNTIDY_S):
        tidy(table, files, job.id, job.video)
        tidied += 1
    return Swept(overdue, forget_expired(table, files, settings.keep_s), tidied, _remove_orphans_now_and_then(table, files))


def forget_expired(table: JobTable, files: FileStore, keep_s: float) -> int:
    """Remove jobs that ended so long ago; how many. Files first: a row without files is found again, files without a row only by a search."""
    expired = table.expired(keep_s)
    for job in expired:
        files.delete_job(job)
        table.forget(job)
    return len(expired)


def remove_orphans(table: JobTable, files: FileStore, older_s: float = ORPHAN_S) -> int:
    """Remove folders that no row names: their door died before it could accept the job. How many."""
    now = time.time()
    old = [job for job in files.jobs() if now - made_at(job) > older_s]
    known = table.many(old)
    orphans = [job for job in old if job not in known and now - files.newest(job) > older_s]
    for job in orphans:
        files.delete_job(job)
    return len(orphans)


def _remove_orphans_now_and_then(table: JobTable, files: FileStore) -> int:
    last = _searched.get(files)
    if last is not None and time.monotonic() - last < SEARCH_S:
        return 0
    _searched[files] = time.monotonic()
    return remove_orphans(table, files)
