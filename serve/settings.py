"""Settings of the service: arguments of `serve run serve.app:app name=value`, or `args:` of a Serve config file."""

from pathlib import Path

from pydantic import Field

from synclora.backbone.folder import EMBEDDED, adapters_of
from synclora.edit.library import AdapterLibrary, usual_adapter
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

    backbone: str = EMBEDDED
    revision: str | None = None
    adapters: Path | None = None
    """Folder of adapters: NAME/ as a training run leaves them, or NAME.safetensors. None: `data`/adapters."""
    default_adapter: str | None = None
    """Of a request that names none; None: the one that comes with the backbone, else `none`, the bare model."""
    edit: EditSettings = EditSettings()
    editor: str = "synclora.edit.editor:Editor"
    """Module and class of the editor; another one for load tests."""

    media: MediaLimits = MediaLimits(max_bytes=512 * 1024**2, max_seconds=60.0)
    """What a source may be: half a gigabyte is a minute of a phone's best."""
    max_picture_bytes: int = Field(default=32 * 1024**2, gt=0)
    upload_s: float = Field(default=900.0, gt=0)
    """From the first byte of an upload to the last: half a gigabyte at 5 Mbit/s."""
    upload_idle_s: float = Field(default=30.0, gt=0)
    """An upload that is silent for so long is ended."""
    probes: int = Field(default=2, ge=1)
    """Uploads that one door opens at the same time, each in a confined child of up to `media.memory_mb`."""
    keep_alive_s: float = Field(default=15.0, gt=0)
    """Silence on an event stream, before a comment is sent; proxies close at 30 to 60."""
    poll_s: float = Field(default=0.2, gt=0)
    """How often a door looks into the table for all who watch."""
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
    captions_gpus: float = Field(default=0.0, ge=0)
    """Of the text encoder; without one it runs on the CPU: seconds for a caption, which is then kept for good."""
    adapters_per_replica: int = Field(default=4, ge=1)
    idle_s: float = Field(default=60.0, ge=0)
    """An editor without work goes after so long."""
    drain_s: float = Field(default=300.0, ge=0)
    """An editor that has to go, in an update or a scale-down, may work on its job for so long, then gives it back."""
    stuck_s: float = Field(default=900.0, gt=0)
    """An edit that reports nothing for so long is taken for stuck and its editor started anew: decoding a minute on a CPU takes less."""
    door_replicas: int = Field(default=1, ge=1)
    """Processes that answer HTTP."""

    @property
    def database_url(self) -> str:
        """`database`, or the SQLite file in `data`."""
        return self.database or f"sqlite:///{self.data.absolute() / 'jobs.sqlite'}"

    @property
    def files_root(self) -> str:
        """`files`, or the folder in `data`."""
        return self.files or str(self.data.absolute() / "files")

    @property
    def adapters_folder(self) -> Path:
        """`adapters`, or the folder in `data`."""
        return self.adapters or self.data.absolute() / "adapters"

    @property
    def library(self) -> AdapterLibrary:
        """The adapters to choose of: the service's, and those that come with the backbone."""
        shipped = adapters_of(self.backbone)
        return AdapterLibrary(self.adapters_folder, *([shipped] if shipped else ()))

    @property
    def usual_adapter(self) -> str:
        """`default_adapter`, or the backbone's own."""
        return usual_adapter(adapters_of(self.backbone)) if self.default_adapter is None else self.default_adapter
