"""Every transition of every job, written down by the database itself, and processes that race for the same jobs.

python -m tests.serve.audit URL SEED SECONDS MAX_STARTS ID...     # races; prints what it was told, as JSON
"""

import json
import random
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

import serve.jobs
from serve.jobs import JobTable, Lease
from serve.rows import now
from synclora.errors import Reason

_TABLE = """CREATE TABLE audit (number {serial}, job TEXT, before TEXT, after TEXT, starts_before INTEGER, starts INTEGER,
                                due_before DOUBLE PRECISION, at DOUBLE PRECISION, video TEXT)"""
_VALUES = "NEW.id, OLD.state, NEW.state, OLD.starts, NEW.starts, OLD.due, {now}, NEW.video"
LEAST = 10
"""Deeds of each racer, on a machine however slow."""
_COLUMNS = "job, before, after, starts_before, starts, due_before, at, video"
_SQLITE = "CREATE TRIGGER watch AFTER UPDATE OF state ON jobs BEGIN INSERT INTO audit ({columns}) VALUES ({values}); END"
_POSTGRESQL = (
    "CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO audit ({columns}) VALUES ({values}); RETURN NULL; END $$",
    "CREATE TRIGGER watch AFTER UPDATE OF state ON jobs FOR EACH ROW EXECUTE FUNCTION watch()",
)


def watch(url: str) -> sa.Engine:
    """Let the database write down every change of a state from now on."""
    engine = sa.create_engine(url)
    sqlite = engine.dialect.name == "sqlite"
    clock = str(sa.select(now()).compile(dialect=engine.dialect)).partition("SELECT ")[2].partition(" AS ")[0]
    statements = (_TABLE, _SQLITE) if sqlite else (_TABLE, *_POSTGRESQL)
    serial = "INTEGER PRIMARY KEY" if sqlite else "SERIAL PRIMARY KEY"
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement.format(serial=serial, columns=_COLUMNS, values=_VALUES.format(now=clock)))
    return engine


def transitions(engine: sa.Engine) -> dict[str, list[Any]]:
    """The changes of each job, in their order."""
    found: dict[str, list[Any]] = {}
    with engine.connect() as connection:
        for row in connection.execute(sa.text("SELECT * FROM audit ORDER BY number")):
            found.setdefault(row.job, []).append(row)
    return found


def race(table: JobTable, seed: int, seconds: float, max_starts: int, ids: list[str]) -> list[tuple[str, str, int]]:
    """Do what comes to mind, with leases that may be stale; the calls that were told that they did it. Longer where little came of it."""
    dice, leases, done = random.Random(seed), list[Lease](), list[tuple[str, str, int]]()
    end = time.monotonic() + seconds
    while (now_s := time.monotonic()) < end or (len(done) < LEAST and now_s < end + 20):
        if not leases or dice.random() < 0.3:
            taken = table.start(dice.choice(ids), f"racer {seed}", dice.choice([0.005, 0.02, 5]), max_starts)
            if taken is not None:
                done.append(("start", taken[0].job, taken[0].start))
                leases.append(taken[0])
            continue
        lease = dice.choice(leases[-8:])
        deed, told = _deed(table, dice, lease, max_starts)
        if told:
            done.append((deed, lease.job, lease.start))
        if dice.random() < 0.2:
            time.sleep(dice.random() * 0.02)
    return done


def _deed(table: JobTable, dice: random.Random, lease: Lease, max_starts: int) -> tuple[str, bool]:
    deeds: dict[str, Callable[[], bool]] = {
        "beat": lambda: table.beat(lease, {"stage": "sampling"}, dice.choice([0.0, 0.01, 5])),
        "give_back": lambda: table.give_back(lease),
        "retry": lambda: table.retry(lease, "oh", max_starts),
        "succeed": lambda: table.succeed(lease, f"edit-{lease.start}.mp4", {"start": lease.start}),
        "fail": lambda: table.fail(lease, Reason.NO_FACE, "none"),
        "cancel": lambda: table.cancel(lease.job) is None,  # that it was this call that did it, nobody is told
        "overdue": lambda: bool(table.overdue()) and False,
    }
    deed = dice.choices(list(deeds), [90, 12, 6, 1, 1, 1, 1])[0]
    return deed, deeds[deed]()


def main() -> None:
    url, seed, seconds, max_starts, *ids = sys.argv[1:]
    serve.jobs._PAUSES_S = (0.01,)
    table, done = JobTable(url), list[tuple[str, str, int]]()

    def run(number: int) -> None:
        done.extend(race(table, int(seed) * 100 + number, float(seconds), int(max_starts), ids))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(done))


if __name__ == "__main__":
    main()
