"""`faust.models`: Records, under the module that Faust has them in."""

from ottla.faust import fields
from ottla.faust.fields import FieldDescriptor, ValidationError
from ottla.faust.records import ModelOptions, Record

__all__ = ["FieldDescriptor", "ModelOptions", "Record", "ValidationError", "fields"]
