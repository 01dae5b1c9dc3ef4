"""How many jobs may wait, of all and of one owner. Asked within the transaction that inserts, so that it holds for any number of doors."""

import sqlalchemy as sa

from serve.job import Refused, State
from serve.rows import LIVE, jobs, now
from synclora.errors import Reason

_MINUTE_S = 60.0


def admit(connection: sa.Connection, owner: str, max_queued: int, max_owner: int | None, per_minute: int | None) -> None:
    """Is there room for one more of this owner? Limits as `JobTable.accept` says.

    Raises:
        Refused: QUEUE_FULL or KEY_LIMIT.
    """
    waiting = sa.select(sa.func.count()).select_from(jobs).where(LIVE, jobs.c.state == State.QUEUED)
    queued = connection.scalar(waiting) or 0
    if queued >= max_queued:
        raise Refused(Reason.QUEUE_FULL, f"{queued} edits wait, {max_queued} may; try again later", _until_room(connection))
    if max_owner is not None:
        own = connection.scalar(waiting.where(jobs.c.owner == owner)) or 0
        if own >= max_owner:
            detail = f"{own} of your edits wait, {max_owner} may; try again when one is done"
            raise Refused(Reason.KEY_LIMIT, detail, _until_room(connection))
    if per_minute is not None:
        recent = [jobs.c.owner == owner, jobs.c.created > now() - _MINUTE_S]
        statement = sa.select(sa.func.count(), sa.func.min(jobs.c.created) + _MINUTE_S - now()).where(*recent)
        number, rest = connection.execute(statement).one()
        if number >= per_minute:
            detail = f"{number} edits asked within a minute, {per_minute} may be; try again in {max(1, round(rest))} s"
            raise Refused(Reason.KEY_LIMIT, detail, max(1, round(rest)))


def _until_room(connection: sa.Connection) -> int:
    """Seconds until a place is free, if work goes on as in the last minute."""
    done = connection.scalar(sa.select(sa.func.count()).select_from(jobs).where(jobs.c.ended > now() - _MINUTE_S)) or 0
    return max(1, min(60, round(_MINUTE_S / max(1, done))))
