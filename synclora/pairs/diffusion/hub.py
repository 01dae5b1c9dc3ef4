"""A model of the hub: what its repository holds, looked up without its weights, and fetched once per machine.

Through huggingface_hub, so that HF_ENDPOINT, HF_HOME, HF_TOKEN and HF_HUB_OFFLINE mean what they mean elsewhere.
Without the hub, a whole copy in its cache will do.
"""

import fcntl
import hashlib
import logging
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from synclora.backbone.shared import cache_folder
from synclora.pairs.diffusion.index import INDEX, Files, FolderFiles, ModelError

_LOG = logging.getLogger(__name__)
_PATIENCE_S = 30.0  # for an answer about a repository, which is a second's work
_WHY_CHARS = 200  # of a library's message, which can hold a whole request


class HubSilentError(ModelError):
    """The hub was not reached, or gave no answer that says what is wrong with the model."""


@dataclass(frozen=True)
class Repository:
    """One commit of a repository.

    Attributes:
        name: hub id.
        commit: 40 hex digits.
        files: in it; read from the cache, or fetched into it.
        folder: a copy in this machine's cache, perhaps of some of its files; None while there is none.
        is_online: whether the hub was reached; else the copy is all that is known of it.
    """

    name: str
    commit: str
    files: Files
    folder: Path | None
    is_online: bool


class _HubFiles:
    """Of a repository at one commit.

    Attributes:
        sizes: as the hub lists them.
    """

    def __init__(self, name: str, commit: str, sizes: Mapping[str, int]) -> None:
        self._name, self._commit, self.sizes = name, commit, sizes

    def read(self, name: str) -> bytes:
        """A small file's content, through the cache.

        Raises:
            ModelError: the hub does not give it.
        """
        from huggingface_hub import hf_hub_download

        try:
            with _no_bars():
                return Path(hf_hub_download(self._name, name, revision=self._commit)).read_bytes()
        except Exception as error:  # whatever the library and the ones below it raise
            raise _refusal(self._name, self._commit, error) from error


def find_repository(name: str, revision: str | None) -> Repository:
    """Look a model up.

    Raises:
        ModelError: the hub has none of that name or revision, gives none to us, or cannot be reached while no copy lies in its cache.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        commit = api.resolve_revision(name, revision=revision).resolved
    except Exception as error:
        raise _refusal(name, revision, error) from error
    try:
        listed = api.model_info(name, revision=commit, files_metadata=True, timeout=_PATIENCE_S).siblings or []
    except Exception as error:
        if (folder := cached_folder(name, commit)) is None:
            raise _refusal(name, revision, error) from error
        return Repository(name, commit, FolderFiles(folder), folder, is_online=False)
    sizes = {file.rfilename: file.size or 0 for file in listed}
    return Repository(name, commit, _HubFiles(name, commit, sizes), cached_folder(name, commit), is_online=True)


def cached_folder(name: str, commit: str) -> Path | None:
    """Where this machine keeps that commit; some files may be missing."""
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, INDEX, revision=commit)
    return Path(found).parent if isinstance(found, str) else None


def fetch_repository(name: str, commit: str, files: Sequence[str]) -> Path:
    """Bring files to this machine's cache; one process fetches, the others wait for it and find them there.

    What an earlier fetch that was cut off had brought is kept, file by file.

    Args:
        name: hub id.
        commit: of the repository.
        files: to bring; nothing else is.

    Raises:
        ModelError: they cannot be had.
    """
    from huggingface_hub import snapshot_download

    with _one_at_a_time(f"{name}@{commit}"):
        folder = cached_folder(name, commit)
        if folder is not None and all((folder / file).is_file() for file in files):
            return folder
        try:
            with _no_bars():
                folder = Path(snapshot_download(name, revision=commit, allow_patterns=list(files)))
        except Exception as error:
            raise _refusal(name, commit, error) from error
    if missing := [file for file in files if not (folder / file).is_file()]:
        raise ModelError(f"model {name}: {missing[0]} did not come with the rest of {commit[:12]}; fetch it again")
    return folder


def count_parameters(name: str, commit: str, weights: Sequence[str]) -> int:
    """Numbers in a repository's weights, from the first bytes of each file; 0 where the hub does not tell."""
    from concurrent.futures import ThreadPoolExecutor

    from huggingface_hub import HfApi

    api = HfApi()

    def count(file: str) -> int:
        found = api.parse_safetensors_file_metadata(name, file, revision=commit, timeout=_PATIENCE_S)
        return sum(found.parameter_count.values())

    try:
        with ThreadPoolExecutor(8) as threads:  # a model is cut into up to thirty files, each a round trip
            return sum(threads.map(count, weights))
    except Exception as error:
        _LOG.warning("model %s: its size is not known (%s)", name, _why(error))
        return 0


def _refusal(name: str, revision: str | None, error: Exception) -> ModelError:
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, GatedRepoError):
        return ModelError(f"model {name}: the hub gives it only to who accepted its terms; accept them there, and set HF_TOKEN")
    if isinstance(error, RevisionNotFoundError):
        return ModelError(f"model {name}: the hub has no revision {revision} of it; correct `revision`")
    if isinstance(error, (RepositoryNotFoundError, HFValidationError)):
        return ModelError(
            f"model {name}: no such folder, and no such model on the hub; correct `model`, or set HF_TOKEN if it is private"
        )
    return HubSilentError(
        f"model {name}: the hub does not give it, and no whole copy lies in its cache ({_why(error)}); give a local folder"
    )


def _why(error: BaseException) -> str:
    return textwrap.shorten(str(error), _WHY_CHARS, placeholder=" …") or type(error).__name__


@contextmanager
def _one_at_a_time(name: str) -> Iterator[None]:
    """A lock of this machine. It is free as soon as who holds it ends, however that was."""
    folder = cache_folder() / "fetch"
    folder.mkdir(parents=True, exist_ok=True)
    lock = os.open(
        folder / f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


@contextmanager
def _no_bars() -> Iterator[None]:
    """Without the library's progress bars, which many workers would draw over each other."""
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    if are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
