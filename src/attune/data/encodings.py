"""Opens a text file whatever it is packed and encoded in, and finds the bytes that do not decode."""

from __future__ import annotations

import codecs
import gzip
import io
import re
from pathlib import Path
from typing import IO, cast

from attune.errors import DataError

MARK = "\uffff"
"""Stands where bytes could not be decoded; a noncharacter that no text holds."""

CHUNK = 1 << 20
SAMPLE = 1 << 16
BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
LIKELY = ["cp1252", "cp1251", "cp1253", "cp1255", "cp1256", "koi8_r", "big5", "shift_jis", "euc_jp", "euc_kr"]
"""What is guessed among; close relatives of these cannot be told apart and are left to `data.encoding`."""
CERTAIN = frozenset({"utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"})
"""Encodings that show in the bytes; any other is a guess worth a notice."""
HAN = re.compile(r"[\u3000-\u303f\u3400-\u9fff\uff00-\uffef]")
COMMON_HAN = re.compile(r"[的是了我不在有人这个一你他们么没请要吗可好到会为上能就]")
WIDE = re.compile(r"[^\x00-\x7f]")


def _mark(error: UnicodeError) -> tuple[str, int]:
    return MARK, cast(UnicodeDecodeError, error).end


codecs.register_error("attune.mark", _mark)


def open_bytes(path: Path) -> IO[bytes]:
    """Opens a file, unpacking gzip and zstandard by the name's ending.

    Args:
        path: The file.

    Returns:
        A binary stream of the unpacked content.
    """
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix in {".zst", ".zstd"}:
        import zstandard

        reader = zstandard.ZstdDecompressor().stream_reader(path.open("rb"), read_across_frames=True, closefd=True)
        return io.BufferedReader(cast(io.RawIOBase, reader), CHUNK)
    return path.open("rb")


def open_text(path: Path, encoding: str = "") -> io.TextIOWrapper:
    """Opens a text file; bytes that do not decode are read as `MARK`.

    Args:
        path: The file, possibly packed.
        encoding: Its encoding; empty for detection.

    Returns:
        A text stream with line ends as they are.

    Raises:
        DataError: If the named encoding does not exist.
    """
    encoding = encoding or detect(path)
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise DataError(
            f"unknown encoding {encoding!r}",
            where="data.encoding",
            expected="a name Python knows, such as utf-8, gb18030, utf-16 or cp1252",
            remedy="correct it, or leave it empty to have it detected",
        ) from None
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors="attune.mark", newline="")


def detect(path: Path) -> str:
    """Finds the encoding of a file from its mark or from the first part that is not plain ASCII.

    A guess among the many single-byte encodings is only made on evidence from several lines; else the file counts
    as UTF-8 and the lines that are not are reported.

    Args:
        path: The file, possibly packed.

    Returns:
        A codec name.
    """
    with open_bytes(path) as stream:
        head = stream.read(CHUNK)
        for bom, name in BOMS:
            if head.startswith(bom):
                return name
        sample = head
        while sample and sample.isascii() and b"\0" not in sample:
            sample = stream.read(CHUNK)
    return _judge(_around(sample)) if sample else "utf-8"


def _around(chunk: bytes) -> bytes:
    """Whole lines of the chunk, from the first byte that is not ASCII or is NUL."""
    first = next((m.start() for m in re.finditer(rb"[\x00\x80-\xff]", chunk)), 0)
    start = chunk.rfind(b"\n", 0, first) + 1
    return chunk[start : start + SAMPLE]


def _judge(sample: bytes) -> str:
    wide = _utf16(sample)
    if wide:
        return wide
    decoded = codecs.getincrementaldecoder("utf-8")("attune.mark").decode(sample)
    bad = decoded.count(MARK)
    if bad == 0 or len(WIDE.findall(decoded)) >= 5 * bad:
        return "utf-8"
    return "gb18030" if _is_gb18030(sample) else _single_byte(sample)


def _utf16(sample: bytes) -> str:
    """UTF-16 without its mark shows by zeros in every other byte."""
    zeros = (sample[0::2].count(0), sample[1::2].count(0))
    if max(zeros) <= len(sample) // 5 or min(zeros) > max(zeros) // 10:
        return ""
    return "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"


def _is_gb18030(sample: bytes) -> bool:
    decoded = codecs.getincrementaldecoder("gb18030")("attune.mark").decode(sample)
    wide = WIDE.findall(decoded)
    han = len(HAN.findall(decoded))
    return MARK not in decoded and han >= 0.9 * len(wide) and (han < 12 or bool(COMMON_HAN.search(decoded)))


def _single_byte(sample: bytes) -> str:
    lines = [line for line in sample.split(b"\n") if not line.isascii()]
    if len(lines) < 3:
        return "utf-8"
    import charset_normalizer

    best = charset_normalizer.from_bytes(b"\n".join(lines[:400]), cp_isolation=LIKELY).best()
    if best is None or best.chaos > 0.1 or best.coherence <= 0:
        return "utf-8"
    return best.encoding
