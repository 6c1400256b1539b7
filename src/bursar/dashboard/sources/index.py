"""Everything that is watched: the file's, what people entered, and the provider accounts."""

from __future__ import annotations

from typing import Final

from bursar.dashboard.declaring import entered
from bursar.dashboard.declaring.files import File
from bursar.dashboard.sources import accounts, calling, certificates
from bursar.dashboard.sources.accounts import Reading
from bursar.dashboard.sources.watched import Watch
from bursar.payments.models import ProviderAccount

ACCOUNTS_MAX: Final = 200


def found(file: File, *, reading: Reading) -> dict[str, Watch]:
    """
    What is to be watched now, by key; reads the database.

    Where the file and a person give one name to an API, the file's holds.
    """
    watches: list[Watch] = []
    for name in ProviderAccount.objects.order_by("name").values_list("name", flat=True)[
        :ACCOUNTS_MAX
    ]:
        told = file.account(name)
        if told.watch:
            watches += accounts.watches(name=name, told=told, reading=reading)
    apis = {
        **{n: (a, True) for n, a in entered.active().items()},
        **{n: (a, False) for n, a in file.apis.items()},
    }
    watches += [calling.watch(name=n, api=a, entered=own) for n, (a, own) in apis.items()]
    watches += [certificates.watch(name=n, certificate=c) for n, c in file.certificates.items()]
    return {watch.key: watch for watch in watches}
