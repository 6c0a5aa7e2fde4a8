"""`faust.web`: views, blueprints, and what the handlers of pages are given."""

from ottla.faust.web import exceptions
from ottla.faust.web.base import Web
from ottla.faust.web.blueprints import Blueprint
from ottla.faust.web.cache import Cache
from ottla.faust.web.cors import ResourceOptions
from ottla.faust.web.messages import Request, Response
from ottla.faust.web.views import View, gives_model, takes_model

__all__ = [
    "Blueprint",
    "Cache",
    "Request",
    "ResourceOptions",
    "Response",
    "View",
    "Web",
    "exceptions",
    "gives_model",
    "takes_model",
]
