"""What Faust's guide imports is in the facade's modules of the same names, or is refused with a reason."""

import importlib

import pytest

import ottla.faust as faust
from ottla import ConfigError, TopologyError


@pytest.mark.parametrize(
    ("module", "names"),
    [
        ("contrib.asgi", "AsgiService FaustLifespanMiddleware faust_app_running faust_lifespan serve_asgi"),
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


def test_modules_that_are_not_there_say_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"faust\.livecheck\.app is not part .* app\.ottla\.test\(\)"):
        _ = importlib.import_module("ottla.faust.livecheck.app").LiveCheck
    with pytest.raises(ConfigError, match=r"faust\.stores\.rocksdb is not part .* faust.App\(store='rocksdb://'\)"):
        from ottla.faust.stores.rocksdb import Store  # type: ignore[import-not-found]  # noqa: F401
    with pytest.raises(ConfigError, match=r"faust\.contrib\.sentry is not part .* sentry_sdk\.init"):
        _ = faust.contrib.sentry
    with pytest.raises(ConfigError, match="bound to an event loop before it starts"):
        _ = importlib.import_module("ottla.faust.contrib.asgi").bind_to_running_loop


def test_a_schema_is_not_programmed() -> None:
    with pytest.raises(TopologyError, match=r"Autodetect\.loads_key would never be called: .* is not part .* a Codec"):

        class Autodetect(faust.Schema):
            def loads_key(self) -> None: ...
