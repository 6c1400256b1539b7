"""Parts of generated log lines: addresses, requests with responses, user agents."""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]

HALF = 1 << 16
#: Percentage of lines by kind.
SHARES = {"page": 28, "asset": 24, "call": 34, "hook": 12, "probe": 2}
HEADS = 80_000
THINGS = "mug teapot kettle lamp scarf desk chair shelf blanket candle".split()
STATUSES = {
    "page": [200] * 30 + [302, 304, 404, 500],
    "asset": [200] * 5 + [304] * 4 + [404],
    "call": [200] * 20 + [201] * 8 + [402, 404, 409, 429, 503],
    "hook": [200] * 40 + [401, 503],
    "probe": [404] * 9 + [403],
}
ADDRESS_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class Addresses:
    """Client addresses by number, all distinct: `heads[a] + tails[b]`."""

    def __init__(self, *, seed: int) -> None:
        dice = random.Random(seed)
        heads4 = [f"{a}.{b}." for a in range(1, 224) for b in range(256) if not _reserved(a, b)]
        tails4 = [f"{c}.{d}" for c in range(256) for d in range(256)]
        heads6 = _different(lambda: f"2a{dice.randrange(256):02x}:{_groups(dice, 3)}:")
        tails6 = _different(lambda: _interface(dice))
        self.heads = [text.encode() for text in heads4 + heads6]
        self.tails = [text.encode() for text in tails4 + tails6]
        self._heads4 = len(heads4)

    def parts(self, numbers: Ints) -> tuple[Ints, Ints]:
        """
        Return for each number its indexes in `heads` and in `tails`.

        Seven of ten numbers are IPv4. The numbers of a family are multiplied by a factor coprime to the
        size of its address space, and the tails are permuted again per head: both are invertible, so that
        different numbers are different addresses.
        """
        tens, ones = np.divmod(numbers, 10)
        spread4 = (tens * 7 + ones) * 2_654_435_761 % (self._heads4 * HALF)
        spread6 = (tens * 3 + ones - 7) * 2_654_435_769 % (HALF * HALF)
        is_v4 = ones < 7
        spread = np.where(is_v4, spread4, spread6)
        head, tail = spread >> 16, spread & (HALF - 1)
        tail ^= head * 40_503 & (HALF - 1)
        return np.where(is_v4, head, head + self._heads4), np.where(is_v4, tail, tail + HALF)

    def text(self, number: int) -> str:
        """Return the text of an address."""
        [head], [tail] = self.parts(np.array([number]))
        return str(self.heads[head] + self.tails[tail], "ascii")


def _reserved(a: int, b: int) -> bool:
    """Return whether any part of a.b.0.0/16 is not public (RFC 6890)."""
    return (
        a in {10, 127}
        or (a == 100 and 64 <= b < 128)
        or (a == 172 and 16 <= b < 32)
        or (a, b) in {(169, 254), (192, 0), (192, 88), (192, 168), (198, 18), (198, 19)}
        or (a, b) in {(198, 51), (203, 0)}
    )


def _groups(dice: random.Random, count: int) -> str:
    return ":".join(f"{dice.randrange(1, HALF):x}" for _ in range(count))


def _interface(dice: random.Random) -> str:
    """Return the last four groups of an address; 5 % are short, as of servers (`::1f`)."""
    return f":{dice.randrange(1, HALF):x}" if dice.random() < 0.05 else _groups(dice, 4)


def _different(draw: Callable[[], str]) -> list[str]:
    drawn: dict[str, None] = {}
    while len(drawn) < HALF:
        drawn[draw()] = None
    return list(drawn)


