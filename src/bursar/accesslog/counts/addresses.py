"""
Client addresses as keys, many at once.

An IPv4 address in dotted decimals has one text only, of at most 15 letters of 11 kinds: half a byte
a letter, so a word holds it exactly. An IPv6 address (RFC 4291) may be written in many ways: it is
kept as its canonical text (RFC 5952), 40 bytes padded with zeros; one that maps IPv4
(::ffff:192.0.2.1) is that IPv4 address.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bursar.accesslog.lines import scanning
from bursar.accesslog.lines.scanning import ALL, HIGH, ODD, Ints, Mask, U, Words, repeated

_SPACE, _ZERO, _DOT = repeated(0x20), repeated(0x30), repeated(0x2E)
_ABOVE_NINE, _ALL_BUT_HIGH, _LOW_HALVES = repeated(0x46), repeated(0x7F), repeated(0x0F)
_LOW_BITS = repeated(0x11)
#: The inverse of ODD modulo 2^64.
_UNDO = U(pow(int(ODD), -1, 2**64))
_NO_LETTER, _DOT_HALF = 0xF, 0xE
_MAPPED, _SEVEN_BYTES = U(int.from_bytes(b"::ffff:", "little")), U((1 << 56) - 1)
_PIECE_ROWS = 1 << 14
V6_WORDS = 5


class Tokens(NamedTuple):
    """Texts that may be addresses, sorted by what they look like."""

    v4: Words
    """Keys of what consists of digits and dots, by *is_v4*."""

    is_v4: Mask
    v6: Words
    """The text of the rest, padded with zeros: shape (count of the rest, 5)."""

    fits: Mask
    """Which of the rest end within 39 letters; others are no addresses."""


def tokens(raw: bytearray, starts: Ints, ends: Ints | None) -> Tokens:
    """Take a text at each start: up to its end or, without *ends*, up to the first blank."""
    keys, is_v4, begins = _dotted(raw, starts, ends)
    mapped = np.flatnonzero((begins & _SEVEN_BYTES) == _MAPPED)
    if len(mapped):  # ::ffff:192.0.2.1, as servers write that listen to both kinds at once
        behind = None if ends is None else ends[mapped]
        keys[mapped], is_dotted, _ = _dotted(raw, starts[mapped] + 7, behind)
        is_v4[mapped] = is_dotted & v4_is_valid(keys[mapped] * ODD)
    rest = np.flatnonzero(~is_v4)
    texts, fits = _texts(raw, starts[rest], None if ends is None else ends[rest])
    return Tokens(keys[is_v4] * ODD, is_v4, texts, fits)


def _dotted(raw: bytearray, starts: Ints, ends: Ints | None) -> tuple[Words, Mask, Words]:
    """Return the half bytes of each text, whether it is digits and dots, and how it begins."""
    words = scanning.words_at(raw, starts, 2)
    low, high = words[:, 0].copy(), words[:, 1].copy()
    if ends is None:
        low_mask, in_low = scanning.below_first(low, _SPACE)
        high_mask, in_high = scanning.below_first(high, _SPACE)
        high_mask[in_low] = 0
        ended = in_low | in_high
    else:
        length = ends - starts
        low_mask, high_mask = scanning.first_bytes(length), scanning.first_bytes(length - 8)
        ended = length < 16
    low &= low_mask
    high &= high_mask
    is_v4: Mask = ((_not_dotted(low, low_mask) | _not_dotted(high, high_mask)) == 0) & ended
    keys = _halves((low | ~low_mask) & _LOW_HALVES) | (
        _halves((high | ~high_mask) & _LOW_HALVES) << U(32)
    )
    return keys, is_v4, low


def _not_dotted(word: Words, mask: Words) -> Words:
    """Return words that are zero where the masked bytes are digits and dots."""
    padded = word | (~mask & _ZERO)
    dot = ~((padded ^ _DOT) + _ALL_BUT_HIGH)
    below_zero = ~((padded | HIGH) - _ZERO) & ~dot
    return (padded | (padded + _ABOVE_NINE) | below_zero) & HIGH


def _halves(word: Words) -> Words:
    """Bring the low halves of eight bytes together in the low four."""
    word = (word | word >> U(4)) & U(0x00FF00FF00FF00FF)
    word = (word | word >> U(8)) & U(0x0000FFFF0000FFFF)
    return (word | word >> U(16)) & U(0xFFFFFFFF)


def _texts(raw: bytearray, starts: Ints, ends: Ints | None) -> tuple[Words, Mask]:
    texts = scanning.words_at(raw, starts, V6_WORDS)
    open_ = np.ones(len(texts), np.bool_)
    nul = np.zeros(len(texts), np.bool_)  # a text that holds one would look like a shorter one
    for column in range(V6_WORDS):
        word = texts[:, column]
        if ends is None:
            mask, ends_here = scanning.below_first(word, _SPACE)
        else:
            length = ends - starts - 8 * column
            mask, ends_here = scanning.first_bytes(length), length < 8
        nul |= open_ & (scanning.zero_bytes(word | ~mask) != 0)
        texts[:, column] = np.where(open_, word & mask, U(0))
        open_ &= ~ends_here
    return texts, ~open_ & ~nul


def v6_text(words: Words) -> str:
    """Return the text that is kept in *words*; it may hold any bytes where it is no address."""
    return words.tobytes().rstrip(b"\0").decode("latin-1")


def text_of(columns: bytes) -> str:
    """Return an address from its columns, big-endian: one word of an IPv4 number, or five of IPv6 text."""
    if len(columns) == 8:
        return socket.inet_ntoa(columns[4:])
    return columns.rstrip(b"\0").decode("ascii")


def v6_words(text: str) -> Words:
    """Keep *text*, of at most 39 letters, in words: shape (1, 5)."""
    return np.frombuffer(text.encode("ascii").ljust(8 * V6_WORDS, b"\0"), U).reshape(1, -1)


def _piecewise(test: Callable[[Words], Mask]) -> Callable[[Words], Mask]:
    """Have *test* see some rows at a time: what it makes of many would not stay in the cache."""

    @functools.wraps(test)
    def whole(words: Words) -> Mask:
        pieces = range(0, len(words), _PIECE_ROWS)
        return np.concatenate([test(words[at : at + _PIECE_ROWS]) for at in pieces])

    return whole


@_piecewise
def v4_is_valid(keys: Words) -> Mask:
    """Tell which keys are four decimals up to 255 without leading zeros."""
    halves = keys * _UNDO
    ones, twos, fours, eights = (halves >> U(bit) & _LOW_BITS for bit in range(4))
    other = eights & (fours | twos)  # dots and what is behind the end; all digits are below 10
    dots, ends = other & ~ones, other & ones
    digits = other ^ _LOW_BITS
    begins = dots << U(4) | U(1)
    second, third = digits >> U(4), digits >> U(8)
    bad = (begins & other) | (dots & ends >> U(4))  # an empty decimal
    bad |= digits & second & third & digits >> U(12)
    bad |= begins & second & ~(ones | twos | fours | eights)
    hundreds = begins & second & third
    bad |= hundreds & (ones & twos | fours | eights)
    two = hundreds & twos
    bad |= two & (fours & twos | eights) >> U(4)
    bad |= two & (fours & ones & ~twos) >> U(4) & (fours & twos | eights) >> U(8)
    valid: Mask = (bad == 0) & (np.bitwise_count(dots) == 3)
    return valid


def v4_numbers(keys: Words) -> Words:
    """Return valid keys as the 32-bit numbers of their addresses."""
    halves = keys * _UNDO
    number, value = np.zeros(len(keys), U), np.zeros(len(keys), U)
    for at in range(16):
        letter = (halves >> U(4 * at)) & U(15)
        is_dot = letter == _DOT_HALF
        number = np.where(is_dot, (number + value) << U(8), number)
        value = np.where(letter < 10, value * U(10) + letter, np.where(is_dot, U(0), value))
    return number + value


def v4_halves(keys: Words) -> Words:
    """Return keys without this process's secret, as another one may read them."""
    halves: Words = keys * _UNDO
    return halves


