"""One run over a folder in which everything is wrong: each input ends as one row with its reason, and harms no other."""

import pytest

from synclora.media.decode import Decoder
from tests.jobs.conftest import curated, rows_of
from tests.jobs.odd import BAD, WELL, make_everything

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def everything(puppets, driver, tmp_path_factory):
    """The driver's workers know the faults."""
    root = tmp_path_factory.mktemp("everything")
    kept = next(row for row in rows_of(puppets.out).values() if row["verdict"] == "kept")
    make_everything(root / "in", (puppets.out / kept["source"]).parent)
    (root / "recipe.yaml").write_text("faults: {attempts: 2, seconds_per_pair: 8}\n")
    out = root / "out"
    done = curated(driver, "--recipe", root / "recipe.yaml", "--input", root / "in", "--out", out)
    return done, rows_of(out), out


@pytest.mark.parametrize("name", BAD)
def test_bad_source(everything, name):
    verdict, reason, _ = BAD[name]
    row = everything[1][name.rsplit(".", 1)[0]]
    assert (row["verdict"], row["reason"]) == (verdict, reason), row["detail"]
    assert row["detail"]
    assert "\n" not in row["detail"]


@pytest.mark.parametrize("name", WELL)
def test_odd_but_well(everything, name):
    row = everything[1][name.rsplit(".", 1)[0]]
    assert (row["verdict"], row["reason"]) == ("kept", None), row["detail"]


def test_who_ended_a_worker_is_tried_again_as_often_as_allowed(everything):
    rows = everything[1]
    assert rows["kill"]["detail"] == rows["hang"]["detail"] == "ended its worker 2 times"
    assert "decoder ended with signal SIGABRT" in rows["abort"]["detail"]


def test_missing_duplicate_and_lost_in_the_edit(everything):
    rows = everything[1]
    assert (rows["alone"]["verdict"], rows["alone"]["reason"]) == ("quarantined", "missing_half")
    again = [row for name, row in rows.items() if row["reason"] == "duplicate"]
    assert sorted(row["name"] for row in again) == ["good~2", "same-again"]
    assert (rows["walks-off"]["verdict"], rows["walks-off"]["reason"]) == ("rejected", "face_lost")


def test_everything_is_counted_and_nothing_else_is_said(everything):
    done, rows, out = everything
    verdicts = [row["verdict"] for row in rows.values()]
    kept, rejected, quarantined = (verdicts.count(verdict) for verdict in ("kept", "rejected", "quarantined"))
    assert f"{len(rows)} = {kept} kept + {rejected} rejected + {quarantined} quarantined" in done.stdout
    assert len(rows) == len(BAD) + len(WELL) + 4
    assert done.stderr == ""
    assert len((out / "metadata.jsonl").read_text().splitlines()) == kept == len(list((out / "kept" / "source").iterdir()))


def test_a_turned_pair_is_kept_upright(everything):
    _, rows, out = everything
    turned, good = (out / "kept" / "source" / f"{rows[name]['pair_id']}.mp4" for name in ("turned-90", "good"))
    with Decoder() as decoder:
        first, second = decoder.probe(turned), decoder.probe(good)
    assert (first.rotation, first.width, first.frames) == (0, second.width, second.frames)
