"""Settings of the service: arguments of `serve run serve.app:app name=value`, or `args:` of a Serve config file."""

from pathlib import Path

from pydantic import Field

from synclora.edit.settings import EditSettings
from synclora.media.settings import MediaLimits
from synclora.settings import Settings


class ServiceSettings(Settings):
    """The whole service."""

    data: Path = Path("out/serve")
    """Local folder for the job table and the files, where nothing else is said."""
    database: str = ""
    """SQLAlchemy URL; empty: SQLite in `data`, which needs all processes on one machine. Several nodes need postgresql+psycopg://…"""
    files: str = ""
    """Folder or pyarrow URL (s3://…, gs://…) for sources and edits; empty: a folder in `data`."""
    keys: Path | None = None
    """YAML of bearer keys (`keys.py`). Without it the service answers this machine alone."""

    backbone: str = "tiny:ltx-video"
    revision: str | None = None
    adapters: Path | None = None
    """Folder of adapters: NAME/ as a training run leaves them, or NAME.safetensors. None: `data`/adapters."""
    default_adapter: str = "none"
    edit: EditSettings = EditSettings()
    editor: str = "synclora.edit.editor:Editor"
    """Module and class of the editor; another one for load tests."""

    media: MediaLimits = MediaLimits(max_bytes=512 * 1024**2, max_seconds=60.0)
    """What a source may be: half a gigabyte is a minute of a phone's best."""
    max_picture_bytes: int = Field(default=32 * 1024**2, gt=0)
    max_queued: int = Field(default=1000, ge=1)
    """Jobs that wait; beyond them 429."""
    deadline_s: float = Field(default=3600.0, gt=0)
    """From acceptance to the end; then the job fails."""
    lease_s: float = Field(default=15.0, gt=0.5)
    """A job whose worker says nothing for so long is taken up by another. Workers report three times as often."""
    max_starts: int = Field(default=5, ge=1)
    """A job that ended its worker so often fails as crashed."""
    keep_s: float = Field(default=7 * 86400.0, gt=0)
    """Finished jobs and their files are removed after so long."""

    min_replicas: int = Field(default=0, ge=0)
    """Editors that stay when nothing waits."""
    max_replicas: int = Field(default=2, ge=1)
    editor_gpus: float = Field(default=0.0, ge=0)
    editor_cpus: float = Field(default=1.0, gt=0)
    adapters_per_replica: int = Field(default=4, ge=1)
    idle_s: float = Field(default=60.0, ge=0)
    """An editor without work goes after so long."""
