from __future__ import annotations

from pathlib import Path

import pytest

from bursar import clock, errors, settings
from bursar.payments import provider_accounts
from bursar.payments.models import ProviderAccount
from tests.conftest import Database
from tests.shop import commit


def add(name: str = "main", provider: str = "sandbox", **config: object) -> None:
    commit(
        lambda: provider_accounts.create_account(
            name=name, provider=provider, config=config, now=clock.now()
        )
    )


def test_a_live_installation_refuses_what_is_for_trying_out(
    database: Database, closing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    live = settings.current.model_copy(update={"mode": settings.Mode.LIVE})
    monkeypatch.setattr(settings, "current", live)

    with pytest.raises(provider_accounts.TestCredentialsInLiveMode):
        add("other")

    assert list(ProviderAccount.objects.values_list("name", flat=True)) == ["main"]


def test_an_account_of_before_does_not_work_in_live_either(
    database: Database, closing: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    ProviderAccount.objects.create(name="old", provider="sandbox", created_at=clock.now())
    live = settings.current.model_copy(update={"mode": settings.Mode.LIVE})
    monkeypatch.setattr(settings, "current", live)

    with pytest.raises(provider_accounts.TestCredentialsInLiveMode):
        provider_accounts.get("old")


def test_secrets_come_from_the_environment_or_the_secrets_directory_and_are_not_stored(
    database: Database, closing: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("BURSAR_SHOP_DE_WEBHOOK_SECRET", "from the environment")
    (tmp_path / "BURSAR_SHOP_FR_WEBHOOK_SECRET").write_text("from a file\n", encoding="utf-8")
    kept = settings.current.model_copy(update={"secrets_dir": tmp_path})
    monkeypatch.setattr(settings, "current", kept)

    add("shop-de", seed=1)
    add("shop-fr", seed=2)

    told = [
        provider_accounts.get(name).config.webhook_secret.reveal()
        for name in ("shop-de", "shop-fr")
    ]
    assert told == ["from the environment", "from a file"]
    stored = list(ProviderAccount.objects.order_by("name").values_list("config", flat=True))
    assert stored == [{"seed": 1}, {"seed": 2}]


def test_what_does_not_fit_is_refused_and_nothing_is_kept(
    database: Database, closing: None
) -> None:
    with pytest.raises(errors.ValidationError) as refused:
        add(seed="seven")
    assert refused.value.param == "seed"
    with pytest.raises(provider_accounts.ProviderAccountNotFound):
        provider_accounts.get("main")
    assert not ProviderAccount.objects.exists()
