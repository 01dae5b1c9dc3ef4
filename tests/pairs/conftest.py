"""A folder of small files. Nothing in the readers decodes, so any bytes will do."""

from collections.abc import Callable
from pathlib import Path

import pytest

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make files below `tmp_path / "in"`; a name with a text is `(name, text)`."""

    def make(*files: str | tuple[str, str]) -> Path:
        root = tmp_path / "in"
        root.mkdir(exist_ok=True)
        for file in files:
            name, text = (file, "bytes") if isinstance(file, str) else file
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return root

    return make
