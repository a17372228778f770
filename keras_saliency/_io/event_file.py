"""TensorBoard's event files: pictures and numbers by step, written without TensorBoard.

A file is a row of records, each a length, its checksum, a protocol buffer ``Event``, its checksum
(tensorflow/core/lib/io/record_writer.h, core/util/event.proto, core/framework/summary.proto). These
few fields are as they were in 2016, and writing them here needs neither TensorFlow nor the package
``tensorboard`` on the machine that trains.
"""

from __future__ import annotations

import functools
import os
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path


class EventFile:
    """A new event file in a folder; each write opens it, so that a kill loses nothing before.

    Args:
        folder: Of one run, as ``tensorboard --logdir`` shows it; made if it is not there.

    Raises:
        OSError: It cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        now = time.time()
        name = f"events.out.tfevents.{int(now)}.{socket.gethostname()}.{os.getpid()}.{id(self)}"
        self.path = folder / name
        self._append(_double(1, now) + _bytes(3, b"brain.Event:2"))

    def write(
        self,
        step: int,
        numbers: Mapping[str, float],
        pictures: Mapping[str, tuple[bytes, tuple[int, int]]],
    ) -> None:
        """Write numbers by their tags, and pictures: the bytes of a PNG, its height and width.

        Raises:
            OSError: It cannot be written.
        """
        values = [_bytes(1, tag.encode()) + _float(2, one) for tag, one in numbers.items()]
        for tag, (png, (height, width)) in pictures.items():
            image = _number(1, height) + _number(2, width) + _number(3, 4) + _bytes(4, png)  # RGBA
            values.append(_bytes(1, tag.encode()) + _bytes(4, image))
        summary = b"".join(_bytes(1, value) for value in values)
        self._append(_double(1, time.time()) + _number(2, step) + _bytes(5, summary))

    def _append(self, event: bytes) -> None:
        length = struct.pack("<Q", len(event))
        with self.path.open("ab") as file:
            file.write(length + _masked(length) + event + _masked(event))


def _varint(number: int) -> bytes:
    result = bytearray()
    while number > 127:
        result.append(number & 127 | 128)
        number >>= 7
    return bytes([*result, number])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


@functools.cache
def _table() -> list[int]:
    rows = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial
        rows.append(byte)
    return rows


def crc32c(data: bytes) -> int:
    """Return the CRC-32C of bytes.

    Example:
        >>> hex(crc32c(b"123456789"))
        '0xe3069283'
    """
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def _masked(data: bytes) -> bytes:
    crc = crc32c(data)
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