class Requests:
    """
    The parts of a line after its time: `heads` (request, status, size) and `ends` (referrer, user agent).

    *ranges* has for each kind the first index and number of its heads, and of its ends, because each kind
    of request has its own user agents.
    """

    def __init__(self, *, seed: int) -> None:
        self._dice = random.Random(seed)
        self.heads: list[bytes] = []
        self.ends: list[bytes] = []
        ranges = []
        for kind, share in SHARES.items():
            heads = [self._head(kind) for _ in range(HEADS * share // 100)]
            ends = [f'{end}"\n'.encode() for end in self._ends(kind)]
            ranges.append((len(self.heads), len(heads), len(self.ends), len(ends)))
            self.heads += heads
            self.ends += ends
        self.ranges = np.array(ranges)
        #: 0.1 % of the lines have one of these, with URLs of 0.8 to 10 KB.
        self.long_heads = [self._long_head() for _ in range(1_000)]

    def _id(self, prefix: str) -> str:
        return prefix + "".join(self._dice.choices(ADDRESS_DIGITS, k=22))

    def _head(self, kind: str) -> bytes:
        dice = self._dice
        status = dice.choice(STATUSES[kind])
        size = 0 if status == 304 else int(dice.lognormvariate(8, 1.4))
        version = dice.choice(["1.1", "2.0"])
        return f'{dice.choice(self._requests(kind))} HTTP/{version}" {status} {size} "'.encode()

    def _requests(self, kind: str) -> Sequence[str]:
        thing, number = self._dice.choice(THINGS), self._dice.randrange(100_000)
        page = number % 60
        if kind == "page":
            return [
                "GET /",
                "GET /cart",
                "GET /checkout",
                f"GET /c/{thing}s?page={page}&sort=price",
                f"GET /p/{thing}-{number}",
                f"GET /p/{thing}-{number}?colour=blue&size=m",
                f"GET /search?q=blue+{thing}&page={page}",
                f"POST /cart/lines/{number}",
                f"GET /orders/{self._id('ord_')}",
            ]
        if kind == "asset":
            return [
                f"GET /static/app.{number % 97:06x}.css",
                f"GET /static/app.{number % 89:06x}.js",
                f"GET /media/{thing}-{number}-640w.webp",
                f"GET /media/{thing}-{number}-1280w.webp",
                "GET /favicon.ico",
            ]
        if kind == "call":
            return [
                "POST /v1/orders",
                f"GET /v1/orders/{self._id('ord_')}",
                "POST /v1/quotes",
                f"GET /v1/payments/{self._id('pay_')}?expand=refunds",
                "GET /healthz",
                f"POST /v1/payments/{self._id('pay_')}/refunds",
                "GET /metrics",
                f"GET /v1/events?limit=100&after={self._id('ev_')}",
            ]
        if kind == "hook":
            return ["POST /hooks/card-eu", "POST /hooks/card-us", "POST /hooks/wallet-eu"]
        return [
            "GET /wp-login.php",
            "GET /.env",
            "GET /.git/config",
            "POST /xmlrpc.php",
            f"GET /index.php?id={number}%27%20OR%201=1--",
            f"GET /../../etc/passwd%00{page}",
        ]

    def _long_head(self) -> bytes:
        length = int(math.exp(self._dice.uniform(math.log(800), math.log(10_000))))
        query = "&".join(self._id("filter=") for _ in range(length // 30))
        return f'GET /search?q=lamp&{query} HTTP/1.1" 200 18342 "'.encode()

    def _ends(self, kind: str) -> list[str]:
        if kind in {"page", "asset"}:
            return [f'{self._referrer()}" "{self._browser()}' for _ in range(6_000)]
        agents = {
            "call": [
                f"{name}/{major}.{minor} (Linux x86_64; runtime {major + 18}.0.{minor}; json)"
                for name in ("shop-erp", "orders-sync", "stock-feed")
                for major in range(1, 4)
                for minor in range(12)
            ],
            "hook": [
                f"{name}-Hooks/1.{minor} (+https://{name.lower()}.example/hooks)"
                for name in ("Card", "Wallet")
                for minor in range(4)
            ],
            "probe": ["-", "port-walker/1.3", "Mozilla/5.0 zz", "fetch/8.9.1"],
        }[kind]
        return [f'-" "{agent}' for agent in agents]

    def _referrer(self) -> str:
        dice = self._dice
        path = dice.choice(
            ["", "", "cart", "c/mugs?page=2&sort=price", f"p/lamp-{dice.randrange(40)}"]
        )
        return dice.choice(["-", *3 * [f"https://www.shop.example/{path}"]])

    def _browser(self) -> str:
        dice = self._dice
        system = dice.choice(
            ["Windows NT 10.0; Win64; x64", "X11; Linux x86_64", "Macintosh; Intel"]
        )
        major = dice.randrange(120, 143)
        return dice.choice(
            [
                f"Mozilla/5.0 ({system}) AppleWebKit/537.36 Chrome/{major}.0.0.0 Safari/537.36",
                f"Mozilla/5.0 ({system}; rv:{major}.0) Gecko/20100101 Firefox/{major}.0",
                f"ShopApp/{major % 5}.{major % 9} (Android {major % 7 + 9})",
            ]
        )


@functools.cache
def of(seed: int) -> tuple[Addresses, Requests]:
    """Return the parts of a seed's logs; creating them takes a second."""
    return Addresses(seed=seed), Requests(seed=seed)
