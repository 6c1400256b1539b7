"""The commands `bursar api-keys` and `bursar users`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from bursar.cli.bootstrap import application

api_keys_app = typer.Typer(invoke_without_command=True, help="API keys: list, add, rotate, revoke.")
users_app = typer.Typer(
    invoke_without_command=True, help="Users of the back office: list, add, change."
)


@api_keys_app.callback()
def list_api_keys(context: typer.Context) -> None:
    """List the API keys. The keys themselves are not shown again."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output

            output.show_api_keys()


@api_keys_app.command("add")
def add_api_key(
    name: Annotated[str, typer.Argument(help="A name for the key, such as webshop.")],
    scope: Annotated[
        Optional[list[str]],  # noqa: UP045  (Typer reads this at run time)
        typer.Option(help="A scope, such as orders:write; repeatable. Default: all read scopes."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until the key expires.")] = 365,
    owner: Annotated[
        str,
        typer.Option(
            help="E-mail address of the user who owns the key and whose role bounds its scopes. "
            "Default: the operator of this machine."
        ),
    ] = "",
) -> None:
    """Create an API key and print it once."""
    with application():
        from datetime import timedelta

        from bursar import clock, group_commit, ids
        from bursar.access import api_keys

        scopes = scope or api_keys.default_scopes(owner=owner)
        token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        created = group_commit.commits.run_blocking(
            lambda: api_keys.create(
                key_id=key_id,
                token=token,
                name=name,
                scopes=scopes,
                now=now,
                lifetime=timedelta(days=days),
                owner=owner,
            )
        )
        typer.echo(f"{created.id}\n{created.token}\nCopy it now: it is not shown again.")


@api_keys_app.command("rotate")
def rotate_api_key(
    key_id: Annotated[str, typer.Argument(help="The id of the key.")],
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="Hours that the old key stays valid.")
    ] = 24.0,
) -> None:
    """Create a successor of a key, which expires after the overlap."""
    with application():
        from datetime import timedelta

        from bursar import clock, group_commit, ids
        from bursar.access import api_keys

        token, new_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        created = group_commit.commits.run_blocking(
            lambda: api_keys.rotate(
                key_id=key_id,
                new_id=new_id,
                token=token,
                overlap=timedelta(hours=overlap_hours),
                now=now,
            )
        )
        typer.echo(
            f"{created.id}\n{created.token}\n{key_id} stays valid for {overlap_hours:g} hours."
        )


@api_keys_app.command("revoke")
def revoke_api_key(key_id: Annotated[str, typer.Argument(help="The id of the key.")]) -> None:
    """Revoke a key at once."""
    with application():
        from bursar import clock, group_commit
        from bursar.access import api_keys

        now = clock.now()
        group_commit.commits.run_blocking(lambda: api_keys.revoke(key_id=key_id, now=now))
        typer.echo(f"{key_id} revoked")


@users_app.callback()
def list_users(context: typer.Context) -> None:
    """List the users, their roles, and their last sign-in."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output

            output.show_users()


@users_app.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="The user's e-mail address.")],
    name: Annotated[str, typer.Option(help="The user's name.")],
    role: Annotated[str, typer.Option(help="viewer, support, finance, developer or admin.")],
) -> None:
    """Create a user; a password is generated and printed once."""
    with application():
        from bursar import clock, group_commit
        from bursar.access import users

        password, now = users.make_password(), clock.now()
        hashed = users.hash_password(password)
        group_commit.commits.run_blocking(
            lambda: users.create_user(
                email=email, name=name, role=role, password_hash=hashed, now=now
            )
        )
        typer.echo(f"{email.strip().lower()}\n{password}\nCopy it now: it is not shown again.")


@users_app.command("change")
def change_user(
    email: Annotated[str, typer.Argument(help="The user's e-mail address.")],
    role: Annotated[Optional[str], typer.Option(help="The new role.")] = None,  # noqa: UP045
    active: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option("--active/--inactive", help="Activate or deactivate the account."),
    ] = None,
    new_password: Annotated[bool, typer.Option(help="Generate and print a new password.")] = False,
    reset_mfa: Annotated[
        bool,
        typer.Option(help="Turn off two-factor authentication, for example after a lost phone."),
    ] = False,
) -> None:
    """Change a user's role, password, status or two-factor authentication."""
    with application():
        from bursar import clock, group_commit
        from bursar.access import totp, users

        password, now = users.make_password() if new_password else "", clock.now()
        hashed = users.hash_password(password) if new_password else None

        def change() -> None:
            users.update_user(
                email=email, role=role, is_active=active, password_hash=hashed, now=now
            )
            if reset_mfa:
                totp.disable(email=email, now=now)

        group_commit.commits.run_blocking(change)
        typer.echo(password if new_password else f"{email} updated")
