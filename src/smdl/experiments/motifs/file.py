"""A file of matrices that is as short as their structure allows, and decodes to the same values.

After a head of JSON (names, shapes, forms) come either the tensors, each in the shortest of three forms,

- dense: float32 as they are;
- values: the distinct values, and for every weight which one, by an arithmetic code;
- sparse: which weights are zero, by an arithmetic code, and the others as they are;

or one mosaic: all tensors padded with zeros to blocks, the distinct blocks, and for every block which one, by an
arithmetic code; or the float32 bytes of all tensors by lzma. The shortest is taken. Zero has one sign.
"""

import json
import lzma
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from smdl.foundation.errors import StudyError
from smdl.rulers.codes.entropy import arithmetic_decode, arithmetic_encode
from smdl.rulers.codes.structured import distinct_blocks
from smdl.rulers.proxies import LZMA_LEVEL

MAGIC = b"smdl weights 1\n"
LENGTH = struct.Struct("<Q")
FLOAT = np.dtype("<f4")
DENSE, VALUES, SPARSE = "dense", "values", "sparse"
TENSORS, MOSAIC, LZMA = "tensors", "mosaic", "lzma"
# Beyond so many distinct values or blocks a table of counts is longer than what it saves.
MOST_SYMBOLS = 1 << 16


@dataclass(frozen=True)
class Encoded:
    """The bytes of a file, and how they hold the matrices: ``tensors``, ``mosaic`` or ``lzma``."""

    form: str
    data: bytes


def encode(weights: Mapping[str, np.ndarray], block: int | None = None) -> Encoded:
    """The shortest file of float32 ``weights``; a mosaic of blocks of ``block`` values is tried where that is given.

    Raises RuntimeError should it not decode to what was encoded.
    """
    found = [_tensors(weights), _lzma(weights)]
    if block is not None and (mosaic := _mosaic(weights, block)) is not None:
        found.append(mosaic)
    shortest = min(found, key=lambda encoded: len(encoded.data))
    again = decode(shortest.data)
    if list(again) != list(weights) or not all(np.array_equal(again[name], weights[name]) for name in weights):
        raise RuntimeError("the file of weights did not decode to what was encoded")
    return shortest


def decode(data: bytes) -> dict[str, np.ndarray]:
    """The matrices of a file, float32 by name; StudyError where it is no such file."""
    if not data.startswith(MAGIC):
        raise StudyError("not a file of weights of this workflow: it does not begin as one does")
    head, body = _split(data[len(MAGIC) :])
    head = json.loads(head)
    if head["form"] == MOSAIC:
        return _mosaic_decoded(head, body)
    if head["form"] == LZMA:
        return _shaped(head, np.frombuffer(lzma.decompress(_split(body)[0]), FLOAT), 1)
    weights = {}
    for name, shape, form in head["tensors"]:
        part, body = _split(body)
        weights[name] = _DECODERS[form](part, int(np.prod(shape))).reshape(shape)
    return weights


def _tensors(weights: Mapping[str, np.ndarray]) -> Encoded:
    listed, body = [], b""
    for (name, shape), flat in zip(_shapes(weights), _flat(weights), strict=True):
        form, part = min(_forms(flat), key=lambda form: len(form[1]))
        listed.append([name, shape, form])
        body += _joined(part)
    return Encoded(TENSORS, _file({"form": TENSORS, "tensors": listed}, body))


def _forms(flat: np.ndarray) -> list[tuple[str, bytes]]:
    forms = [(DENSE, flat.tobytes())]
    values, which = np.unique(flat, return_inverse=True)
    if len(values) <= MOST_SYMBOLS:
        forms.append((VALUES, _joined(values.tobytes()) + arithmetic_encode(which, len(values))))
    if not flat.all():
        mask = (flat != 0).astype(np.int64)
        forms.append((SPARSE, _joined(flat[flat != 0].tobytes()) + arithmetic_encode(mask, 2)))
    return forms


def _from_values(part: bytes, count: int) -> np.ndarray:
    values, which = _split(part)
    return np.frombuffer(values, FLOAT)[arithmetic_decode(which)]


def _from_sparse(part: bytes, count: int) -> np.ndarray:
    survivors, mask = _split(part)
    flat = np.zeros(count, FLOAT)
    flat[arithmetic_decode(mask) == 1] = np.frombuffer(survivors, FLOAT)
    return flat


_DECODERS = {
    DENSE: lambda part, count: np.frombuffer(part, FLOAT).copy(),
    VALUES: _from_values,
    SPARSE: _from_sparse,
}


def _mosaic(weights: Mapping[str, np.ndarray], block: int) -> Encoded | None:
    assignments, motifs = distinct_blocks(_flat(weights), block)
    if len(motifs) > MOST_SYMBOLS:
        return None
    head = {"form": MOSAIC, "block": block, "tensors": _shapes(weights)}
    return Encoded(MOSAIC, _file(head, _joined(motifs.tobytes()) + arithmetic_encode(assignments, len(motifs))))


def _mosaic_decoded(head: dict, body: bytes) -> dict[str, np.ndarray]:
    dictionary, which = _split(body)
    blocks = np.frombuffer(dictionary, FLOAT).reshape(-1, head["block"])[arithmetic_decode(which)]
    return _shaped(head, blocks.ravel(), head["block"])


def _lzma(weights: Mapping[str, np.ndarray]) -> Encoded:
    body = lzma.compress(np.concatenate(_flat(weights)).tobytes(), preset=LZMA_LEVEL)
    return Encoded(LZMA, _file({"form": LZMA, "tensors": _shapes(weights)}, _joined(body)))


def _shaped(head: dict, flat: np.ndarray, block: int) -> dict[str, np.ndarray]:
    """The tensors of a head out of all values in a row, in which each begins at a whole block."""
    weights, start = {}, 0
    for name, shape in head["tensors"]:
        count = int(np.prod(shape))
        weights[name] = flat[start : start + count].reshape(shape)
        start += -(-count // block) * block
    return weights


def _flat(weights: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """The values of every tensor, float32; adding zero makes -0.0 and 0.0 one value."""
    return [tensor.ravel().astype(FLOAT) + FLOAT.type(0) for tensor in weights.values()]


def _shapes(weights: Mapping[str, np.ndarray]) -> list:
    return [[name, list(tensor.shape)] for name, tensor in weights.items()]


def _file(head: dict, body: bytes) -> bytes:
    return MAGIC + _joined(json.dumps(head, separators=(",", ":")).encode()) + body


def _joined(part: bytes) -> bytes:
    return LENGTH.pack(len(part)) + part


def _split(data: bytes) -> tuple[bytes, bytes]:
    end = LENGTH.size + LENGTH.unpack_from(data)[0]
    return data[LENGTH.size : end], data[end:]
