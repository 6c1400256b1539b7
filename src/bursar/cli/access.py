"""The commands about who may do what: `bursar keys` and `bursar users`."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from bursar.cli.bootstrap import application

keys = typer.Typer(invoke_without_command=True, help="Keys that programs call the API with.")
users = typer.Typer(invoke_without_command=True, help="People who sign in to the back office.")


@keys.callback()
def show_keys(context: typer.Context) -> None:
    """List the API keys; what they are is never shown again."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output

            output.show_keys()


@keys.command("add")
def add_key(
    name: Annotated[str, typer.Argument(help="What it is for, such as webshop.")],
    scope: Annotated[
        Optional[list[str]],  # noqa: UP045  (Typer reads this at run time)
        typer.Option(help="What it may do, such as orders:write; repeatable. Default: read all."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long it works.")] = 365,
    owner: Annotated[
        str,
        typer.Option(
            help="E-mail address of the person it belongs to, whose role bounds it. Default: the "
            "operator of this machine."
        ),
    ] = "",
) -> None:
    """Make a key and print it, once."""
    with application():
        from datetime import timedelta

        from bursar import clock, group_commit, ids
        from bursar.access import api_keys

        scopes = scope or api_keys.default_scopes(owner=owner)
        token, key_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        made = group_commit.commits.run_blocking(
            lambda: api_keys.create(
                key_id=key_id,
                token=token,
                name=name,
                scopes=scopes,
                now=now,
                life=timedelta(days=days),
                owner=owner,
            )
        )
        typer.echo(f"{made.id}\n{made.token}\nIt is not shown again.")


@keys.command("rotate")
def rotate_key(
    key_id: Annotated[str, typer.Argument(help="The key's id.")],
    overlap_hours: Annotated[
        float, typer.Option(min=0, max=720, help="How long the old one goes on working.")
    ] = 24.0,
) -> None:
    """Make a key like another one, which ends after the overlap."""
    with application():
        from datetime import timedelta

        from bursar import clock, group_commit, ids
        from bursar.access import api_keys

        token, new_id, now = api_keys.make_token(), ids.new(ids.API_KEY), clock.now()
        made = group_commit.commits.run_blocking(
            lambda: api_keys.rotate(
                key_id=key_id,
                new_id=new_id,
                token=token,
                overlap=timedelta(hours=overlap_hours),
                now=now,
            )
        )
        typer.echo(f"{made.id}\n{made.token}\n{key_id} works for {overlap_hours:g} more hours.")


@keys.command("revoke")
def revoke_key(key_id: Annotated[str, typer.Argument(help="The key's id.")]) -> None:
    """End a key at once."""
    with application():
        from bursar import clock, group_commit
        from bursar.access import api_keys

        now = clock.now()
        group_commit.commits.run_blocking(lambda: api_keys.revoke(key_id=key_id, now=now))
        typer.echo(f"{key_id} works no more")


@users.callback()
def show_users(context: typer.Context) -> None:
    """List the people, their roles, and when they last signed in."""
    if context.invoked_subcommand is None:
        with application():
            from bursar.cli import output

            output.show_people()


@users.command("add")
def add_user(
    email: Annotated[str, typer.Argument(help="What the person signs in with.")],
    name: Annotated[str, typer.Option(help="What the person is called.")],
    role: Annotated[str, typer.Option(help="viewer, support, finance, developer or admin.")],
) -> None:
    """Let a person into the back office; a password is made and printed, once."""
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
        typer.echo(f"{email.strip().lower()}\n{password}\nIt is not shown again.")


@users.command("change")
def change_user(
    email: Annotated[str, typer.Argument(help="Who.")],
    role: Annotated[Optional[str], typer.Option(help="The new role.")] = None,  # noqa: UP045
    active: Annotated[
        Optional[bool],  # noqa: UP045
        typer.Option("--active/--inactive", help="Whether the person may sign in."),
    ] = None,
    new_password: Annotated[bool, typer.Option(help="Make and print a new one.")] = False,
    no_second_factor: Annotated[
        bool, typer.Option(help="Forget the device; its owner sets up another one.")
    ] = False,
) -> None:
    """Change a person's role, password or whether they may sign in."""
    with application():
        from bursar import clock, group_commit
        from bursar.access import totp, users

        password, now = users.make_password() if new_password else "", clock.now()
        hashed = users.hash_password(password) if new_password else None

        def change() -> None:
            users.change(email=email, role=role, is_active=active, password_hash=hashed, now=now)
            if no_second_factor:
                totp.disable(email=email, now=now)

        group_commit.commits.run_blocking(change)
        typer.echo(password if new_password else f"{email} is changed")