def v4_keys(halves: Words) -> Words:
    """Make keys of what `v4_halves` returned."""
    keys: Words = halves * ODD
    return keys


def v4_key(text: str) -> int:
    """Return the key of an IPv4 address."""
    halves = int(ALL)
    for at, letter in enumerate(text):
        halves ^= (_NO_LETTER ^ (_DOT_HALF if letter == "." else int(letter))) << (4 * at)
    return halves * int(ODD) % 2**64


def canonical(text: str) -> str | None:
    """Return the one way to write an address, "192.0.2.1" or as RFC 5952 says; None if it is none."""
    try:
        if ":" not in text:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (ValueError, OSError):
        return None
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return ipaddress.IPv6Address(packed).compressed


@_piecewise
def surely_canonical(texts: Words) -> Mask:
    """
    Tell of which texts the letters alone show that they are canonical IPv6.

    That is nearly all, as servers write addresses canonically. What is left, `canonical` decides.
    """
    letters = texts.view(np.uint8)
    colon = _bits(letters == 0x3A)
    digit = _bits((letters - np.uint8(0x30) < 10) | (letters - np.uint8(0x61) < 6))
    text = _bits(letters != 0)
    one, end = U(1), text & ~(text >> U(1))
    begins = digit & ~(digit << one)
    zeros = begins & _bits(letters == 0x30)
    # Another letter, a group of five, one that begins with a zero and goes on, a colon alone at an edge.
    bad = text ^ (colon | digit)
    bad |= digit & digit >> one & digit >> U(2) & digit >> U(3) & digit >> U(4)
    bad |= zeros & digit >> one
    bad |= colon & (~(colon >> one) & one | end & ~(colon << one))
    pairs, groups = np.bitwise_count(colon & colon >> one), np.bitwise_count(begins)
    count, zeros = np.bitwise_count(colon), np.bitwise_count(zeros)
    whole = (pairs == 0) & (groups == 8) & (count == 7) & (zeros < 2)
    short = (pairs == 1) & (groups < 7) & (zeros == 0)
    sure: Mask = (bad == 0) & (text != 0) & (whole | short)
    sure &= (texts[:, 0] & _SEVEN_BYTES) != _MAPPED  # it may stand for an IPv4 address
    return sure


def _bits(mask: Mask) -> Words:
    """Pack each row, of a multiple of 8 up to 64, into the low bits of a word."""
    packed = np.packbits(mask.reshape(-1), bitorder="little").reshape(len(mask), -1)
    padded = np.zeros((len(packed), 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(U).reshape(-1)
