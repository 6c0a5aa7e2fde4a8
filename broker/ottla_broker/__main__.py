"""`python -m ottla_broker` is `ottla broker`."""

import typer

from ottla_broker.commands import broker

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
app.command("broker")(broker)

if __name__ == "__main__":
    app(prog_name="ottla broker")
