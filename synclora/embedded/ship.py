"""Put trained weights into the package, checked, with a card.

    python -m synclora.embedded.ship --backbone OUT --gate OUT/gate.json
    python -m synclora.embedded.ship --backbone OUT --adapter sync-lora=out/train/adapter \\
        --adapter sync-lora-causal-source=out/train-causal/adapter --gate out/gate/gate.json --numbers out/numbers/numbers.md

OUT is a whole backbone: vae, transformer, caption.safetensors, model.json. What is not given is not shipped: an adapter belongs to the weights
that it was trained on. Adapters are shipped in float16, without their file for ComfyUI, under the name of the backbone that they come with.
The folder before is replaced as a whole.
"""

import argparse
import json
import os
import re
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from synclora.backbone.folder import ADAPTERS, CAPTION_FILE, EMBEDDED, MODEL_FILE, PARTS, embedded_folder
from synclora.command import Parser, one_line
from synclora.embedded.shipping.card import card
from synclora.embedded.shipping.checks import Adapter, Models, ShipError, check_adapter, check_models, check_size
from synclora.errors import SyncLoraError
from synclora.train.adapter import COMFYUI_FILE, save_adapter
from synclora.train.card import write_card

_KEPT = ("Steps", "Picture", "Given", "Loss", "Held out")
"""Of the table in a training run's own card: what is not of one machine."""
_ROW = re.compile(r"^\| (.+?) \| (.+) \|$", re.MULTILINE)


def ship(
    models: Models,
    adapters: Sequence[Adapter],
    to: Path,
    *,
    gate: dict[str, Any] | None = None,
    numbers: str | None = None,
) -> None:
    """Copy what passed, with a card; the folder is there whole, or as it was.

    Raises:
        SyncLoraError: it is no folder of weights, or a file became too large.
        OSError: it cannot be written.
    """
    if to.exists() and (not to.is_dir() or (any(to.iterdir()) and not (to / MODEL_FILE).is_file())):
        raise ShipError(f"--to {to}: not empty and no folder of weights; choose another one")
    text = card(models, adapters, gate=gate, numbers=numbers)
    to.parent.mkdir(parents=True, exist_ok=True)
    scratch = to.with_name(f".{to.name}.{os.getpid()}.part")
    try:
        for part in PARTS:
            (scratch / part).mkdir(parents=True)
        for file in models.files:
            _copy(file, scratch / file.relative_to(models.folder))
        for name in (CAPTION_FILE, MODEL_FILE):
            shutil.copyfile(models.folder / name, scratch / name)
        for adapter in adapters:
            _put(adapter, scratch / ADAPTERS / adapter.name)
        (scratch / "README.md").write_text(text, encoding="utf-8")
        for file in scratch.rglob("*.safetensors"):
            check_size(file)
        _swap(scratch, to)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _copy(file: Path, to: Path) -> None:
    """As it is; a configuration without the place that it was loaded from."""
    if file.name != "config.json":
        shutil.copyfile(file, to)
        return
    config = json.loads(file.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    to.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _put(adapter: Adapter, folder: Path) -> None:
    save_adapter(folder, adapter.state, adapter.metadata)
    (folder / COMFYUI_FILE).unlink()
    title = f"Sync-LoRA for the {EMBEDDED} backbone"
    write_card(folder, adapter.metadata, _facts(adapter.folder), license_id="apache-2.0", title=title, comfyui=False)


def _facts(folder: Path) -> dict[str, str | int | float]:
    """What the training run's own card says of its course."""
    try:
        text = (folder / "README.md").read_text(encoding="utf-8")
    except OSError:
        return {}
    return {name: fact.replace("\\|", "|") for name, fact in _ROW.findall(text) if name in _KEPT}


def _swap(scratch: Path, to: Path) -> None:
    """The new folder in the place of the old one, which comes back if that fails."""
    old = to.with_name(f".{to.name}.{os.getpid()}.old")
    if to.exists():
        to.rename(old)
    try:
        scratch.rename(to)
    except OSError:
        if old.exists():
            old.rename(to)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _read(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ShipError(f"{what} {path}: {error.strerror}; give an existing file") from error
    except ValueError as error:
        raise ShipError(f"{what} {path}: no text ({error}); make it again") from error


def _gate(path: Path | None) -> dict[str, Any] | None:
    if path is None:
        return None
    try:
        gate = json.loads(_read(path, "--gate"))
    except ValueError as error:
        raise ShipError(f"--gate {path}: no JSON ({error}); make it again") from error
    if not isinstance(gate, dict) or not {"open", "findings", "clips"} <= gate.keys():
        raise ShipError(f"--gate {path}: not what synclora.embedded.gate writes; give its gate.json")
    return gate


def _numbers(path: Path | None, models: Models) -> str | None:
    if path is None:
        return None
    text = _read(path, "--numbers")
    if f"weights {models.digest}" not in text:
        raise ShipError(f"--numbers {path}: not measured on these weights, {models.digest}; measure them")
    return text


def _named(words: Sequence[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for word in words:
        name, equals, folder = word.partition("=")
        if not equals or not folder or name in found:
            raise ShipError(f"--adapter {word}: write NAME=DIR, each name once")
        found[name] = Path(folder)
    return found


def main(argv: list[str]) -> int:
    """Exit status 0, or 2 with one line on stderr."""
    try:
        asked = _parse(argv)
        named, gate = _named(asked.adapter), _gate(asked.gate)
        models = check_models(asked.backbone)
        numbers = _numbers(asked.numbers, models)
        adapters = [check_adapter(name, folder, models) for name, folder in named.items()]
        ship(models, adapters, asked.to, gate=gate, numbers=numbers)
        size = sum(file.stat().st_size for file in asked.to.rglob("*") if file.is_file())
    except (SyncLoraError, OSError) as error:
        print(f"synclora.embedded.ship: {one_line(error)}", file=sys.stderr)
        return 2
    print(f"{asked.to}: {size / 1e6:.1f} MB, digest {models.digest}, adapters {', '.join(named) or 'none'}")
    return 0


def _parse(argv: list[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m synclora.embedded.ship", description="Check trained weights and put them into the package.")
    add = parser.add_argument
    add(
        "--backbone",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder with vae, transformer, caption.safetensors, model.json",
    )
    add(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="trained on OUT by jobs/train.py: sync-lora, sync-lora-causal-source; repeatable",
    )
    add("--gate", type=Path, metavar="FILE", help="the autoencoder's gate.json, for the card")
    add("--numbers", type=Path, metavar="FILE", help="numbers.md of synclora.embedded.measure, for the card")
    add("--to", type=Path, default=embedded_folder(), metavar="DIR", help="default: the package's own folder")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
