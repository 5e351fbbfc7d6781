"""The part of the FlatBuffers wire format that a TFLite file needs: tables, scalars, vectors, strings."""

import struct

import numpy as np


class Table:
    """One table: a position in the buffer and, through its vtable, an offset per field number (0 = field absent)."""

    def __init__(self, buffer: bytes, position: int):
        self._buffer = buffer
        self._position = position
        self._vtable = position - struct.unpack_from("<i", buffer, position)[0]
        self._vtable_bytes = struct.unpack_from("<H", buffer, self._vtable)[0]

    @classmethod
    def root(cls, buffer: bytes) -> "Table":
        return cls(buffer, struct.unpack_from("<I", buffer, 0)[0])

    def has(self, field: int) -> bool:
        return self._offset(field) != 0

    def scalar(self, field: int, code: str, default=0):
        """A number; `code` is struct's letter for its type."""
        offset = self._offset(field)
        return struct.unpack_from("<" + code, self._buffer, self._position + offset)[0] if offset else default

    def table(self, field: int) -> "Table | None":
        offset = self._offset(field)
        return Table(self._buffer, self._follow(self._position + offset)) if offset else None

    def tables(self, field: int) -> list:
        count, start = self._vector(field)
        return [Table(self._buffer, self._follow(start + 4 * i)) for i in range(count)]

    def array(self, field: int, dtype) -> np.ndarray:
        count, start = self._vector(field)
        return np.frombuffer(self._buffer, dtype, count, start) if count else np.zeros(0, dtype)

    def text(self, field: int) -> str:
        count, start = self._vector(field)
        return self._buffer[start:start + count].decode()

    def _offset(self, field: int) -> int:
        entry = 4 + 2 * field
        return struct.unpack_from("<H", self._buffer, self._vtable + entry)[0] if entry < self._vtable_bytes else 0

    def _follow(self, position: int) -> int:
        return position + struct.unpack_from("<I", self._buffer, position)[0]

    def _vector(self, field: int) -> tuple:
        offset = self._offset(field)
        if not offset:
            return 0, 0
        start = self._follow(self._position + offset)
        return struct.unpack_from("<I", self._buffer, start)[0], start + 4
