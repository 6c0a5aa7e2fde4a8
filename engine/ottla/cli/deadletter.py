"""`ottla deadletter list | show | replay`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ottla.cli.common import BrokerUrl, Format, Output, client_settings, printable, show_list, told_in_a_sentence

if TYPE_CHECKING:
    from ottla.config import AppConfig
    from ottla.deadletters.box import DeadLetterBox
    from ottla.deadletters.letters import DeadLetter
    from ottla.deadletters.selection import Selection
    from ottla.transport.kafka_settings import KafkaSettings

app = typer.Typer(help="Look at an app's dead letters, and send them back.", no_args_is_help=True)

_LONGEST_REASON = 100
_COLUMNS = ["number", "failed", "kind", "step", "origin", "state", "reason"]


class Kind(StrEnum):
    """How an event failed."""

    DESERIALIZATION = "deserialization"
    PROCESSING = "processing"
    PRODUCTION = "production"


Target = Annotated[
    str,
    typer.Argument(
        metavar="MODULE:APP", help="The app; or a broker, kafka://HOST:PORT, whose topic --topic names then."
    ),
]
Topic = Annotated[
    str | None, typer.Option("--topic", help="Another dead-letter topic than the app's, such as a connector's.")
]
OfKind = Annotated[Kind | None, typer.Option("--kind", help="Only events that failed in this way.")]
Reason = Annotated[str | None, typer.Option("--reason", metavar="TEXT", help="Only with this text in the reason.")]
Type = Annotated[str | None, typer.Option("--type", metavar="ERROR", help="Only with an error of this type.")]
Step = Annotated[str | None, typer.Option("--step", help="Only of this step of the topology.")]
Origin = Annotated[str | None, typer.Option("--origin", metavar="TOPIC", help="Only events of this topic.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="Only what failed since then: 2h, 7d or an ISO time.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only what failed before then.")]


@app.command("list")
def list_letters(
    target: Target,
    broker: BrokerUrl = None,
    topic: Topic = None,
    kind: OfKind = None,
    reason: Reason = None,
    type_: Type = None,
    step: Step = None,
    origin: Origin = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="List so many at most, the newest.")] = 50,
    output: Output = None,
) -> None:
    """List dead letters, the newest last."""

    async def work(box: DeadLetterBox) -> None:
        selection = _selection((), kind, reason, type_, step, origin, since, until)
        replayed = await box.replayed()
        newest: list[DeadLetter] = []
        count = open_ = 0
        async for letter in box.letters(selection):
            count += 1
            open_ += letter.number not in replayed
            newest.append(letter)
            if len(newest) > limit:
                del newest[0]
        if newest or output is Format.JSON:
            rows = [_row(letter, replayed=letter.number in replayed, whole=output is Format.JSON) for letter in newest]
            show_list(_COLUMNS, rows, output)
        listed = f", of which the last {limit} are listed" if count > limit else ""
        letters = "1 dead letter" if count == 1 else f"{count} dead letters"
        typer.echo(f"{letters} in {box.topic}, {count - open_} replayed{listed}", err=True)

    _run(target, broker, topic, work)


@app.command("show")
def show_letter(
    target: Target,
    number: Annotated[str, typer.Argument(help="The letter's number, as `list` shows it.")],
    broker: BrokerUrl = None,
    topic: Topic = None,
) -> None:
    """Show a dead letter whole. It tells why and where the event failed, and the message that it was."""

    async def work(box: DeadLetterBox) -> None:
        from ottla.deadletters.selection import Selection, parse_number
        from ottla.errors import ConfigError

        wanted = parse_number(number)
        replayed = await box.replayed()
        async for letter in box.letters(Selection(numbers=frozenset({wanted}))):
            typer.echo(_whole(letter, replayed=wanted in replayed), nl=False)
            return
        raise ConfigError(f"{box.topic} has no dead letter {number}; `ottla deadletter list` shows those it has")

    _run(target, broker, topic, work)


@app.command("replay")
def replay_letters(
    target: Target,
    broker: BrokerUrl = None,
    topic: Topic = None,
    number: Annotated[
        list[str] | None, typer.Option("--number", metavar="N", help="Only this letter; may be given several times.")
    ] = None,
    kind: OfKind = None,
    reason: Reason = None,
    type_: Type = None,
    step: Step = None,
    origin: Origin = None,
    since: Since = None,
    until: Until = None,
    again: Annotated[bool, typer.Option("--again", help="Also letters that were replayed before.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent, and send nothing.")] = False,
) -> None:
    """Send events back to the topics they came from. They go as they were, each once."""

    async def work(box: DeadLetterBox) -> None:
        from ottla.deadletters.selection import show_number

        selection = _selection(number or (), kind, reason, type_, step, origin, since, until)
        result = await box.replay(selection, again=again, now_ms=_now_ms(), dry_run=dry_run)
        for letter, why in result.refused:
            typer.echo(f"ottla deadletter: letter {show_number(letter.number)} is left out, since {why}", err=True)
        for name, sent in result.sent.items():
            typer.echo(f"{name}: {sent} {'would be sent' if dry_run else 'sent'}")
        if not result.sent:
            typer.echo("no dead letter is to be replayed", err=True)

    _run(target, broker, topic, work, writes=not dry_run)


def _run(
    target: str,
    broker: str | None,
    topic: str | None,
    work: Callable[[DeadLetterBox], Awaitable[None]],
    *,
    writes: bool = False,
) -> None:
    """Does the work on the dead letters that are meant, and ends with a sentence where that is not possible."""
    with told_in_a_sentence("deadletter"):
        config, found = _config_and_topic(target, topic)
        with client_settings(config, broker, "dead-letter-replay") as settings:
            asyncio.run(_on(replace(settings, exactly_once=writes), found, work))


async def _on(settings: KafkaSettings, topic: str, work: Callable[[DeadLetterBox], Awaitable[None]]) -> None:
    from ottla.deadletters.box import DeadLetterBox
    from ottla.transport.kafka import KafkaTransport

    transport = KafkaTransport(settings)
    try:
        await transport.start()
        await work(DeadLetterBox(transport, topic))
    finally:
        await transport.stop()


def _config_and_topic(target: str, topic: str | None) -> tuple[AppConfig, str]:
    """How to meet the cluster, and which topic is meant. Raises `ConfigError`."""
    from ottla.config import AppConfig
    from ottla.errors import ConfigError
    from ottla.loading import load_app

    if "://" not in target:
        config = load_app(target).config
        return config, topic or config.dead_letter_topic
    if topic is None:
        raise ConfigError(f"which dead letters at {target}? Name their topic with --topic, or the app as MODULE:APP")
    # With the app's own name replays have one transactional id, however they are called: two at once do not both send.
    return AppConfig(topic.removesuffix("-dead-letter"), broker=target), topic


def _selection(
    numbers: tuple[str, ...] | list[str],
    kind: Kind | None,
    reason: str | None,
    type_: str | None,
    step: str | None,
    origin: str | None,
    since: str | None,
    until: str | None,
) -> Selection:
    from ottla.deadletters.selection import Selection, parse_number, parse_time

    now_ms = _now_ms()
    return Selection(
        frozenset(parse_number(each) for each in numbers),
        kind,
        reason,
        type_,
        step,
        origin,
        None if since is None else parse_time(since, now_ms),
        None if until is None else parse_time(until, now_ms),
    )


def _row(letter: DeadLetter, *, replayed: bool, whole: bool) -> list[str]:
    from ottla.deadletters.selection import show_number

    reason = letter.reason if whole else letter.reason.replace("\n", " ")
    return [
        show_number(letter.number),
        _time(letter.failed_ms),
        letter.kind or "-",
        letter.step or "-",
        _origin(letter),
        "replayed" if replayed else "open",
        reason if whole or len(reason) <= _LONGEST_REASON else f"{reason[: _LONGEST_REASON - 1]}…",
    ]


def _whole(letter: DeadLetter, *, replayed: bool) -> str:
    lines = [
        f"failed   {_time(letter.failed_ms)}",
        f"kind     {letter.kind}",
        f"step     {letter.step}",
        f"origin   {_origin(letter)}",
        f"state    {'replayed' if replayed else 'open'}",
        f"reason   {printable(letter.reason)}",
        f"time     {_time(letter.timestamp_ms)}",
        f"key      {_text(letter.key)}",
        f"value    {_text(letter.value)}" if not letter.left_out else f"value    left out, {letter.left_out} bytes",
        *(f"header   {printable(name)}: {_text(value)}" for name, value in letter.headers),
    ]
    if letter.stack:
        lines += ["", *map(printable, letter.stack.rstrip().splitlines())]
    return "\n".join(lines) + "\n"


def _origin(letter: DeadLetter) -> str:
    return letter.position or "-" if letter.origin is None else "{}[{}]@{}".format(*letter.origin)


def _text(data: bytes | None) -> str:
    if data is None:
        return "null"
    try:
        return printable(data.decode())
    except UnicodeDecodeError:
        return repr(data)


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
