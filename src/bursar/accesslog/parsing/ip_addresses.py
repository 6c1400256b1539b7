"""
Vectorized conversion of client addresses to keys.

An IPv4 address in dotted decimals has exactly one text, at most 15 characters out of 11: half a byte per
character, so a word stores it exactly. An IPv6 address (RFC 4291) can be written in many ways: it is
stored as its canonical text (RFC 5952), 40 bytes padded with zeros; an IPv4-mapped one
(::ffff:192.0.2.1) is stored as that IPv4 address.
"""

from __future__ import annotations

import functools
import ipaddress
import socket
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bursar.accesslog.parsing import byte_search
from bursar.accesslog.parsing.byte_search import HIGH, ODD, Ints, Mask, U, Words, repeat_byte

_SPACE, _DOT, _LOW_HALVES = repeat_byte(0x20), repeat_byte(0x2E), repeat_byte(0x0F)
#: Added to a character minus ".", sets the high bit for characters above "9".
_ABOVE_NINE = repeat_byte(0x80 - (0x3A - 0x2E))
_LOW_BITS = repeat_byte(0x11)
#: The inverse of ODD modulo 2^64.
_ODD_INVERSE = U(pow(int(ODD), -1, 2**64))
#: Half bytes: the lower half of a character's byte; after the end a value that no character has.
_DOT_HALF, _NO_LETTER = 0xE, 0xD
_NO_LETTERS = repeat_byte(_NO_LETTER)
_MAPPED, _SEVEN_BYTES = U(int.from_bytes(b"::ffff:", "little")), U((1 << 56) - 1)
#: Steps that pack the lower halves of eight bytes into the low four bytes.
_CLOSING_UP = (
    (U(4), U(0x00FF00FF00FF00FF)),
    (U(8), U(0x0000FFFF0000FFFF)),
    (U(16), U(0xFFFFFFFF)),
)
_PIECE_ROWS = 1 << 12
V6_WORDS = 5
#: Offsets of the words after the first two.
_BEHIND = np.arange(16, 8 * V6_WORDS, 8).reshape(-1, 1)


class Tokens(NamedTuple):
    """Texts that may be addresses, separated into IPv4 and the rest."""

    v4: Words
    """Keys of the texts that consist of digits and dots, in the order of *is_v4*."""

    is_v4: Mask
    v6: Words
    """
    The other texts, padded with zeros: shape (5, number of texts).

    Texts of more than 39 characters or with NUL are not addresses, and are zeros here.
    """


class _Beginnings(NamedTuple):
    """The first 16 bytes of texts, padded with zeros: shape (2, texts)."""

    words: Words
    masks: Words
    """Masks of the bytes before the end; both are all ones if the text is longer."""

    def take(self, index: Ints) -> _Beginnings:
        # Along the second axis indexing takes six times as long as `take`.
        return _Beginnings(self.words.take(index, 1), self.masks.take(index, 1))


def parse_tokens(raw: bytearray, starts: Ints, ends: Ints | None) -> Tokens:
    """Return the tokens at *starts*, up to *ends* or, if that is None, up to the first space."""
    begun = _first_words(raw, starts, ends)
    keys, is_v4 = _dotted(begun)
    rest = np.flatnonzero(~is_v4)
    mapped = rest[(begun.words[0].take(rest) & _SEVEN_BYTES) == _MAPPED]
    if len(mapped):  # ::ffff:192.0.2.1, written by dual-stack servers
        behind = None if ends is None else ends[mapped]
        keys[mapped], is_dotted = _dotted(_first_words(raw, starts[mapped] + 7, behind))
        is_v4[mapped] = is_dotted & v4_is_valid(keys[mapped] * ODD)
        rest = np.flatnonzero(~is_v4)
    texts = _texts(
        raw, starts.take(rest), None if ends is None else ends.take(rest), begun.take(rest)
    )
    return Tokens(keys.compress(is_v4) * ODD, is_v4, texts)


