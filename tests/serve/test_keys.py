"""Bearer keys and their command line."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from serve.keys import KeyRing, main, new_key, write_keys
from synclora.settings import RecipeError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.yaml"


def test_a_key_opens_for_its_owner_and_no_other_does(path: Path) -> None:
    (anna, one), (bert, two) = new_key("anna", max_queued=3, adapters=("may",)), new_key("bert")
    write_keys(path, (one, two))
    ring = KeyRing(path)
    assert len(ring) == 2
    for header in (f"Bearer {anna}", f"bearer  {anna} "):
        found = ring.owner(header)
        assert found is not None
        assert (found.name, found.max_queued, found.per_minute) == ("anna", 3, None)
        assert (found.may_use("may"), found.may_use("june")) == (True, False)
    found = ring.owner(f"Bearer {bert}")
    assert found is not None
    assert (found.name, found.may_use("june")) == ("bert", True)


CLOSED = [
    None,
    "",
    "Bearer",
    "Bearer ",
    "{key}",
    "Basic {key}",
    "Bearer {key}x",
    "Bearer x{key}",
    "Bearer {key} {key}",
    "Bearer {hash}",
]
CLOSED += ["Bearer é", "Bearer\n{key}", "Bearer " + "x" * 9999]


@pytest.mark.parametrize("header", CLOSED)
def test_headers_that_open_nothing(path: Path, header: str | None) -> None:
    secret, key = new_key("anna")
    write_keys(path, (key,))
    assert KeyRing(path).owner(header and header.replace("{key}", secret).replace("{hash}", key.sha256)) is None


def test_the_file_holds_no_key_and_is_its_owners_alone(path: Path) -> None:
    secret, key = new_key("anna")
    write_keys(path, (key,))
    assert secret not in path.read_text()
    assert secret.removeprefix("slk_")[:12] not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [one.name for one in path.parent.iterdir()] == ["keys.yaml"]


def test_a_change_is_seen_at_once_and_a_broken_one_is_not_taken(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (anna, one), (bert, two) = new_key("anna"), new_key("bert")
    write_keys(path, (one,))
    ring = KeyRing(path)
    write_keys(path, (two,))
    assert (ring.owner(f"Bearer {anna}"), getattr(ring.owner(f"Bearer {bert}"), "name", None)) == (None, "bert")
    path.write_text("keys: [{name: anna}]")
    assert ring.owner(f"Bearer {bert}") is not None
    assert "keys stay as they were" in capsys.readouterr().err
    path.unlink()
    assert ring.owner(f"Bearer {bert}") is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: [{name: anna, sha256: short}]", "sha256"),
        ("keys: [{name: '../x', sha256: " + "0" * 64 + "}]", "name"),
        ("keys: [{name: anna, key: secret, sha256: " + "0" * 64 + "}]", "no such setting"),
        ("keys: {anna: x}", "keys"),
        ("[", "not YAML"),
    ],
)
def test_a_file_that_cannot_be_used_is_said_on_one_line(path: Path, text: str, said: str) -> None:
    path.write_text(text)
    with pytest.raises(RecipeError, match=said) as error:
        KeyRing(path)
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there(path: Path) -> None:
    with pytest.raises(RecipeError, match="No such file"):
        KeyRing(path)


def test_an_unknown_key_takes_as_long_as_the_last(path: Path) -> None:
    """Every key is compared, whatever was found: no early way out to be measured."""
    made = [new_key(f"owner{number}") for number in range(300)]
    write_keys(path, tuple(key for _, key in made))
    ring = KeyRing(path)

    def seconds(header: str) -> float:
        best = 1.0
        for _ in range(30):
            began = time.perf_counter()
            ring.owner(header)
            best = min(best, time.perf_counter() - began)
        return best

    first, last, none = (seconds(f"Bearer {secret}") for secret in (made[0][0], made[-1][0], "x" * len(made[0][0])))
    assert max(first, last, none) < 1.5 * min(first, last, none)


def test_the_command_line(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--file", str(path)]
    added = subprocess.run(
        [sys.executable, "-m", "serve.keys", "add", "anna", *file, "--per-minute", "10", "--adapter", "may"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    secret = added.stdout.strip()
    found = KeyRing(path).owner(f"Bearer {secret}")
    assert found is not None
    assert (found.name, found.per_minute, found.adapters, added.stderr) == ("anna", 10, ("may",), "")
    assert main(["add", "bert", *file]) == 0
    assert main(["add", "anna", *file]) == 0  # a second one, while the first is replaced
    capsys.readouterr()
    assert main(["list", *file]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["anna", "bert", "anna"]
    assert "per_minute=10" in listed[0]
    assert secret not in "".join(listed)
    assert main(["remove", "anna", *file]) == 0
    assert KeyRing(path).owner(f"Bearer {secret}") is None
    assert len(KeyRing(path)) == 1


def test_what_the_command_line_refuses(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = ["--file", str(path)]
    for command in (["remove", "nobody"], ["add", "../x"], ["add", "anna", "--per-minute", "0"]):
        assert main([*command, *file]) == 2
        assert capsys.readouterr().err.count("\n") == 1
        assert not path.exists()
