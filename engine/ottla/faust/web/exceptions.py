# ruff: noqa: N818 - the names are Faust's
"""`faust.web.exceptions`: what a page raises to answer with an error, as in `raise self.NotFound("no such word")`.

WebError
├── ServerError 500           ├── PermissionDenied 403       ├── UnsupportedMediaType 415
├── ValidationError 400       ├── NotFound 404               ├── Throttled 429
├── ParseError 400            ├── MethodNotAllowed 405       └── ServiceUnavailable 503
├── AuthenticationFailed 401  ├── NotAcceptable 406
└── NotAuthenticated 401
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, ClassVar

from ottla.faust.exceptions import FaustError


class WebError(FaustError):
    """An answer with an error: its `code`, and as JSON its `detail` and what else it is given by name."""

    code: int = HTTPStatus.INTERNAL_SERVER_ERROR
    detail: str = "Internal server error."

    def __init__(self, detail: str | None = None, *, code: int | None = None, **extra_context: Any) -> None:
        self.detail = detail or self.detail
        self.code = code or self.code
        self.extra_context = extra_context
        super().__init__(self.detail)


class ServerError(WebError):
    """Something failed on the server's side."""


class ValidationError(WebError):
    code = HTTPStatus.BAD_REQUEST
    detail = "Invalid input."


class ParseError(WebError):
    code = HTTPStatus.BAD_REQUEST
    detail = "Malformed request."


class AuthenticationFailed(WebError):
    code = HTTPStatus.UNAUTHORIZED
    detail = "Incorrect authentication credentials"


class NotAuthenticated(WebError):
    code = HTTPStatus.UNAUTHORIZED
    detail = "Authentication credentials were not provided."


class PermissionDenied(WebError):
    code = HTTPStatus.FORBIDDEN
    detail = "You do not have permission to perform this action."


class NotFound(WebError):
    code = HTTPStatus.NOT_FOUND
    detail = "Not found."


class MethodNotAllowed(WebError):
    code = HTTPStatus.METHOD_NOT_ALLOWED
    detail = "Method not allowed."


class NotAcceptable(WebError):
    code = HTTPStatus.NOT_ACCEPTABLE
    detail = "Could not satisfy the request Accept header."


class UnsupportedMediaType(WebError):
    code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    detail = "Unsupported media type in request."


class Throttled(WebError):
    code = HTTPStatus.TOO_MANY_REQUESTS
    detail = "Request was throttled."


class ServiceUnavailable(WebError):
    code = HTTPStatus.SERVICE_UNAVAILABLE
    detail = "Service unavailable. Try again later."


class RaisesErrors:
    """The errors under the names by which a view raises them."""

    ServerError: ClassVar[type[WebError]] = ServerError
    ValidationError: ClassVar[type[WebError]] = ValidationError
    ParseError: ClassVar[type[WebError]] = ParseError
    NotAuthenticated: ClassVar[type[WebError]] = NotAuthenticated
    PermissionDenied: ClassVar[type[WebError]] = PermissionDenied
    NotFound: ClassVar[type[WebError]] = NotFound
