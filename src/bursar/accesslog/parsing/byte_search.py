"""
Finding and taking bytes in a block, many at once.

A block's buffer has `SLACK` bytes to spare on both sides, so that words of eight bytes can be taken
anywhere in it. Words are little-endian: the first byte of a text is the lowest of its word.
The tricks on words are those of H. Warren, Hacker's Delight (2nd ed., section 6-1).
"""

from __future__ import annotations

import itertools
import os
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

assert sys.byteorder == "little", "words are read as little-endian"

Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

SLACK = 64
U = np.uint64
#: Secrets of this process and those it forks, odd: multiplying by one can be undone.
SECRETS = np.frombuffer(os.urandom(8 * 134), U) | U(1)
ODD = SECRETS[-1]


def repeat_byte(byte: int) -> np.uint64:
    """Return a word of eight times the same byte."""
    return U(byte * 0x0101010101010101)


ONES, HIGH = repeat_byte(0x01), repeat_byte(0x80)


def positions(buffer: Bytes, byte: int) -> Ints:
    """
    Return where *byte* is in *buffer*, ascending; the buffer's length is a multiple of 8.

    Whole words without the byte are passed over at once, which for line ends is three times as fast
    as `flatnonzero` on the bytes.
    """
    equal = buffer == byte
    words = equal.view(U)
    at = np.flatnonzero(words != 0)  # of bools it is five times as fast as of words
    within = np.flatnonzero(words[at].view(np.bool_))
    matches: Ints = (at[within >> 3] << 3) | (within & 7)
    return matches


def lowest_byte(word: Words) -> Ints:
    """Return the number (0 to 7) of the lowest byte that is not zero; of no word that is zero."""
    return (np.bitwise_count((word & (~word + U(1))) - U(1)) >> 3).astype(np.int64)


def below_first(words: Words, byte: np.uint64) -> Words:
    """Return masks of the bytes of each word before the first *byte* (repeated), of all where it is not."""
    zeros = zero_bytes(words ^ byte)
    masks: Words = ((zeros & (~zeros + U(1))) >> U(7)) - U(1)
    return masks


def clear_after_end(masks: Words) -> None:
    """
    Clear, in the masks of texts of several words, what is behind one that is not whole.

    A row holds a word of each text: shape (words, texts).
    """
    for before, behind in itertools.pairwise(masks):
        highest = (before.view(np.int64) >> 63).view(U)  # its highest bit, 64 times
        np.bitwise_and(behind, highest, out=behind)


def zero_bytes(word: Words) -> Words:
    """Return the high bit of the lowest byte that is zero (of higher ones it may be wrong), or 0."""
    return (word - ONES) & ~word & HIGH


def windows(raw: bytearray, width: int) -> NDArray[Any]:
    """
    Return a view of *raw* with an item of *width* bytes at every byte.

    Taking items by an index array copies *width* bytes each; `np.take` would be a hundred times
    slower on it.
    """
    return np.ndarray((len(raw) - width + 1,), f"V{width}", raw, strides=(1,))


def words_at(raw: bytearray, at: Ints, words: int) -> Words:
    """Return *words* words from each position: shape (positions, words)."""
    taken_words: Words = windows(raw, 8 * words)[at].view(U).reshape(-1, words)
    return taken_words


def _byte_masks() -> Words:
    return np.array([(1 << (8 * count)) - 1 for count in range(9)], U)


_FIRST = _byte_masks()


_WITHIN = np.arange(0, 32, 8)
_CYCLE = 8 * 16
_SPREADING = SECRETS[_CYCLE : _CYCLE + 5]
_SUMMING = SECRETS[1:11].reshape(2, 5)


def first_bytes(count: Ints) -> Words:
    """Return for each *count* a mask of that many low bytes: none below 1, all from 8 on."""
    return _FIRST[np.minimum(np.maximum(count, 0), 8)]  # np.clip costs three times as much


def hash_texts(raw: bytearray, starts: Ints, ends: Ints) -> tuple[Words, Words]:
    """
    Return two words of hash for each text, below 64 KiB, from *starts* to *ends*.

    They depend on secrets of this process, so that nobody can write texts that collide. Texts of
    many lengths are hashed 32 bytes a round, the shorter ones leaving it early.
    """
    length = ends - starts
    order = np.argsort(length.astype(np.uint16), kind="stable")  # a radix sort
    at, remaining = starts[order], length[order]
    state = np.outer(mix_bits(remaining.astype(U) ^ SECRETS[0]), SECRETS[:2])
    gone = int(np.searchsorted(remaining, 0, side="right"))
    for turn in itertools.count(0, 8):
        if gone == len(order):
            break
        secrets = SECRETS[turn % _CYCLE : turn % _CYCLE + 8].reshape(4, 2)
        words = words_at(raw, at[gone:], 4)
        bound = int(np.searchsorted(remaining[gone:], 32))
        words[:bound] &= first_bytes(remaining[gone : gone + bound, None] - _WITHIN)
        state[gone:] = mix_bits(state[gone:] + _spread(words, _SPREADING[:4]) @ secrets)
        at += 32
        remaining -= 32
        gone = int(np.searchsorted(remaining, 0, side="right"))
    hashed = np.empty_like(state)
    hashed[order] = state
    return hashed[:, 0].copy(), hashed[:, 1].copy()


def hash_words(words: Words, *, checked: bool = True) -> tuple[Words, Words | None]:
    """Return as `hashes` two words of hash for each column, of at most 5; the second only if *checked*."""
    spread = _spread(words, _SPREADING[: len(words), None])
    key = np.einsum("i,ij->j", _SUMMING[0, : len(words)], spread)
    key += SECRETS[0]  # so that there is a hash of zeros
    key ^= key >> U(32)  # of a sum of products the low bits tell least
    return key, np.einsum("i,ij->j", _SUMMING[1, : len(words)], spread) if checked else None


def _spread(words: Words, secrets: Words) -> Words:
    """Bring what differs in high bits down: else a sum of products may not show it."""
    words = words * secrets
    words ^= words >> U(32)
    return words


def mix_bits(word: Words) -> Words:
    """Return *word* with every bit spread over all (the finaliser of SplitMix64, Steele 2014)."""
    word = (word ^ (word >> U(30))) * U(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> U(27))) * U(0x94D049BB133111EB)
    return word ^ (word >> U(31))