def _first_words(raw: bytearray, starts: Ints, ends: Ints | None) -> _Beginnings:
    words = np.ascontiguousarray(byte_search.words_at(raw, starts, 2).T)
    if ends is None:
        masks = byte_search.below_first(words, _SPACE)
        byte_search.clear_after_end(masks)
    else:
        length = ends - starts
        masks = byte_search.first_bytes(np.stack((length, length - 8)))
    words &= masks
    return _Beginnings(words, masks)


def _ends_within(masks: Words) -> Mask:
    """Return the mask of texts that end within their last word."""
    ends: Mask = masks.view(np.int64) >= 0
    return ends


def _dotted(begun: _Beginnings) -> tuple[Words, Mask]:
    """Return the half bytes of each text, and whether it consists of digits and dots."""
    # A slash is between dot and digits in ASCII; it passes here, and `v4_is_valid` rejects it.
    above_dot = begun.words - _DOT
    other = above_dot + _ABOVE_NINE
    other |= above_dot
    other &= begun.masks
    is_v4: Mask = ((other[0] | other[1]) & HIGH) == 0
    is_v4 &= _ends_within(begun.masks[1])
    halves = ~begun.masks
    halves &= _NO_LETTERS
    halves |= begun.words
    halves &= _LOW_HALVES
    for shift, mask in _CLOSING_UP:
        halves |= halves >> shift
        halves &= mask
    return halves[0] | halves[1] << U(32), is_v4


def _texts(raw: bytearray, starts: Ints, ends: Ints | None, begun: _Beginnings) -> Words:
    words = np.ascontiguousarray(byte_search.words_at(raw, starts + 16, V6_WORDS - 2).T)
    if ends is None:
        masks = np.concatenate((begun.masks, byte_search.below_first(words, _SPACE)))
        byte_search.clear_after_end(masks)
    else:
        masks = np.concatenate((begun.masks, byte_search.first_bytes(ends - starts - _BEHIND)))
    words = np.concatenate((begun.words, words))
    words &= masks
    is_none = ~_ends_within(masks[-1])
    # A text that contains NUL would look like a shorter one.
    is_none |= byte_search.zero_bytes(words | ~masks).any(axis=0)
    words[:, np.flatnonzero(is_none)] = 0
    return words


def v6_text(words: Words) -> str:
    """Return the text stored in *words*; it may contain any bytes if it is not an address."""
    return words.tobytes().rstrip(b"\0").decode("latin-1")


def address_text(columns: bytes) -> str:
    """Return the address of big-endian sort columns: one word of IPv4 number, or five words of IPv6 text."""
    if len(columns) == 8:
        return socket.inet_ntoa(columns[4:])
    return columns.rstrip(b"\0").decode("ascii")


def v6_words(text: str) -> Words:
    """Return *text*, at most 39 characters, as words: shape (5, 1)."""
    return np.frombuffer(text.encode("ascii").ljust(8 * V6_WORDS, b"\0"), U).reshape(-1, 1)


def _in_batches(test: Callable[[Words], Mask]) -> Callable[[Words], Mask]:
    """Apply *test* to batches of rows, whose intermediate arrays fit into the CPU cache."""

    @functools.wraps(test)
    def batched(words: Words) -> Mask:
        pieces = range(0, max(len(words), 1), _PIECE_ROWS)
        return np.concatenate([test(words[at : at + _PIECE_ROWS]) for at in pieces])

    return batched


