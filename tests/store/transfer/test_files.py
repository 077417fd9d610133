"""Export files: a damaged one is refused with one line before anything is written."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from kcp.store.contract import Store
from kcp.store.exports import DamagedExportError, Entry, Header, Reading, verify, writing
from tests.store.conformance.backends import key, put
from tests.store.transfer.logs import Log, SQLiteLog


def write(file: Path, count: int = 20) -> None:
    """A file with some entries."""
    with writing(file, Header(7)) as export:
        export.add(
            Entry(key(f"n{index}"), index, b'{"x":"' + bytes([97 + index % 26]) * 20 + b'"}') for index in range(count)
        )


@pytest.mark.parametrize("name", ["plain.jsonl", "packed.jsonl.gz"])
def test_a_file_that_is_cut_off_anywhere_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write(file)
    whole = file.read_bytes()
    assert verify(file).entries == 20
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(DamagedExportError) as caught:
            verify(file)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["plain.jsonl", "packed.jsonl.gz"])
def test_a_file_with_any_byte_changed_is_refused_or_says_the_same(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    write(file)
    whole, entries = file.read_bytes(), list(Reading(file))
    refused = 0
    for place in range(len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        try:
            assert list(Reading(file)) == entries  # some bits of gzip's header mean nothing
        except DamagedExportError:
            refused += 1
    assert refused > len(whole) - 10


async def test_nothing_of_a_damaged_file_is_written(target: Log, tmp_path: Path) -> None:
    async def begin(store: Store) -> None:
        await put(store, "mine", b"1")

    await target.use(begin)
    before = await target.state()
    file = tmp_path / "all.jsonl"
    write(file, 500)
    lines = file.read_bytes().splitlines(keepends=True)
    lines[-2] = lines[-2].replace(b"ff", b"gg", 1)
    file.write_bytes(b"".join(lines))
    with pytest.raises(DamagedExportError, match="checksum"):
        await target.take(file, replace=True)
    assert await target.state() == before


async def test_a_key_that_is_there_twice_is_refused(target: Log, tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    with writing(file, Header(7)) as export:
        export.add([Entry(key("a"), 1, b"1"), Entry(key("b"), 1, b"1"), Entry(key("a"), 2, b"2")])
    with pytest.raises(DamagedExportError, match="default/a"):
        await target.take(file, replace=True)


def test_files_of_other_formats_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "other"
    for content in (b"", b"x", b"{}\n", b'{"format":"other","version":1}\n', gzip.compress(b"x"), b"SQLite format 3\0"):
        file.write_bytes(content)
        with pytest.raises(DamagedExportError, match=r"is not an export|is not what was exported"):
            verify(file)
    file.write_text(json.dumps({"format": "kcp-export", "version": 2, "revision": 1, "logicalCluster": None}) + "\n")
    with pytest.raises(DamagedExportError, match=r"version 2.*use a newer one"):
        verify(file)


async def test_the_format_is_the_documented_one(tmp_path: Path) -> None:
    """Other programs read and write these files: this one is written by hand, from the documentation alone."""
    file = tmp_path / "mine.jsonl"
    lines = [
        {"format": "kcp-export", "version": 1, "revision": 120, "logicalCluster": None},
        {"key": ["widgets", "root", "default", "a"], "revision": 7, "tag": "61f0", "value": '{"a":1}'},
        {"key": ["widgets", "root", "", "b"], "revision": 8, "tag": "", "base64": "/wA=", "due": 4102444800},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    digest = hashlib.sha256(text.encode()).hexdigest()
    end = json.dumps({"end": {"entries": 2, "logicalClusters": 1, "sha256": digest}}, separators=(",", ":"))
    file.write_text(f"{text}{end}\n")
    assert list(Reading(file)) == [
        Entry(key("a"), 7, b'{"a":1}', "61f0"),
        Entry(key("b", namespace=""), 8, b"\xff\0", "", 4102444800),
    ]
    log = SQLiteLog(tmp_path)
    await log.take(file)
    await log.export(tmp_path / "back.jsonl")
    back = [json.loads(line) for line in (tmp_path / "back.jsonl").read_text().splitlines()]
    assert [line | {"revision": 0} for line in back[1:-1]] == [
        line | {"revision": 0} for line in sorted(lines[1:], key=lambda line: str(line["key"]))
    ]
