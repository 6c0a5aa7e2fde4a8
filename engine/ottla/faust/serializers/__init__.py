"""`faust.serializers`: codecs and schemas, under the module that Faust has them in."""

from ottla.faust.serializers import codecs
from ottla.faust.serializers.codecs import Codec
from ottla.faust.serializers.schemas import Schema

__all__ = ["Codec", "Schema", "codecs"]
