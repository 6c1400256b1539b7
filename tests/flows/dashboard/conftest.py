"""Certificates made for a test."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest


@dataclass(frozen=True, slots=True)
class Made:
    """A certificate that vouches for itself, and a server's context that shows it."""

    path: Path
    context: ssl.SSLContext


@pytest.fixture
def certificate(tmp_path: Path) -> Callable[..., Made]:
    """Make one for a host's name, good for so many days from now."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")

    def make(host: str, *, days: int = 30) -> Made:
        path, key = tmp_path / f"{host}{days}.pem", tmp_path / f"{host}{days}.key"
        new = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        named = f"-subj /CN={host} -addext subjectAltName=DNS:{host}"
        if days > 0:
            openssl(f"req -x509 {new} -days {days} {named} -keyout {key} -out {path}")
        else:
            # `req` takes no end in the past, `ca` does, if it may keep its books somewhere.
            (tmp_path / "books").touch()
            (tmp_path / "ca.conf").write_text(CA.format(folder=tmp_path))
            openssl(f"req -new {new} {named} -keyout {key} -out {path}.csr")
            openssl(
                f"ca -batch -selfsign -config {tmp_path}/ca.conf -keyfile {key} -in {path}.csr"
                f" -out {path} -startdate 200101000000Z -enddate 200102000000Z"
            )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path, key)
        return Made(path, context)

    return make


CA = """
[ca]
default_ca = own
[own]
database = {folder}/books
new_certs_dir = {folder}
default_md = sha256
policy = any
copy_extensions = copy
rand_serial = yes
[any]
commonName = supplied
"""


def openssl(arguments: str) -> None:
    program = ["openssl", *arguments.split()]
    subprocess.run(program, check=True, capture_output=True, timeout=30)
