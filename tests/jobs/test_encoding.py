"""jobs/encoding.py on a real Ray: every clip has its row, a rerun does only what is new, and no way of failing leaves anything half-done."""

import io
import shutil
import subprocess
from contextlib import suppress

import pytest
import ray
import torch
from rich.console import Console

from jobs.encoding import encode, encode_set
from synclora.backbone.base import BackboneError
from synclora.backbone.find import find_backbone
from synclora.errors import Reason
from synclora.train.clips import EncodeResources, EncodeSettings
from synclora.train.curated import TrainSetError, read_set
from synclora.train.encoder import Encoder
from synclora.train.index import read_index
from synclora.train.latents import LatentStore
from tests.train.sets import add_pair, finish

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.usefixtures("driver"),
]  # whose workers die when they open `*kill*`

TINY = "tiny:ltx-video"
ONE = EncodeResources(actors=1)
SETTINGS = EncodeSettings(buckets=("128x128x17", "192x128x17"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A set of five good pairs, one that is too short, one whose edited half is missing and one that kills its worker."""
    folder = tmp_path_factory.mktemp("made")
    rows = [add_pair(folder, f"p{k}", tint=10 + 20 * k) for k in (3, 0, 4, 1)]
    rows += [add_pair(folder, "wide", size=(192, 128)), add_pair(folder, "short", frames=16)]
    rows += [add_pair(folder, "gone"), add_pair(folder, "kill", tint=33)]
    (folder / "kept" / "edited" / "gone.mp4").unlink()
    return finish(folder, rows)


@pytest.fixture(scope="module")
def done(driver, made, tmp_path_factory):
    """The set, encoded; and what was said."""
    out, said = tmp_path_factory.mktemp("done") / "out", io.StringIO()
    tally = encode_set(read_set(made), SETTINGS, TINY, out, console=Console(file=said, width=200))
    return out, tally, said.getvalue()


def files(out):
    return {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def latents(out):
    return {path: content for path, content in files(out).items() if path.suffix == ".safetensors"}


def test_every_clip_has_its_row(done):
    out, tally, said = done
    rows = {row.pair_id: row for row in read_index(out / "latents" / "index.parquet")}
    assert list(rows) == ["gone", "kill", "p0", "p1", "p3", "p4", "short", "wide"]
    assert tally.inputs == len(rows)
    assert tally.facts()["Clips"] == "8 = 5 encoded + 0 found + 3 dropped (1 crashed, 1 missing, 1 too_short)"
    assert "of the" in tally.facts()["Encoding"]
    assert (rows["gone"].reason, rows["gone"].detail) == (Reason.MISSING, "edited gone.mp4: no such file")
    assert (rows["kill"].reason, rows["kill"].detail) == (Reason.CRASHED, "ended its worker 2 times")
    assert rows["short"].reason is Reason.TOO_SHORT
    assert (rows["p0"].bucket, rows["wide"].bucket) == ("128x128x17", "192x128x17")
    assert len(latents(out)) == 5
    assert said.count("\n") == 8
    assert said.endswith("encoded 8 of 8: 5 encoded 0 found 3 dropped\n")


def test_it_gives_what_a_plain_loop_gives(done, made, tmp_path):
    out, _, _ = done
    encoder = Encoder(find_backbone(TINY), SETTINGS, LatentStore(tmp_path))
    found = {row.pair_id: row for row in read_index(out / "latents" / "index.parquet")}
    for sample in read_set(made):
        if sample.pair_id == "kill":
            continue
        row = encoder.encode(sample)
        assert (row.id, row.bucket, row.grid, row.fps, row.reason, row.detail) == tuple(
            getattr(found[sample.pair_id], name) for name in ("id", "bucket", "grid", "fps", "reason", "detail")
        )
        if row.id:
            ours, theirs = LatentStore(tmp_path).load(row.id), LatentStore(out / "latents").load(row.id)
            assert torch.allclose(ours.source_cfyx, theirs.source_cfyx, atol=1e-5)
            assert torch.allclose(ours.edited_cfyx, theirs.edited_cfyx, atol=1e-5)


def test_the_order_of_pairs_changes_no_byte(done, made, tmp_path):
    out, _, _ = done
    samples = [sample for sample in read_set(made) if sample.pair_id != "kill"]
    rows = list(encode(samples[::-1], SETTINGS, TINY, tmp_path, ONE))
    assert [row.pair_id for row in rows] == [sample.pair_id for sample in samples[::-1]]
    assert latents(tmp_path) == latents(out)


@pytest.fixture
def again(done, made, tmp_path):
    """Set and output, moved to other places, the killer taken out."""
    shutil.copytree(made, tmp_path / "set")
    shutil.copytree(done[0], tmp_path / "moved")
    return tmp_path / "set", tmp_path / "moved"


def copy_of(out, samples, other):
    """The latents of some pairs, as a run of them alone leaves them."""
    wanted = {sample.pair_id for sample in samples}
    for row in read_index(out / "latents" / "index.parquet"):
        if row.pair_id in wanted and row.id:
            (found,) = (out / "latents").rglob(f"{row.id}.safetensors")
            place = other / found.relative_to(out)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(found, place)


def plain(folder):
    return [sample for sample in read_set(folder) if sample.pair_id != "kill"]


def test_a_rerun_elsewhere_finds_everything_without_a_worker(again, monkeypatch):
    folder, out = again
    before = latents(out)
    monkeypatch.setattr(ray.data, "from_items", lambda *_, **__: pytest.fail("a worker was asked for"))
    tally = encode_set(plain(folder), SETTINGS, TINY, out, ONE)
    assert tally.facts()["Clips"] == "7 = 0 encoded + 5 found + 2 dropped (1 missing, 1 too_short)"
    assert tally.facts()["Encoding"] == "nothing: every clip was found"
    assert latents(out) == before
    index = (out / "latents" / "index.parquet").read_bytes()
    encode_set(plain(folder), SETTINGS, TINY, out, ONE)
    assert (out / "latents" / "index.parquet").read_bytes() == index
    for row in read_index(out / "latents" / "index.parquet"):
        assert row.outcome == "dropped" or LatentStore(out / "latents").load(row.id).facts.grid == row.grid


def test_a_new_pair_and_a_file_that_was_cut_off_are_all_that_is_encoded(again):
    folder, out = again
    before = latents(out)
    cut = out / next(path for path in before if path.suffix == ".safetensors")
    cut.write_bytes(before[cut.relative_to(out)][:-7])
    stamps = {path: (out / path).stat().st_mtime_ns for path in before}
    row = add_pair(folder, "new", tint=77)
    samples = [read_set(finish(folder / "more", [row]))[0], *plain(folder)]
    samples[0] = type(samples[0]).from_json(samples[0].to_json().replace("/more/", "/"))
    tally = encode_set(samples, SETTINGS, TINY, out, ONE)
    assert tally.facts()["Clips"] == "8 = 2 encoded + 4 found + 2 dropped (1 missing, 1 too_short)"
    after = latents(out)
    assert before.items() <= after.items()
    assert len(after) == len(before) + 1
    changed = {path for path in stamps if (out / path).stat().st_mtime_ns != stamps[path]}
    assert changed == {cut.relative_to(out)}
    assert not list(out.rglob(".*"))


def test_curated_puppets(puppets, tmp_path):
    """From the real first job: what it kept is encoded, several clips of each pair."""
    samples = read_set(puppets.out)
    settings = EncodeSettings(buckets=("128x128x9",), windows_per_pair=9)
    tally = encode_set(samples, settings, TINY, tmp_path, ONE)
    assert tally.facts()["Clips"] == "4 = 4 encoded + 0 found + 0 dropped"  # 25 frames: two windows of 9
    rows = read_index(tmp_path / "latents" / "index.parquet")
    assert [(row.pair_id, row.first_frame) for row in rows] == [
        (pair_id, first) for pair_id in sorted(sample.pair_id for sample in samples) for first in (0, 9)
    ]


def test_a_full_disk_costs_one_line_and_nothing_that_was_finished(made, done, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        samples = plain(made)
        copy_of(done[0], samples[:2], disk / "out")
        encode_set(samples[:2], SETTINGS, TINY, disk / "out", ONE)
        before = files(disk / "out")
        with (disk / "ballast").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4096)):
                pass
        with pytest.raises(OSError, match=r"^No space left on device[^\n]*$"):
            encode_set(samples, SETTINGS, TINY, disk / "out", ONE)
        assert files(disk / "out") == before
        (disk / "ballast").unlink()
        tally = encode_set(samples, SETTINGS, TINY, disk / "out", ONE)
        assert tally.facts()["Clips"].startswith("7 = 3 encoded + 2 found + 2 dropped")
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)  # a worker that is just ending may still hold a file


def test_a_set_of_which_nothing_can_be_encoded(made, tmp_path):
    samples = [sample for sample in read_set(made) if sample.pair_id == "gone"]
    with pytest.raises(TrainSetError) as error:
        encode_set(samples, SETTINGS, TINY, tmp_path, ONE)
    assert str(error.value) == "none of 1 clips could be encoded (first pair gone, missing: edited gone.mp4: no such file)"


def test_a_backbone_that_is_none_or_broken_is_one_line(made, tmp_path):
    with pytest.raises(BackboneError):
        encode_set(plain(made), SETTINGS, str(tmp_path / "nowhere"), tmp_path)
    copy = tmp_path / "copy"
    shutil.copytree(find_backbone(TINY).folder, copy)
    (weights,) = (copy / "vae").glob("*.safetensors")
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises((TrainSetError, BackboneError)) as error:
        encode_set(plain(made), SETTINGS, str(copy), tmp_path, ONE)
    assert str(error.value).startswith(f"backbone {copy}: ")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.glob("latents/**/*.safetensors"))
