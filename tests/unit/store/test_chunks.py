"""Rows straight from chunk files: the same bytes as Zarr gives, or left to Zarr."""

import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from wsi_tools.store import arrays
from wsi_tools.store.chunks import RowChunks
from wsi_tools.store.copying import Copiers

DTYPES = st.sampled_from(["float16", "float32", "uint8", "int32"])
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=9)


def written(folder: Path, values: np.ndarray, chunk_rows: int) -> RowChunks:
    group = zarr.open_group(folder, mode="a")
    array = arrays.create(
        group, "a", shape=values.shape, dtype=values.dtype.name, chunk_rows=chunk_rows
    )
    array[...] = values
    found = RowChunks.of(folder / "a")
    assert found is not None
    return found


@given(
    data=st.data(),
    shape=SHAPES,
    dtype=DTYPES,
    chunk_rows=st.integers(1, 5),
)
def test_rows_in_any_order_are_those_that_were_written(
    tmp_path_factory, data, shape, dtype, chunk_rows
):
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    chunks = written(tmp_path_factory.mktemp("chunks"), values, chunk_rows)
    rows = np.array(data.draw(st.lists(st.integers(0, shape[0] - 1), max_size=12)), np.int64)
    np.testing.assert_array_equal(chunks.read(rows), values[rows])
    np.testing.assert_array_equal(chunks.read(), values)
    assert chunks.read().dtype == values.dtype


def test_an_array_without_rows_is_read(tmp_path):
    chunks = written(tmp_path, np.zeros((0, 3), "float16"), 4)
    assert chunks.read().shape == (0, 3)
    chunks.verify()


@pytest.mark.parametrize(
    "how",
    [
        {"compressors": (ZstdCodec(), Crc32cCodec())},
        {"compressors": None, "shards": (4, 3)},
        {"compressors": None, "chunks": (2, 2)},
        {"compressors": None, "serializer": BytesCodec(endian="big")},
        {"compressors": None, "chunk_key_encoding": {"name": "default", "separator": "."}},
    ],
    ids=["compressed", "sharded", "parts of rows", "big-endian", "other names"],
)
def test_another_layout_is_left_to_zarr(tmp_path, how):
    group = zarr.open_group(tmp_path, mode="w")
    group.create_array("a", shape=(8, 3), dtype="float32", **{"chunks": (2, 3), **how})
    assert RowChunks.of(tmp_path / "a") is None


@pytest.fixture
def chunks(tmp_path):
    return written(tmp_path, np.arange(30, dtype="float32").reshape(10, 3), 4)


def change(file: Path, place: int) -> None:
    content = bytearray(file.read_bytes())
    content[place] ^= 1
    file.write_bytes(content)


def recorded_opens(monkeypatch) -> list[str]:
    """What is opened from now on."""
    opened, real = [], os.open

    def recorded(path, *how, **where):
        opened.append(str(path))
        return real(path, *how, **where)

    monkeypatch.setattr("os.open", recorded)
    return opened


def test_a_missing_chunk_is_named(chunks):
    (chunks.path / "c" / "1" / "0").unlink()
    np.testing.assert_array_equal(chunks.read(np.array([0, 9])), [[0, 1, 2], [27, 28, 29]])
    with pytest.raises(ValueError, match="chunk 1 is missing"):
        chunks.read(np.array([3, 4]))
    with pytest.raises(ValueError, match="chunk 1 is missing"):
        chunks.verify()


def test_a_chunk_that_was_cut_short_is_named(chunks):
    file = chunks.path / "c" / "0" / "0"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(ValueError, match="chunk 0 is missing or cut short"):
        chunks.read()


def test_one_changed_bit_is_found_on_request(chunks):
    chunks.verify()
    change(chunks.path / "c" / "2" / "0", 1)
    assert chunks.read().shape == (10, 3)
    for verified in (chunks.verify, lambda: chunks.read(verify=True)):
        with pytest.raises(ValueError, match="chunk 2"):
            verified()


@pytest.mark.parametrize("place", [0, 23, 24, 47, 48, 51], ids=str)
def test_every_byte_of_the_last_chunk_counts(chunks, place):
    """Two rows of 12 bytes, as many that are beyond the end, and the checksum."""
    np.testing.assert_array_equal(chunks.read(verify=True), chunks.read())
    change(chunks.path / "c" / "2" / "0", place)
    with pytest.raises(ValueError, match="chunk 2"):
        chunks.read(verify=True)


def test_a_chunk_that_is_too_long_is_not_what_was_written(chunks):
    with (chunks.path / "c" / "0" / "0").open("ab") as file:
        file.write(b"0")
    with pytest.raises(ValueError, match="chunk 0"):
        chunks.read(verify=True)


def test_rows_that_are_not_asked_for_are_verified_too(chunks):
    change(chunks.path / "c" / "2" / "0", 1)
    with pytest.raises(ValueError, match="chunk 2"):
        chunks.read(np.array([0, 1]), verify=True)


def test_verified_rows_are_read_once(chunks, monkeypatch):
    opened = recorded_opens(monkeypatch)
    chunks.read(verify=True)
    assert opened == [str(chunks.path / "c"), "0/0", "1/0", "2/0"]


@pytest.mark.parametrize("verify", [False, True])
@pytest.mark.parametrize("rows", [None, np.arange(1, 400, 3)], ids=["all", "some"])
def test_threads_read_what_one_reads(tmp_path, monkeypatch, rows, verify):
    monkeypatch.setattr("wsi_tools.store.chunks.SHARED_BYTES", 0)
    values = np.random.default_rng(0).integers(0, 2**31, (400, 5), "int32")
    chunks, copiers = written(tmp_path, values, 7), Copiers(3)
    for _ in range(20):
        found = chunks.read(rows, verify=verify, copiers=copiers)
        np.testing.assert_array_equal(found, values if rows is None else values[rows])


def test_threads_name_a_torn_chunk(tmp_path, monkeypatch):
    monkeypatch.setattr("wsi_tools.store.chunks.SHARED_BYTES", 0)
    chunks, copiers = written(tmp_path, np.zeros((400, 5), "int32"), 7), Copiers(3)
    (chunks.path / "c" / "56" / "0").unlink()
    for _ in range(20):
        with pytest.raises(ValueError, match="chunk 56 is missing"):
            chunks.read(copiers=copiers)


def test_nothing_is_copied_any_more_once_a_failure_is_told():
    begun, ended, delays = threading.Semaphore(0), [], iter([0, 0.05, 0.1])

    def work():
        if threading.current_thread() is threading.main_thread():
            for _ in range(3):
                begun.acquire()  # until all help
            return
        begun.release()
        time.sleep(next(delays))
        ended.append(threading.get_ident())
        raise ValueError("torn")

    with pytest.raises(ValueError, match="torn"):
        Copiers(3).share(work, parts=9)
    assert len(ended) == 3


def test_a_small_copy_is_not_shared(chunks, monkeypatch):
    monkeypatch.setattr(Copiers, "share", lambda *_: pytest.fail("shared"))
    assert chunks.read(copiers=Copiers(3)).shape == (10, 3)


def test_a_torn_description_is_a_value_error(chunks):
    (chunks.path / "zarr.json").write_text('{"shape": [1')
    with pytest.raises(ValueError, match=r"delimiter|Expecting"):
        RowChunks.of(chunks.path)


def test_a_chunk_is_opened_once_for_all_its_rows(chunks, monkeypatch):
    opened = recorded_opens(monkeypatch)
    chunks.read(np.array([0, 1, 3, 5, 9]))
    assert opened == [str(chunks.path / "c"), "0/0", "1/0", "2/0"]
