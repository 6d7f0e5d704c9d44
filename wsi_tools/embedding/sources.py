"""Where weights are found: a file, a folder, the caches of the hub and of torch, the network.

A cache is asked before the network, and the network only if it answers within seconds. Weights
are never made up: what is not found is an `UnavailableError` with the lines that mend it.
"""

import re
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
)

from wsi_tools.embedding.cards import Card
from wsi_tools.embedding.weights import sha256_of
from wsi_tools.errors import UnavailableError, WeightsError

__all__ = ["CONFIG", "WeightsFile", "fetch_from_hub", "fetch_from_url", "given_weights"]

CONFIG = "config.json"  # timm's description of a model, beside its weights
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the hub's names, the preferred one first

_PATIENCE = 5.0  # seconds for a host to answer; a firewall that drops packets says nothing at all


@dataclass(frozen=True)
class WeightsFile:
    """A file of weights that was found.

    Attributes:
        path: where it lies.
        source: what a store remembers of where it came from; no path of this machine.
        revision: the commit of the hub's repository, where it came from one.
    """

    path: Path
    source: str
    revision: str | None = None

    @property
    def config(self) -> Path:
        """The description that timm writes beside the weights; it may not exist."""
        return self.path.parent / CONFIG


def given_weights(weights: Path) -> WeightsFile:
    """A file, or the one file of weights in a folder (a hub snapshot, timm's local-dir layout).

    Raises:
        WeightsError: there is no such file or folder, or no single file of weights in it.
    """
    if not weights.exists():
        raise WeightsError(f"{weights}: no such file or folder")
    path = _in_folder(weights) if weights.is_dir() else weights
    return WeightsFile(path, f"file:{path.name}", _snapshot(path))


def _in_folder(folder: Path) -> Path:
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    kinds = (".safetensors", ".bin", ".pt", ".pth")
    found = sorted(path for path in folder.iterdir() if path.suffix in kinds)
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise WeightsError(f"{folder}: one file of weights was expected; found: {names}")
    return found[0]


def _snapshot(path: Path) -> str | None:
    """The commit, if the file lies in a snapshot of the hub's cache."""
    return path.parent.name if path.parent.parent.name == "snapshots" else None


def fetch_from_hub(
    card: Card, repository: str, names: Sequence[str] = WEIGHTS, *, offline: bool
) -> WeightsFile:
    """The first of these files that a repository of the hub holds, from the cache if it is there.

    HF_HOME, HF_TOKEN, HF_ENDPOINT and HF_HUB_OFFLINE are honoured.

    Raises:
        UnavailableError: it is not in the cache, and offline, unreachable or gated.
    """
    path = _cached(card, repository, names)
    if path is None:
        path = _downloaded(card, repository, names, offline=offline)
    return WeightsFile(path, f"hf-hub:{repository}/{path.name}", _snapshot(path))


def _cached(card: Card, repository: str, names: Sequence[str]) -> Path | None:
    # Not hf_hub_download(local_files_only=True), which may still ask the network who is calling.
    found = (try_to_load_from_cache(repository, name, revision=card.revision) for name in names)
    return next((Path(path) for path in found if isinstance(path, str)), None)


def _downloaded(card: Card, repository: str, names: Sequence[str], *, offline: bool) -> Path:
    if offline or constants.HF_HUB_OFFLINE:
        raise _unavailable(card, "not in the local cache, and offline", repository)
    if not _answers(constants.ENDPOINT):  # the hub's own retries would take half a minute
        raise _unavailable(card, f"{constants.ENDPOINT} does not answer", repository)
    try:
        return _first_on_hub(card, repository, names)
    except (GatedRepoError, RepositoryNotFoundError) as error:  # the latter hides private ones
        refused = replace(card, gated=True, licence=card.licence or "as stated there")
        raise _unavailable(refused, "access is not granted", repository) from error
    except EntryNotFoundError as error:
        raise _unavailable(card, f"{repository} holds no {names[-1]}", repository) from error
    except (HfHubHTTPError, OSError) as error:
        raise _unavailable(card, f"the download failed: {error}", repository) from error


def _first_on_hub(card: Card, repository: str, names: Sequence[str]) -> Path:
    *preferred, last = names
    for name in preferred:
        with suppress(EntryNotFoundError):
            return Path(hf_hub_download(repository, name, revision=card.revision))
    return Path(hf_hub_download(repository, last, revision=card.revision))


def _answers(url: str) -> bool:
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_PATIENCE):  # proxies are honoured
            return True
    except HTTPError as error:  # it answers, if only to say no
        error.close()
        return True
    except (OSError, HTTPException):
        return False


def fetch_from_url(card: Card, url: str, folder: Path, *, offline: bool) -> WeightsFile:
    """A published file, from torch's cache folder, or downloaded into it.

    Raises:
        UnavailableError: it is not in the folder, and offline or unreachable.
        WeightsError: the download is not the file that its name promises.
    """
    path = folder / PurePosixPath(urlsplit(url).path).name
    if not path.is_file():
        if offline:
            raise _unavailable(card, f"{path.name} is not in {folder}, and offline")
        _download(card, url, path)
    return WeightsFile(path, f"url:{path.name}")


def _download(card: Card, url: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        part = Path(folder) / path.name
        try:
            with urlopen(url, timeout=_PATIENCE) as answer, part.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (OSError, HTTPException) as error:
            raise _unavailable(card, f"{url} cannot be had: {error}") from error
        _check_promise(part)
        part.replace(path)


def _check_promise(path: Path) -> None:
    """Published names may end in the first digits of their SHA-256, as in name-1a2b3c4d.pth."""
    promise = re.search(r"-([0-9a-f]{8,})$", path.stem)
    if promise and not sha256_of(path).startswith(promise[1]):
        raise WeightsError(f"{path.name}: the download is damaged; try again")


def _unavailable(card: Card, why: str, repository: str | None = None) -> UnavailableError:
    embed = f"wsitools embed PROJECT --backbone {card.name}"
    lines = [f"{card.name}: no weights: {why}; to go on, either"]
    if card.gated:
        lines.append(f"  accept the licence ({card.licence}) at {card.page}, then")
        lines.append(f"  HF_TOKEN=hf_... {embed}")
    if repository:
        lines.append(
            f"  hf download {repository} --local-dir DIR   (where the hub is reached), then"
        )
        lines.append(f"  {embed} --weights DIR")
    lines.append(f"  {embed} --weights FILE")
    return UnavailableError("\n".join(lines))
