"""Reads a state dict in torch's old (pre-zip) file form without torch, and without running anything the file says.

The form is four pickles (magic number, protocol, system information, the dict with references to its storages), one more
with the list of storage keys, then per storage a 64-bit count and the raw little-endian numbers.
A pickle can name any function; this one may name only the three things such a file needs.
"""

import io
import pickle
import struct
from collections import OrderedDict, namedtuple

import numpy as np

from .files import BuildError

MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}
_StorageType = namedtuple("_StorageType", "dtype")
_Storage = namedtuple("_Storage", "key dtype count")
_Tensor = namedtuple("_Tensor", "storage offset shape strides")


def _rebuild_tensor(storage, offset, shape, strides, _requires_grad=False, _hooks=None):
    return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _Restricted(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _rebuild_tensor
        if module == "torch" and name in _DTYPES:
            return _StorageType(_DTYPES[name])
        raise BuildError(f"the .pth file asks for {module}.{name}, which a plain state dict does not need; it was refused")

    def persistent_load(self, reference):
        if not (isinstance(reference, tuple) and len(reference) >= 5 and reference[0] == "storage"
                and isinstance(reference[1], _StorageType)):
            raise BuildError(f"the .pth file holds an unknown reference {reference!r:.80}; it was refused")
        _, kind, key, _device, count = reference[:5]
        return _Storage(key, kind.dtype, count)


def read(data: bytes) -> dict:
    """Tensor name -> array, in the file's order. torch's `module.` prefix (left by DataParallel) is removed."""
    file = io.BytesIO(data)
    try:
        magic, _protocol, _system = (_Restricted(file).load() for _ in range(3))
        if magic != MAGIC:
            raise BuildError("the .pth file does not begin with torch's magic number")
        state, keys = _Restricted(file).load(), _Restricted(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, KeyError, ValueError) as error:
        raise BuildError(f"the .pth file cannot be read as a state dict: {error}") from error
    sizes = {tensor.storage.key: tensor.storage for tensor in state.values()}
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        raw = file.read(count * sizes[key].dtype.itemsize)
        storages[key] = np.frombuffer(raw, sizes[key].dtype)
        if count != sizes[key].count or len(storages[key]) != count:
            raise BuildError(f"the .pth file is cut short: storage {key} has {len(storages[key])} of {sizes[key].count} numbers")
    return {name.removeprefix("module."): _view(tensor, storages[tensor.storage.key]) for name, tensor in state.items()}


def _view(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    strides = tuple(step * storage.itemsize for step in tensor.strides)
    last = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.strides))
    if last >= len(storage):
        raise BuildError("the .pth file holds a tensor that reaches beyond its storage")
    return np.lib.stride_tricks.as_strided(storage[tensor.offset:], tensor.shape, strides).copy()
