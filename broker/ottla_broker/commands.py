"""`ottla broker`: run a broker in this process until it is told to stop.

Importing this module costs next to nothing; what a broker needs is imported when one is started.
"""

import gc
from pathlib import Path
from typing import Annotated

import typer

DEFAULT_FILE = Path("ottla.toml")
USAGE_ERROR = 2
FAILURE = 1


def broker(
    data_dir: Annotated[
        Path | None, typer.Option("--data-dir", metavar="DIR", help="The directory that holds all data of the broker.")
    ] = None,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="HOST:PORT", help="The address to listen on; port 0 picks a free one."),
    ] = None,
    admin_listen: Annotated[
        str | None,
        typer.Option(
            "--admin-listen", metavar="HOST:PORT", help="Where to serve /metrics, /health/live and /health/ready."
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting by Kafka's name; may be given many times."),
    ] = None,
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="A TOML file with settings. Without it: ottla.toml, if there is one here."
        ),
    ] = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="Stop when the process that started this one ends (Linux).")
    ] = False,
) -> None:
    """Run a broker that speaks the Apache Kafka protocol."""
    gc.disable()  # what is imported and built until the broker runs will stay: there is nothing to collect
    from ottla_broker import process
    from ottla_broker.config_file import load_config
    from ottla_broker.errors import CannotStart, InvalidSetting

    given = list(assignments or ())
    if data_dir is not None:
        given.append(f"log.dirs={data_dir}")
    if listen is not None:
        given.append(f"listeners={listen}")
    if admin_listen is not None:
        given.append(f"admin.listen={admin_listen}")
    found = config_file is None and DEFAULT_FILE.is_file()
    if found:
        config_file = DEFAULT_FILE
    try:
        config = load_config(config_file, given)
    except InvalidSetting as error:
        raise _refusal(f"{error} ({DEFAULT_FILE} was read, too)" if found else str(error), USAGE_ERROR) from None
    except OSError as error:
        raise _refusal(f"cannot read {config_file}: {error.strerror}", USAGE_ERROR) from None
    try:
        if exit_with_parent:
            process.stop_with_parent()
        process.run(config, config_file)
    except CannotStart as error:
        raise _refusal(str(error), FAILURE) from None
    finally:
        gc.enable()


def _refusal(sentence: str, status: int) -> typer.Exit:
    typer.echo(f"ottla broker: {sentence}", err=True)
    return typer.Exit(status)
