"""Bodies that are no events in any encoding: images, archives, PDFs, sound and video, by their type or first bytes."""

from __future__ import annotations

import re

_MAIN_TYPES = frozenset({"image", "audio", "video", "font"})
_ARCHIVES = re.compile(
    r"application/(?:zip|x-zip-compressed|(?:x-)?tar|x-7z-compressed|(?:vnd\.|x-)rar(?:-compressed)?"
    r"|(?:x-)?bzip2?|(?:x-)?xz|java-archive)"
)
# Of each kind, where its bytes stand, and the bytes: at least three, so that hardly any event begins with them.
# gzip and zstd are missing, because a header can say that an event is compressed with them.
_SIGNATURES = (
    ("image/jpeg", 0, b"\xff\xd8\xff"),
    ("image/png", 0, b"\x89PNG\r\n\x1a\n"),
    ("image/gif", 0, b"GIF87a"),
    ("image/gif", 0, b"GIF89a"),
    ("image/tiff", 0, b"II*\x00"),
    ("image/tiff", 0, b"MM\x00*"),
    ("image/webp", 8, b"WEBPVP8"),
    ("image/jxl", 0, b"\x00\x00\x00\x0cJXL \r\n\x87\n"),
    ("image/avif", 4, b"ftypavif"),
    ("image/heic", 4, b"ftyphei"),
    ("image/vnd.adobe.photoshop", 0, b"8BPS\x00\x01"),
    ("application/pdf", 0, b"%PDF-"),
    ("application/zip", 0, b"PK\x03\x04"),
    ("application/zip", 0, b"PK\x05\x06"),
    ("application/x-7z-compressed", 0, b"7z\xbc\xaf\x27\x1c"),
    ("application/vnd.rar", 0, b"Rar!\x1a\x07"),
    ("application/x-bzip2", 4, b"\x31\x41\x59\x26\x53\x59"),
    ("application/x-xz", 0, b"\xfd7zXZ\x00"),
    ("application/x-tar", 257, b"ustar"),
    ("audio/wav", 8, b"WAVEfmt "),
    ("audio/mpeg", 0, b"ID3\x02"),
    ("audio/mpeg", 0, b"ID3\x03"),
    ("audio/mpeg", 0, b"ID3\x04"),
    ("audio/flac", 0, b"fLaC\x00"),
    ("audio/midi", 0, b"MThd\x00"),
    ("audio/amr", 0, b"#!AMR"),
    ("application/ogg", 0, b"OggS\x00"),
    ("video/x-msvideo", 8, b"AVI LIST"),
    ("video/webm", 0, b"\x1a\x45\xdf\xa3"),
    ("video/x-flv", 0, b"FLV\x01"),
    ("video/mp4", 4, b"ftyp"),
)


def media_type(data: bytes, content_type: str) -> str:
    """What a body is that nothing can map to an event, in words of ours; empty where it may be one.

    Args:
        data: The body, decompressed.
        content_type: What the message says that it is; empty where it does not.
    """
    for name, at, signature in _SIGNATURES:
        if data.startswith(signature, at):
            return name
    declared = content_type.partition(";")[0].strip().lower()
    main = declared.partition("/")[0]
    if main in _MAIN_TYPES:
        return main
    return "PDF" if declared == "application/pdf" else "archive" if _ARCHIVES.fullmatch(declared) else ""
