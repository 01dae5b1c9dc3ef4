"""Recipes are values: frozen models that forbid unknown fields, read from one commented YAML and stored with every output.

Each room owns its own settings class, derived from `Settings`; a job's recipe nests them.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from synclora.errors import SyncLoraError


class RecipeError(SyncLoraError):
    """A recipe that cannot be used: names the field, the value, the rule and the remedy."""


class Settings(BaseModel):
    """Base of every settings class: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def fingerprint(self) -> str:
        """Twelve hex digits that change when any field changes."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @classmethod
    def from_yaml(cls, path: Path) -> Self:
        """Read a recipe.

        Raises:
            RecipeError: the file is missing, is no YAML mapping, or a field breaks its rule.
        """
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise RecipeError(f"recipe {path}: {error.strerror}; give --recipe an existing YAML file") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise RecipeError(f"recipe {path}: not YAML ({' '.join(str(error).split())})") from error
        values = {} if values is None else values  # an empty recipe changes nothing
        if not isinstance(values, dict):
            raise RecipeError(f"recipe {path}: expected a mapping of settings, found {type(values).__name__}")
        return cls.from_values(values, str(path))

    @classmethod
    def from_values(cls, values: dict[str, Any], origin: str) -> Self:
        """Validate plain values; `origin` names them in the error."""
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RecipeError(f"recipe {origin}: {_one_line(error)}") from error


def _one_line(error: ValidationError) -> str:
    parts = []
    for problem in error.errors():
        field = ".".join(str(part) for part in problem["loc"]) or "recipe"
        if problem["type"] == "extra_forbidden":
            parts.append(f"{field}: no such setting; remove it or correct its name")
        else:
            parts.append(f"{field} = {problem['input']!r}: {problem['msg'].lower()}")
    return "; ".join(parts)
