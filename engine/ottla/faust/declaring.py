"""How a Faust app declares its tables: `app.Table`, `app.GlobalTable`, `app.SetTable`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, cast

import ottla
from ottla.errors import ConfigError
from ottla.faust.closing import OnWindowClose
from ottla.faust.missing import TABLE_OPTIONS
from ottla.faust.serializers.codecs import codec_of
from ottla.faust.tables import FaustTable, OnRecover, of_faust
from ottla.state.logged import Changelog


class DeclaresTables:
    """The part of an app by which its tables are declared."""

    declared: ottla.App
    tables: dict[str, FaustTable]

    def Table(  # noqa: N802 - Faust's name
        self,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        window: Any = None,
        help: str = "",  # noqa: A002 - Faust's name
        on_recover: OnRecover | None = None,
        recover_callbacks: Iterable[OnRecover] = (),
        on_window_close: OnWindowClose | None = None,
        extra_topic_configs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Declares a table. With windows that expire, `on_window_close` is called with each that is over; `on_recover`
        is called when a worker has begun with parts of it. `extra_topic_configs` are those of its changelog."""
        _check_options(name, options)
        table = self.declared.Table(
            name,
            key=None if key_type is None else codec_of(key_type, "json"),
            value=codec_of(value_type, "json"),
            default=default,
            partitions=partitions,
            changelog=_configs(extra_topic_configs),
        )
        found: Any = of_faust(table, cast(Any, self), help, on_window_close)
        found.recover_callbacks += [*recover_callbacks, *([] if on_recover is None else [on_recover])]
        self.tables[name] = found
        return found if window is None else window.on(found)

    def GlobalTable(  # noqa: N802 - Faust's name
        self,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str = "",  # noqa: A002 - Faust's name
        **options: Any,
    ) -> Any:
        """Declares a table that every worker has whole. The agents that use it write it, each task the keys of its
        partition."""
        _check_options(name, options)
        table: Any = self.declared.GlobalTable(
            name,
            key=None if key_type is None else codec_of(key_type, "json"),
            value=codec_of(value_type, "json"),
            default=default,
            partitions=partitions,
        )
        self.tables[name] = of_faust(table, cast(Any, self), help)
        return table

    def SetTable(  # noqa: N802
        self,
        name: str,
        *,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str = "",  # noqa: A002
        extra_topic_configs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Any:
        """Declares a table of sets."""
        _check_options(name, options)
        key = None if key_type is None else codec_of(key_type, "json")
        value = Any if value_type is None else codec_of(value_type, "json")
        configs = _configs(extra_topic_configs)
        table: Any = self.declared.SetTable(name, key=key, value=value, partitions=partitions, changelog=configs)
        self.tables[name] = of_faust(table, cast(Any, self), help)
        return table

    def SetGlobalTable(  # noqa: N802
        self,
        name: str,
        *,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str = "",  # noqa: A002
        **options: Any,
    ) -> Any:
        """Declares a table of sets that every worker has whole, written as a `GlobalTable`."""
        _check_options(name, options)
        key = None if key_type is None else codec_of(key_type, "json")
        value = Any if value_type is None else codec_of(value_type, "json")
        table: Any = self.declared.SetGlobalTable(name, key=key, value=value, partitions=partitions)
        self.tables[name] = of_faust(table, cast(Any, self), help)
        return table


def _configs(given: Mapping[str, Any] | None) -> Changelog:
    """Those of a changelog, by Kafka's names."""
    return {name: str(value) for name, value in given.items()} if given else True


def _check_options(name: str, options: dict[str, Any]) -> None:
    for option, value in options.items():
        if option in TABLE_OPTIONS and value:
            raise ConfigError(f"table {name!r}: {option}= is not part of Ottla's Faust facade: {TABLE_OPTIONS[option]}")
    check_options(f"table {name!r}", options, TABLE_OPTIONS)


def check_options(what: str, options: dict[str, Any], known: Collection[str]) -> None:
    unknown = options.keys() - set(known)
    if unknown:
        raise ConfigError(f"{what}: {min(unknown)}= is not part of Ottla's Faust facade")
