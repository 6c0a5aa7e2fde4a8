"""How a Faust app declares its tables: `app.Table`, `app.GlobalTable`, `app.SetTable`, `app.SetGlobalTable`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, cast

import ottla
from ottla.errors import ConfigError
from ottla.faust.closing import OnWindowClose
from ottla.faust.missing import TABLE_OPTIONS
from ottla.faust.missing.tables import BUFFER_OPTIONS
from ottla.faust.serializers.codecs import codec_of
from ottla.faust.tables import FaustTable, of_faust
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
        on_window_close: OnWindowClose | None = None,
        **options: Any,
    ) -> Any:
        """Declares a table. With windows that expire, `on_window_close` is called with each that is over.

        `options` of this and the other tables are `on_recover` and `recover_callbacks`, functions that are called when
        a worker has begun with parts of it, and `extra_topic_configs`, those of its changelog.
        """
        declare = partial(self.declared.Table, default=default, partitions=partitions)
        found = self._declare(declare, name, key_type, codec_of(value_type, "json"), help, options, on_window_close)
        return found if window is None else window.on(found)

    def GlobalTable(  # noqa: N802
        self,
        name: str,
        *,
        default: Callable[[], Any] | None = None,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str = "",  # noqa: A002
        **options: Any,
    ) -> Any:
        """Declares a table that every worker has whole. The agents that use it write it, each task the keys of its
        partition."""
        declare = partial(self.declared.GlobalTable, default=default, partitions=partitions)
        return self._declare(declare, name, key_type, codec_of(value_type, "json"), help, options)

    def SetTable(  # noqa: N802
        self,
        name: str,
        *,
        key_type: Any = None,
        value_type: Any = None,
        partitions: int | None = None,
        help: str = "",  # noqa: A002
        **options: Any,
    ) -> Any:
        """Declares a table of sets."""
        declare = partial(self.declared.SetTable, partitions=partitions)
        return self._declare(declare, name, key_type, _element_of(value_type), help, options)

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
        declare = partial(self.declared.SetGlobalTable, partitions=partitions)
        return self._declare(declare, name, key_type, _element_of(value_type), help, options)

    def _declare(
        self,
        declare: Callable[..., Any],
        name: str,
        key_type: Any,
        value: Any,
        help: str,  # noqa: A002
        options: dict[str, Any],
        on_window_close: OnWindowClose | None = None,
    ) -> Any:
        """The table that `declare` makes, as one of Faust's. Raises `ConfigError` for options that are not there."""
        on_recover, callbacks = options.pop("on_recover", None), options.pop("recover_callbacks", None) or ()
        changelog = _configs(options.pop("extra_topic_configs", None))
        _check_options(name, options)
        key = None if key_type is None else codec_of(key_type, "json")
        found: Any = of_faust(
            declare(name, key=key, value=value, changelog=changelog), cast(Any, self), help, on_window_close
        )
        found.recover_callbacks += [*callbacks, *([] if on_recover is None else [on_recover])]
        self.tables[name] = found
        return found


def _element_of(value_type: Any) -> Any:
    """How elements of sets are kept: as Ottla does, unless their type is known."""
    return Any if value_type is None else codec_of(value_type, "json")


def _configs(given: Mapping[str, Any] | None) -> Changelog:
    """Those of a changelog, by Kafka's names."""
    return {name: str(value) for name, value in given.items()} if given else True


def _check_options(name: str, options: dict[str, Any]) -> None:
    options = {option: value for option, value in options.items() if option not in BUFFER_OPTIONS}
    for option, value in options.items():
        if option in TABLE_OPTIONS and value:
            raise ConfigError(f"table {name!r}: {option}= is not part of Ottla's Faust facade: {TABLE_OPTIONS[option]}")
    check_options(f"table {name!r}", options, TABLE_OPTIONS)


def check_options(what: str, options: dict[str, Any], known: Collection[str]) -> None:
    unknown = options.keys() - set(known)
    if unknown:
        raise ConfigError(f"{what}: {min(unknown)}= is not part of Ottla's Faust facade")
