"""
Vectorized search, extraction and hashing of bytes in a block.

A block's buffer has `SLACK` spare bytes on both sides, so that words of eight bytes can be read at any
position. Words are little-endian: the first byte of a text is the lowest of its word.
The bit operations are from H. Warren, Hacker's Delight (2nd ed., section 6-1).
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
#: Random odd secrets of this process and its forks; multiplication by an odd number is invertible.
SECRETS = np.frombuffer(os.urandom(8 * 134), U) | U(1)
ODD = SECRETS[-1]


def repeat_byte(byte: int) -> np.uint64:
    """Return a word with *byte* in all eight bytes."""
    return U(byte * 0x0101010101010101)


ONES, HIGH = repeat_byte(0x01), repeat_byte(0x80)


def positions(buffer: Bytes, byte: int) -> Ints:
    """
    Return the ascending positions of *byte* in *buffer*, whose length must be a multiple of 8.

    Words without the byte are skipped, which for line ends is three times as fast as `flatnonzero` on
    the bytes.
    """
    equal = buffer == byte
    words = equal.view(U)
    at = np.flatnonzero(words != 0)  # five times as fast on bools as on words
    within = np.flatnonzero(words[at].view(np.bool_))
    matches: Ints = (at[within >> 3] << 3) | (within & 7)
    return matches


def lowest_byte(word: Words) -> Ints:
    """Return the index (0 to 7) of the lowest byte that is not zero; words must not be zero."""
    return (np.bitwise_count((word & (~word + U(1))) - U(1)) >> 3).astype(np.int64)


def below_first(words: Words, byte: np.uint64) -> Words:
    """Return masks of the bytes before the first *byte* (repeated) in each word; all bytes if there is none."""
    zeros = zero_bytes(words ^ byte)
    masks: Words = ((zeros & (~zeros + U(1))) >> U(7)) - U(1)
    return masks


def clear_after_end(masks: Words) -> None:
    """
    Clear the masks of all words after the word in which a text ends.

    *masks* has shape (words, texts).
    """
    for before, behind in itertools.pairwise(masks):
        highest = (before.view(np.int64) >> 63).view(U)  # its highest bit, 64 times
        np.bitwise_and(behind, highest, out=behind)


def zero_bytes(word: Words) -> Words:
    """Return the high bit of the lowest zero byte (higher bits may be wrong), or 0."""
    return (word - ONES) & ~word & HIGH


def windows(raw: bytearray, width: int) -> NDArray[Any]:
    """
    Return a view of *raw* with an item of *width* bytes at every position.

    Indexing by an array copies *width* bytes per item; `np.take` is a hundred times slower here.
    """
    return np.ndarray((len(raw) - width + 1,), f"V{width}", raw, strides=(1,))


def words_at(raw: bytearray, at: Ints, words: int) -> Words:
    """Return *words* words at each position: shape (positions, words)."""
    result: Words = windows(raw, 8 * words)[at].view(U).reshape(-1, words)
    return result


def _byte_masks() -> Words:
    return np.array([(1 << (8 * count)) - 1 for count in range(9)], U)


_FIRST = _byte_masks()


_WITHIN = np.arange(0, 32, 8)
_CYCLE = 8 * 16
_SPREADING = SECRETS[_CYCLE : _CYCLE + 5]
_SUMMING = SECRETS[1:11].reshape(2, 5)


def first_bytes(count: Ints) -> Words:
    """Return for each *count* a mask of that many low bytes: none below 1, all from 8 on."""
    return _FIRST[np.minimum(np.maximum(count, 0), 8)]  # np.clip takes three times as long


def hash_texts(raw: bytearray, starts: Ints, ends: Ints) -> tuple[Words, Words]:
    """
    Return two hash words for each text (below 64 KiB) from *starts* to *ends*.

    Hashes depend on secrets of this process, so that clients cannot craft collisions. Texts are hashed
    32 bytes per round; shorter texts leave the loop earlier.
    """
    length = ends - starts
    order = np.argsort(length.astype(np.uint16), kind="stable")  # a radix sort
    at, remaining = starts[order], length[order]
    state = np.outer(mix_bits(remaining.astype(U) ^ SECRETS[0]), SECRETS[:2])
    finished = int(np.searchsorted(remaining, 0, side="right"))
    for turn in itertools.count(0, 8):
        if finished == len(order):
            break
        secrets = SECRETS[turn % _CYCLE : turn % _CYCLE + 8].reshape(4, 2)
        words = words_at(raw, at[finished:], 4)
        bound = int(np.searchsorted(remaining[finished:], 32))
        words[:bound] &= first_bytes(remaining[finished : finished + bound, None] - _WITHIN)
        state[finished:] = mix_bits(state[finished:] + _spread(words, _SPREADING[:4]) @ secrets)
        at += 32
        remaining -= 32
        finished = int(np.searchsorted(remaining, 0, side="right"))
    hashed = np.empty_like(state)
    hashed[order] = state
    return hashed[:, 0].copy(), hashed[:, 1].copy()


def hash_words(words: Words, *, checked: bool = True) -> tuple[Words, Words | None]:
    """Return two hash words for each column of at most 5 words, as `hash_texts`; the second only if *checked*."""
    spread = _spread(words, _SPREADING[: len(words), None])
    key = np.einsum("i,ij->j", _SUMMING[0, : len(words)], spread)
    key += SECRETS[0]  # so that zeros have a hash
    key ^= key >> U(32)  # the low bits of a sum of products are the weakest
    return key, np.einsum("i,ij->j", _SUMMING[1, : len(words)], spread) if checked else None


def _spread(words: Words, secrets: Words) -> Words:
    """Mix high bits into low ones: otherwise a sum of products may lose their differences."""
    words = words * secrets
    words ^= words >> U(32)
    return words


def mix_bits(word: Words) -> Words:
    """Return *word* with every bit mixed into all others (the finaliser of SplitMix64, Steele 2014)."""
    word = (word ^ (word >> U(30))) * U(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> U(27))) * U(0x94D049BB133111EB)
    return word ^ (word >> U(31))
