"""`faust.serializers`: codecs and schemas, under the module that Faust has them in."""

from ottla.faust import codecs
from ottla.faust.codecs import Codec
from ottla.faust.schema import Schema

__all__ = ["Codec", "Schema", "codecs"]
