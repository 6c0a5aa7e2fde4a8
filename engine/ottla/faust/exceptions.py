"""`faust.exceptions`: those that an app raises or catches. What Ottla raises itself is an `ottla.OttlaError`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ottla.faust.models.fields import FieldDescriptor


class FaustError(Exception):
    """What all of them are."""


class FaustWarning(UserWarning):
    """What all warnings are."""


class FaustPredicate(FaustError):  # noqa: N818 - Faust's name
    """Decides something, where others report it."""


class SecurityError(FaustError):
    """Something was to be done that is not safe."""


class SecurityWarning(FaustWarning):
    """Something was done that is not safe."""


class Skip(FaustPredicate):
    """Raised by a processor of a stream: the agent does not see the event."""


class ImproperlyConfigured(FaustError):  # noqa: N818
    """Something is missing that the app needs."""


class ValidationError(FaustError, ValueError):
    """The value of a field is not what the model says."""

    def __init__(self, reason: str, *, field: FieldDescriptor[Any]) -> None:
        super().__init__(reason, field)
        self.reason = reason
        self.field = field

    def __str__(self) -> str:
        return self.reason
