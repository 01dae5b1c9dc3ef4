"""From values to a page that needs nothing but itself: `write_page(out, render("curation.html", title="…"))`."""

import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from synclora.report.words import count, number


def render(template: str, **values: Any) -> str:
    """A page of this folder's templates. Every value is escaped unless it is `Markup`; a name that is not given is an error."""
    environment = Environment(
        loader=PackageLoader("synclora", "report"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"count": count, "number": number}
    return environment.get_template(template).render(values)


def write_page(out: Path, page: str) -> None:
    """Write the page under a temporary name, then rename.

    Raises:
        OSError: the file cannot be written; an older one stays.
    """
    scratch = out.with_name(f".{out.name}.part")
    try:
        with scratch.open("w", encoding="utf-8", newline="\n") as file:
            file.write(page)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(out)
    finally:
        scratch.unlink(missing_ok=True)
