"""`faust.models`: Records, under the module that Faust has them in."""

from ottla.faust.exceptions import ValidationError
from ottla.faust.models import fields
from ottla.faust.models.fields import FieldDescriptor, StringField
from ottla.faust.models.record import ModelOptions, Record, maybe_model, registry

Model = Record

__all__ = [
    "FieldDescriptor",
    "Model",
    "ModelOptions",
    "Record",
    "StringField",
    "ValidationError",
    "fields",
    "maybe_model",
    "registry",
]
