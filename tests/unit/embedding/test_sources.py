import hashlib
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from huggingface_hub import constants

from wsi_tools.embedding import sources
from wsi_tools.embedding.cards import find_card
from wsi_tools.errors import UnavailableError, WeightsError

REVISION = "0123456789abcdef0123456789abcdef01234567"


def hub_cache(cache, repository, **files):
    """A repository as huggingface_hub keeps it: refs, blobs, and snapshots that link to them."""
    home = cache / f"models--{repository.replace('/', '--')}"
    for folder in ("refs", "blobs", f"snapshots/{REVISION}"):
        (home / folder).mkdir(parents=True)
    (home / "refs" / "main").write_text(REVISION)
    for name, content in files.items():
        digest = hashlib.sha256(content).hexdigest()
        (home / "blobs" / digest).write_bytes(content)
        (home / "snapshots" / REVISION / name).symlink_to(f"../../blobs/{digest}")
    return home / "snapshots" / REVISION


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*address, **_):
        pytest.fail(f"a socket was opened: {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_hubs_cache_is_found_without_a_network(cache, name):
    snapshot = hub_cache(cache, "MahmoodLab/UNI", **{name: b"weights"})
    found = sources.fetch_from_hub(find_card("uni"), "MahmoodLab/UNI", offline=True)
    assert found == sources.WeightsFile(snapshot / name, f"hf-hub:MahmoodLab/UNI/{name}", REVISION)


@pytest.mark.usefixtures("no_network")
def test_the_cache_is_asked_before_the_network(cache):
    hub_cache(cache, "MahmoodLab/UNI", **{"pytorch_model.bin": b"weights"})
    found = sources.fetch_from_hub(find_card("uni"), "MahmoodLab/UNI", offline=False)
    assert found.revision == REVISION


@pytest.mark.slow
def test_hf_home_says_where_the_cache_is(tmp_path):
    hub_cache(tmp_path / "hub", "MahmoodLab/UNI", **{"pytorch_model.bin": b"weights"})
    program = (
        "from wsi_tools.embedding.cards import find_card;"
        "from wsi_tools.embedding.sources import fetch_from_hub;"
        "print(fetch_from_hub(find_card('uni'), 'MahmoodLab/UNI', offline=True).path.read_text())"
    )
    environment = os.environ | {"HF_HOME": str(tmp_path)}
    environment.pop("HF_HUB_CACHE", None)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("weights\n", "")


@pytest.mark.usefixtures("no_network", "cache")
def test_offline_a_gated_backbone_says_exactly_what_to_type():
    with pytest.raises(UnavailableError) as unavailable:
        sources.fetch_from_hub(find_card("uni"), "MahmoodLab/UNI", offline=True)
    assert str(unavailable.value).splitlines() == [
        "uni: no weights: not in the local cache, and offline; to go on, either",
        "  accept the licence (CC-BY-NC-ND-4.0) at https://huggingface.co/MahmoodLab/UNI, then",
        "  HF_TOKEN=hf_... wsitools embed PROJECT --backbone uni",
        "  hf download MahmoodLab/UNI --local-dir DIR   (where the hub is reached), then",
        "  wsitools embed PROJECT --backbone uni --weights DIR",
        "  wsitools embed PROJECT --backbone uni --weights FILE",
    ]


@pytest.mark.usefixtures("no_network", "cache")
def test_the_hubs_own_offline_switch_is_honoured(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UnavailableError, match="not in the local cache, and offline"):
        sources.fetch_from_hub(find_card("uni"), "MahmoodLab/UNI", offline=False)


@pytest.mark.usefixtures("cache")
def test_a_hub_that_refuses_connections_is_given_up_within_seconds(monkeypatch):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # the discard port
    began = time.monotonic()
    with pytest.raises(UnavailableError, match=r"http://127\.0\.0\.1:9 does not answer"):
        sources.fetch_from_hub(find_card("uni"), "MahmoodLab/UNI", offline=False)
    assert time.monotonic() - began < 20  # the patience of one request, with room for a busy host


def test_a_hub_that_accepts_and_says_nothing_is_given_up(cache, monkeypatch):
    monkeypatch.setattr(sources, "_PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(UnavailableError, match="does not answer"):
            sources.fetch_from_hub(find_card("uni"), "MahmoodLab/UNI", offline=False)


@pytest.mark.usefixtures("no_network")
def test_torchs_cache_is_found_without_a_network(tmp_path):
    (tmp_path / "net-12345678.pth").write_bytes(b"weights")
    card = find_card("torchvision:squeezenet1_1")
    url = "https://example.org/models/net-12345678.pth?download=1"
    found = sources.fetch_from_url(card, url, tmp_path, offline=True)
    assert found == sources.WeightsFile(tmp_path / "net-12345678.pth", "url:net-12345678.pth")


@pytest.mark.usefixtures("no_network")
def test_a_published_file_that_is_not_cached_is_unavailable_offline(tmp_path):
    card = find_card("torchvision:squeezenet1_1")
    with pytest.raises(UnavailableError, match=r"a-1\.pth is not in .*, and offline"):
        sources.fetch_from_url(card, "https://example.org/a-1.pth", tmp_path, offline=True)


def test_a_published_file_is_downloaded_whole_or_not_at_all(tmp_path):
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()[:8]
    good, bad = tmp_path / f"net-{digest}.pth", tmp_path / "net-00000000.pth"
    for path in (good, bad):
        path.write_bytes(content)
    card = find_card("torchvision:squeezenet1_1")
    cache = tmp_path / "cache"
    assert sources.fetch_from_url(card, good.as_uri(), cache, offline=False).path == (
        cache / good.name
    )
    with pytest.raises(WeightsError, match="the download is damaged"):
        sources.fetch_from_url(card, bad.as_uri(), cache, offline=False)
    assert [path.name for path in cache.iterdir()] == [good.name]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "mine.pth"])
def test_a_folder_may_stand_for_the_weights_in_it(tmp_path, name):
    (tmp_path / name).touch()
    (tmp_path / "config.json").touch()
    assert sources.given_weights(tmp_path).path == tmp_path / name


def test_a_snapshot_of_the_hub_tells_its_revision(tmp_path):
    snapshot = hub_cache(tmp_path, "a/b", **{"model.safetensors": b"weights"})
    found = sources.given_weights(snapshot)
    assert (found.source, found.revision) == ("file:model.safetensors", REVISION)


@pytest.mark.parametrize(
    ("files", "found"), [((), "none"), (("a.pth", "b.safetensors"), "a.pth, b.safetensors")]
)
def test_a_folder_without_one_file_of_weights_is_refused(tmp_path, files, found):
    for name in files:
        (tmp_path / name).touch()
    with pytest.raises(WeightsError, match=re.escape(f"was expected; found: {found}")):
        sources.given_weights(tmp_path)
