"""Entropy codes that encode and decode: canonical Huffman (vectorised) and arithmetic (constriction's range coder).

Every encoded byte string is complete: it holds the number of symbols and the code's table, and decodes on its own.
"""

import heapq
import struct

import constriction
import numpy as np

HEADER = struct.Struct("<QI")
LANE = struct.Struct("<I")
# the longest Huffman code word; only rare symbols among millions would have a longer one
LONGEST = 32
# the longest Elias gamma code of a count below 2^63
GAMMA_BYTES = 16


def entropy_bits(counts: np.ndarray) -> float:
    """Empirical entropy of all symbols together, in bits: the least that a code of one symbol at a time can reach."""
    used = counts[counts > 0]
    return float(-(used * np.log2(used / used.sum())).sum())


def arithmetic_encode(symbols: np.ndarray, alphabet: int) -> bytes:
    """Bytes of ``symbols`` (N,) in 0..alphabet-1: all counts as Elias gamma codes, then the range coder's."""
    counts = np.bincount(symbols, minlength=alphabet)
    head = HEADER.pack(len(symbols), alphabet) + _gamma_encode(counts + 1)
    used = np.flatnonzero(counts)
    if len(used) < 2:
        return head
    rank = np.cumsum(counts > 0) - 1
    encoder = constriction.stream.queue.RangeEncoder()
    encoder.encode(rank[symbols].astype(np.int32), _model(counts[used]))
    return head + encoder.get_compressed().astype("<u4").tobytes()


def arithmetic_decode(data: bytes) -> np.ndarray:
    """The symbols (N,) that ``arithmetic_encode`` was given."""
    total, alphabet = HEADER.unpack_from(data)
    counts, start = _gamma_decode(data, HEADER.size, alphabet)
    used = np.flatnonzero(counts - 1)
    if len(used) < 2:
        return np.repeat(used, total)
    words = np.frombuffer(data, "<u4", offset=start).astype(np.uint32)
    return used[constriction.stream.queue.RangeDecoder(words).decode(_model(counts[used] - 1), total)]


def huffman_encode(symbols: np.ndarray, alphabet: int) -> bytes:
    """Bytes of ``symbols`` (N,) in 0..alphabet-1: code lengths as Elias gamma codes, then lanes of canonical codes.

    The symbols are cut into lanes that start at stated bits, so that many can be decoded at once.
    """
    lengths = huffman_lengths(np.bincount(symbols, minlength=alphabet))
    head = HEADER.pack(len(symbols), alphabet) + _gamma_encode(lengths + 1)
    widths = lengths[symbols]
    ends = np.cumsum(widths)
    lanes = np.arange(0, len(symbols), _lane_length(len(symbols)))
    sizes = np.diff(np.append(np.append(0, ends)[lanes], ends[-1:]))
    return head + sizes.astype("<u4").tobytes() + _pack(canonical_codes(lengths)[symbols], widths)


