"""Bodies that are images, archives, PDFs, sound or video are named as what they are, and no encoding is suggested."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import wave
import zipfile
from contextlib import closing

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from projection.history.drafting import drafted
from projection.history.inspection import Inspection, body_of
from projection.stream.port import Message

EVENT = b'{"type": "parcel.deposited", "id": "1", "at": "2026-03-01T10:00:00Z", "data": {"parcel": "P-1"}}'


def message(data: bytes, **headers: str) -> Message:
    raw = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return Message(1, "parcels.lyon", data, "0", headers=f"NATS/1.0\r\n{raw}\r\n".encode() if raw else b"")


def archived() -> dict[str, bytes]:
    zipped, tarred, sound = io.BytesIO(), io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("event.json", EVENT)
    with tarfile.open(fileobj=tarred, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("event.json"), io.BytesIO())
    with closing(wave.open(sound, "wb")) as written:
        written.setparams((1, 2, 8000, 1, "NONE", ""))
        written.writeframes(b"\x00\x01")
    return {
        "application/zip": zipped.getvalue(),
        "application/x-tar": tarred.getvalue(),
        "application/x-bzip2": bz2.compress(EVENT),
        "application/x-xz": lzma.compress(EVENT),
        "audio/wav": sound.getvalue(),
    }


SIGNED = {
    "image/jpeg": b"\xff\xd8\xff\xe0",
    "image/png": b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR",
    "image/gif": b"GIF89a\x01\x00\x01\x00",
    "image/tiff": b"II*\x00\x08\x00\x00\x00",
    "image/webp": b"RIFF\x1a\x00\x00\x00WEBPVP8L",
    "image/avif": b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00",
    "image/heic": b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00",
    "application/pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "application/x-7z-compressed": b"7z\xbc\xaf\x27\x1c\x00\x04",
    "application/vnd.rar": b"Rar!\x1a\x07\x01\x00",
    "audio/mpeg": b"ID3\x04\x00\x00\x00\x00\x00\x00",
    "audio/flac": b"fLaC\x00\x00\x00\x22",
    "application/ogg": b"OggS\x00\x02\x00\x00",
    "video/mp4": b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00",
    "video/webm": b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81",
    "video/x-msvideo": b"RIFF\x00\x10\x00\x00AVI LIST",
    **archived(),
}
DECLARED = {
    "image/svg+xml": "image",
    "image/x-icon": "image",
    "audio/aac": "audio",
    "video/quicktime": "video",
    "font/woff2": "font",
    "application/x-tar": "archive",
    "application/pdf": "PDF",
}


def remarks_of(*messages: Message) -> str:
    inspection = Inspection()
    for one in messages:
        inspection.add(one)
    return "\n".join(drafted(inspection).remarks)


@pytest.mark.parametrize("name", SIGNED)
def test_a_body_is_recognized_by_its_first_bytes_and_nothing_is_suggested_for_it(name: str) -> None:
    assert name == body_of(message(SIGNED[name])).name
    remarks = remarks_of(message(EVENT), message(SIGNED[name]))
    assert f"{name}: no manifest can map such bodies; let `ignore` leave them out" in remarks
    assert "protobuf" not in remarks


@pytest.mark.parametrize("header", ["Content_Type", "ce_datacontenttype"])
@pytest.mark.parametrize("name", DECLARED)
def test_a_body_of_no_known_first_bytes_is_of_the_kind_that_the_message_says(name: str, header: str) -> None:
    """Of the header's value no more than that is shown."""
    declared = message(b"\x01\x02\x03\xfe", **{header: f"{name.title()}; charset=binary"})
    assert DECLARED[name] == body_of(declared).name
    remarks = remarks_of(message(EVENT), declared)
    assert f"{DECLARED[name]}: no manifest can map such bodies" in remarks
    assert "protobuf" not in remarks


def test_a_body_that_is_compressed_is_recognized_as_well() -> None:
    compressed = message(gzip.compress(SIGNED["image/png"]), Content_Encoding="gzip")
    assert "gzip of image/png" == body_of(compressed).name
    assert "gzip of image/png: no manifest" in remarks_of(message(EVENT), compressed)


def test_what_nothing_is_known_of_may_still_be_protobuf_or_avro() -> None:
    assert "protobuf or Avro" in remarks_of(message(EVENT), message(b"\x0a\x03o-1\x10\xfa\x01"))


@settings(max_examples=50)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8) | st.integers(0, 2**32), min_size=1))
def test_an_event_is_an_event_whatever_the_message_says_of_its_type(event: dict[str, object]) -> None:
    found = body_of(message(msgspec.msgpack.encode(event), Content_Type="image/jpeg"))
    assert "msgpack" == found.encoding
