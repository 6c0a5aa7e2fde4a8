"""Tables of a Faust app: Ottla's own, which know what Faust's have and they have not."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

from ottla.faust.missing import TABLE, Lacking
from ottla.tables import Table

T = TypeVar("T", bound=Table[Any, Any])


def of_faust(table: T) -> T:
    """The table itself, of which names of Faust's that it has not are refused with what to do instead."""
    table.__class__ = _refusing(type(table))
    return table


@cache
def _refusing(kind: type[Any]) -> type[Any]:
    def tumbling(self: Any, *arguments: Any, **options: Any) -> Any:
        self.__class__ = kind  # What has windows must be a plain table; it is used no more by itself.
        return of_faust(self.tumbling(*arguments, **options))

    def hopping(self: Any, *arguments: Any, **options: Any) -> Any:
        self.__class__ = kind
        return of_faust(self.hopping(*arguments, **options))

    found: dict[str, Any] = {"_lacks": TABLE, "_called": "table", "__module__": kind.__module__}
    if hasattr(kind, "tumbling"):
        found |= {"tumbling": tumbling, "hopping": hopping}
    return type(kind.__name__, (kind, Lacking), found)
