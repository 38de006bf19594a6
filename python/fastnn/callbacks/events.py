"""Event files of TensorBoard with numbers alone: records of TensorFlow's format, one for each number.

A record is its length, a checksum of that, an Event of protocol buffers, and a checksum of that. The
formats are those of tensorflow/core/lib/io/record_writer.h and tensorflow/core/util/event.proto.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from typing import BinaryIO

# CRC-32C (Castagnoli), reflected, by bytes.
_POLYNOMIAL = 0x82F63B78
_MASK = 0xA282EAD8


def _row(byte: int) -> int:
    for _ in range(8):
        byte = (byte >> 1) ^ (_POLYNOMIAL if byte & 1 else 0)
    return byte


_TABLE = [_row(byte) for byte in range(256)]


def checksum(data: bytes) -> int:
    """CRC-32C, masked as records have it: rotated by 15 bits, plus a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + _MASK) & 0xFFFFFFFF


def _varint(number: int) -> bytes:
    number &= 0xFFFFFFFFFFFFFFFF  # a negative one as 64 bits
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, data: bytes) -> bytes:
    """A field of bytes."""
    return bytes([number << 3 | 2]) + _varint(len(data)) + data


class EventFile:
    """A file of events in a folder, which is made. Closed by `close`, or when it is freed.

    Raises:
        OSError: it cannot be written.
    """

    def __init__(self, folder: str) -> None:
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103 - pathlib takes long to import
        base = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        self._file = _created(os.path.join(folder, base))  # noqa: PTH118
        self._record(_field(3, b"brain.Event:2"), 0)
        self.flush()

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Adds a number under a name."""
        # Summary.Value: tag = 1, simple_value = 2 (a float); Summary: value = 1; Event: summary = 5.
        number = _field(1, tag.encode()) + b"\x15" + struct.pack("<f", _float32(value))
        self._record(_field(5, _field(1, number)), step)

    def _record(self, content: bytes, step: int) -> None:
        # Event: wall_time = 1 (a double), step = 2.
        event = b"\x09" + struct.pack("<d", time.time())
        event += b"\x10" + _varint(step) + content
        length = struct.pack("<Q", len(event))
        self._file.write(length + struct.pack("<I", checksum(length)))
        self._file.write(event + struct.pack("<I", checksum(event)))

    def flush(self) -> None:
        """Gives what is written to the system."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _created(base: str) -> BinaryIO:
    """A new file: two of one second get other names."""
    number = 0
    while True:
        try:
            return open(f"{base}.{number}", "xb")  # noqa: PTH123
        except FileExistsError:
            number += 1


def _float32(value: float) -> float:
    """A number that float32 holds: beyond it is infinity."""
    limit = 3.4028234663852886e38
    return value if not abs(value) > limit else float("inf") * (1 if value > 0 else -1)
