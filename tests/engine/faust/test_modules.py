"""What Faust's guide imports is in the facade's modules of the same names, or is refused with a reason."""

import importlib

import pytest

import ottla.faust as faust
from ottla import ConfigError


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("cli", "AppCommand argument option"),
        ("exceptions", "FaustError ImproperlyConfigured Skip ValidationError"),
        ("models", "FieldDescriptor Model ModelOptions Record StringField fields maybe_model registry"),
        ("models.fields", "BooleanField BytesField DatetimeField DecimalField FloatField IntegerField StringField"),
        ("serializers", "Codec Schema codecs"),
        ("serializers.codecs", "Codec binary dumps get_codec json loads pickle raw register"),
        ("serializers.schemas", "Schema"),
        ("types", "AgentT AppT StreamT TP"),
        ("types.models", "FieldDescriptorT ModelArg ModelT"),
        ("types.tuples", "Message TP"),
        ("utils", "uuid"),
        ("web", "Request Response View"),
    ],
)
def test_a_module_has_its_names(module: str, names: str) -> None:
    found = importlib.import_module(f"ottla.faust.{module}")
    assert [name for name in names.split() if not hasattr(found, name)] == []


@pytest.mark.parametrize(
    ("module", "instead"), [("livecheck", r"app\.ottla\.test\(\)"), ("contrib.asgi", r"app\.ottla\.client\(\)")]
)
def test_modules_that_are_not_there_say_what_to_do(module: str, instead: str) -> None:
    with pytest.raises(ConfigError, match=instead):
        importlib.import_module(f"ottla.faust.{module}")


def test_a_schema_is_not_programmed() -> None:
    with pytest.raises(ConfigError, match=r"Autodetect\.loads_key\(\) is not part .* a Codec"):

        class Autodetect(faust.Schema):
            def loads_key(self) -> None: ...