def huffman_decode(data: bytes) -> np.ndarray:
    """The symbols (N,) that ``huffman_encode`` was given."""
    total, alphabet = HEADER.unpack_from(data)
    shifted, start = _gamma_decode(data, HEADER.size, alphabet)
    lengths = shifted - 1
    length = _lane_length(total)
    lanes = -(-total // length)
    sizes = np.frombuffer(data, "<u4", count=lanes, offset=start).astype(np.int64)
    stream = np.frombuffer(data, np.uint8, offset=start + LANE.size * lanes)
    decoded = _decode_lanes(stream, np.cumsum(sizes) - sizes, lengths, min(length, total))
    return decoded.ravel()[:total]


def huffman_lengths(counts: np.ndarray) -> np.ndarray:
    """Length in bits of each symbol's Huffman code, (alphabet,); 0 for those that do not occur.

    Where the longest would pass ``LONGEST`` bits, all counts are halved (rounding up) until it does not.
    """
    lengths = np.zeros(len(counts), dtype=np.int64)
    used = np.flatnonzero(counts)
    if len(used) == 1:
        lengths[used] = 1
    if len(used) < 2:
        return lengths
    parents = np.zeros(2 * len(used) - 1, dtype=np.int64)
    heap = [(int(counts[symbol]), node) for node, symbol in enumerate(used)]
    heapq.heapify(heap)
    for parent in range(len(used), 2 * len(used) - 1):
        (first, left), (second, right) = heapq.heappop(heap), heapq.heappop(heap)
        parents[left] = parents[right] = parent
        heapq.heappush(heap, (first + second, parent))
    depths = np.zeros(len(parents), dtype=np.int64)
    for node in range(len(parents) - 2, -1, -1):
        depths[node] = depths[parents[node]] + 1
    lengths[used] = depths[: len(used)]
    return lengths if lengths.max() <= LONGEST else huffman_lengths(-(-counts // 2))


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """The canonical code words of ``lengths``: in order of length, then of symbol, each the next free number."""
    order = _canonical_order(lengths)
    sorted_lengths = lengths[order]
    # the left-aligned code word is the sum of the shares of the code space that come before it
    shares = np.left_shift(1, LONGEST - sorted_lengths)
    codes = np.zeros(len(lengths), dtype=np.int64)
    codes[order] = (np.cumsum(shares) - shares) >> (LONGEST - sorted_lengths)
    return codes


def _canonical_order(lengths: np.ndarray) -> np.ndarray:
    used = np.flatnonzero(lengths)
    return used[np.argsort(lengths[used], kind="stable")]


def _decode_lanes(stream: np.ndarray, positions: np.ndarray, lengths: np.ndarray, steps: int) -> np.ndarray:
    """Decode ``steps`` symbols from every lane in step, (lanes, steps); past a lane's end comes what is of no use."""
    order = _canonical_order(lengths)
    sorted_lengths = lengths[order]
    firsts = canonical_codes(lengths)[order] << (LONGEST - sorted_lengths)
    # one entry for each length in use: where its code words start (left-aligned), and which symbol that is
    kinds = np.flatnonzero(np.diff(sorted_lengths, prepend=0))
    starts, widths = firsts[kinds], sorted_lengths[kinds]
    padded = np.concatenate([stream, np.zeros(16, np.uint8)]).astype(np.int64)
    windows = sum(padded[i : len(stream) + 8 + i] << (32 - 8 * i) for i in range(5))
    decoded = np.empty((len(positions), steps), dtype=np.int64)
    positions = positions.copy()
    for step in range(steps):
        window = (windows[positions >> 3] >> (8 - (positions & 7))) & 0xFFFFFFFF
        kind = np.searchsorted(starts, window, side="right") - 1
        width = widths[kind]
        decoded[:, step] = kinds[kind] + ((window - starts[kind]) >> (LONGEST - width))
        positions = np.minimum(positions + width, 8 * len(stream))
    return order[np.minimum(decoded, len(order) - 1)]


def _lane_length(total: int) -> int:
    """Symbols a lane: four times the root of the whole, so that lanes cost little and decode in few steps."""
    return max(4 * int(total**0.5), 1)


def _model(counts: np.ndarray) -> constriction.stream.model.Categorical:
    return constriction.stream.model.Categorical((counts / counts.sum()).astype(np.float64), perfect=False)


def _pack(words: np.ndarray, widths: np.ndarray) -> bytes:
    """``words`` as bits, highest first, ``widths`` bits each, padded with zeros to whole bytes."""
    ends = np.cumsum(widths)
    bits = np.zeros(int(ends[-1]) if len(ends) else 0, dtype=np.uint8)
    for place in range(int(widths.max(initial=0))):
        kept = np.flatnonzero(widths > place)
        bits[ends[kept] - 1 - place] = (words[kept] >> place) & 1
    return np.packbits(bits).tobytes()


def _gamma_encode(numbers: np.ndarray) -> bytes:
    """Positive integers as Elias gamma codes: as many zeros as bits follow the highest, then the number."""
    return _pack(numbers, 2 * np.frexp(numbers.astype(np.float64))[1].astype(np.int64) - 1)


def _gamma_decode(data: bytes, start: int, count: int) -> tuple[np.ndarray, int]:
    """``count`` numbers from byte ``start``, and the byte after them."""
    longest = data[start : start + GAMMA_BYTES * count]
    bits = format(int.from_bytes(longest, "big"), f"0{8 * len(longest)}b")
    numbers, position = np.empty(count, dtype=np.int64), 0
    for i in range(count):
        one = bits.index("1", position)
        end = 2 * one - position + 1
        numbers[i] = int(bits[one:end], 2)
        position = end
    return numbers, start + -(-position // 8)
