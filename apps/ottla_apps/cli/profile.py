"""`ottla profile`: names for brokers, so that commands need no addresses."""

from typing import Annotated

import typer

from ottla_apps.cli import options
from ottla_apps.cli.command import confirm, reported
from ottla_apps.cli.completion import complete_profiles
from ottla_apps.cli.errors import BadArgument
from ottla_apps.cli.output import Facts, Table, show, show_outcomes

app = typer.Typer(help="Name brokers, and choose among them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", autocompletion=complete_profiles)]


@app.command("create")
@reported
def create(
    name: Annotated[str, typer.Argument(metavar="NAME")],
    brokers: Annotated[
        str, typer.Option("--brokers", "-b", metavar="HOST:PORT,...", help="The brokers to reach the cluster by.")
    ],
    use: Annotated[bool, typer.Option("--use/--no-use", help="Also begin to use it.")] = True,
    output: options.Output = None,
) -> None:
    """Name brokers. Nothing is asked of them."""
    from ottla_apps.cli.profiles import check_name, load, parse_brokers, profiles_file, save

    parse_brokers(brokers)
    path = profiles_file()
    profiles = load(path)
    if check_name(name) in profiles.brokers:
        raise BadArgument(f"There is a profile {name!r} already; `ottla profile delete {name}` removes it.")
    profiles.brokers[name] = brokers
    if use:
        profiles.current = name
    save(path, profiles)
    show_outcomes("profile", {name: "created, in use" if use else "created"}, output)


@app.command("list")
@reported
def list_(output: options.Output = None) -> None:
    """List the profiles."""
    from ottla_apps.cli.profiles import load, profiles_file

    profiles = load(profiles_file())
    rows = [(name, brokers, name == profiles.current) for name, brokers in sorted(profiles.brokers.items())]
    show(Table("profiles", ("profile", "brokers", "in_use"), rows), output=output)


@app.command("use")
@reported
def use(name: Name, output: options.Output = None) -> None:
    """Let commands talk to the brokers of a profile from now on."""
    from ottla_apps.cli.profiles import load, profiles_file, save

    path = profiles_file()
    profiles = load(path)
    profiles.find(name)
    profiles.current = name
    save(path, profiles)
    show_outcomes("profile", {name: "in use"}, output)


@app.command("show")
@reported
def show_(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", autocompletion=complete_profiles)] = None,
    output: options.Output = None,
) -> None:
    """Show a profile, by default the one in use."""
    from ottla_apps.cli.profiles import load, profiles_file

    path = profiles_file()
    profiles = load(path)
    shown = name or profiles.current
    if shown is None:
        raise BadArgument("No profile is in use; `ottla profile use NAME` changes that.")
    facts: dict[str, object] = {
        "profile": shown,
        "brokers": profiles.find(shown),
        "in_use": shown == profiles.current,
        "file": str(path),
    }
    show(Facts("profile", facts), output=output)


@app.command("delete")
@reported
def delete(
    name: Name, dry_run: options.DryRun = False, yes: options.Yes = False, output: options.Output = None
) -> None:
    """Delete a profile. If it is in use, none is afterwards."""
    from ottla_apps.cli.profiles import load, profiles_file, save

    path = profiles_file()
    profiles = load(path)
    profiles.find(name)
    if not dry_run:
        confirm(f"Delete the profile {name}?", yes=yes)
        del profiles.brokers[name]
        if profiles.current == name:
            profiles.current = None
        save(path, profiles)
    show_outcomes("profile", {name: "would be deleted" if dry_run else "deleted"}, output)