@_in_batches
def v4_is_valid(keys: Words) -> Mask:
    """Return the mask of keys with four decimals up to 255 without leading zeros."""
    halves = keys * _ODD_INVERSE
    ones, twos, fours, eights = (halves >> U(bit) & _LOW_BITS for bit in range(4))
    other = eights & (fours | twos)  # dots, slashes and padding; digits are below 10
    dots, ends = other & ~ones, other & ones
    digits = other ^ _LOW_BITS
    begins = dots << U(4) | U(1)
    second, third = digits >> U(4), digits >> U(8)
    bad = ends & twos  # a slash
    bad |= (begins & other) | (dots & ends >> U(4))  # an empty decimal
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
    """Return the 32-bit numbers of the addresses of valid keys."""
    halves = keys * _ODD_INVERSE
    number, value = np.zeros(len(keys), U), np.zeros(len(keys), U)
    for at in range(16):
        letter = (halves >> U(4 * at)) & U(15)
        is_dot = letter == _DOT_HALF
        number = np.where(is_dot, (number + value) << U(8), number)
        value = np.where(letter < 10, value * U(10) + letter, np.where(is_dot, U(0), value))
    return number + value


def v4_halves(keys: Words) -> Words:
    """Return keys without this process's secret, for use in other processes."""
    halves: Words = keys * _ODD_INVERSE
    return halves


def v4_keys(halves: Words) -> Words:
    """Return keys from the result of `v4_halves`."""
    keys: Words = halves * ODD
    return keys


def v4_key(text: str) -> int:
    """Return the key of an IPv4 address."""
    halves = 0
    for at, letter in enumerate(text.ljust(16)):
        half = {".": _DOT_HALF, " ": _NO_LETTER}.get(letter)
        halves |= (int(letter) if half is None else half) << (4 * at)
    return halves * int(ODD) % 2**64


def canonical_address(text: str) -> str | None:
    """Return the canonical text of an address (RFC 5952 for IPv6), None if *text* is not an address."""
    try:
        if ":" not in text:
            return socket.inet_ntop(socket.AF_INET, socket.inet_pton(socket.AF_INET, text))
        packed = socket.inet_pton(socket.AF_INET6, text)
    except (ValueError, OSError):
        return None
    if packed[:12] == b"\0" * 10 + b"\xff\xff":
        return socket.inet_ntop(socket.AF_INET, packed[12:])
    return ipaddress.IPv6Address(packed).compressed


@_in_batches
def is_surely_canonical(texts: Words) -> Mask:
    """
    Return the mask of texts that are certainly canonical IPv6, by a check of their characters only.

    That is nearly all, as servers write addresses canonically. The others need `canonical_address`.
    """
    letters = texts.view(np.uint8)
    colon = _bits(letters == 0x3A)
    digit = _bits((letters - np.uint8(0x30) < 10) | (letters - np.uint8(0x61) < 6))
    text = _bits(letters != 0)
    one, end = U(1), text & ~(text >> U(1))
    begins = digit & ~(digit << one)
    zeros = begins & _bits(letters == 0x30)
    # Another character, a group of five, a leading zero, a single colon at an edge.
    bad = text ^ (colon | digit)
    bad |= digit & digit >> one & digit >> U(2) & digit >> U(3) & digit >> U(4)
    bad |= zeros & digit >> one
    bad |= colon & (~(colon >> one) & one | end & ~(colon << one))
    pairs, groups = np.bitwise_count(colon & colon >> one), np.bitwise_count(begins)
    count, zeros = np.bitwise_count(colon), np.bitwise_count(zeros)
    uncompressed = (pairs == 0) & (groups == 8) & (count == 7) & (zeros < 2)
    compressed = (pairs == 1) & (groups < 7) & (zeros == 0)
    sure: Mask = (bad == 0) & (text != 0) & (uncompressed | compressed)
    sure &= (texts[:, 0] & _SEVEN_BYTES) != _MAPPED  # it may stand for an IPv4 address
    return sure


def _bits(mask: Mask) -> Words:
    """Pack each row (a multiple of 8, up to 64) into the low bits of a word."""
    packed = np.packbits(mask.reshape(-1), bitorder="little").reshape(len(mask), -1)
    padded = np.zeros((len(packed), 8), np.uint8)
    padded[:, : packed.shape[1]] = packed
    return padded.view(U).reshape(-1)
