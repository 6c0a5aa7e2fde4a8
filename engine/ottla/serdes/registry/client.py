"""A schema registry as serdes see it: schemas by id, ids by subject, each asked for once.

Requests are made when they are needed: when a worker starts, for what it writes, and for each schema id when a value
with it is first read; in a worker they are made by a thread (`requests.py`), while its other tasks go on. There are no
retries here, and `timeout_s` for each request. When the registry does not answer, `Unavailable` is raised, over which a
worker goes back to its last commit and tries again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ottla.errors import ConfigError, Unavailable
from ottla.serdes.codec import Serde
from ottla.serdes.registry.subjects import SubjectName, topic_name

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

    from ottla.serdes.avro_schema import Schema as AvroSchema

_NOT_FOUND = 404
_REFUSALS = {409, 422}
_LOGIN_REFUSED = {401, 403}


class LoginRefused(Unavailable):
    """The registry does not let the app in. Passwords are changed while workers run: only at their start it is certain
    that waiting does not help."""


class UnknownSchema(LookupError):  # noqa: N818
    """The registry does not know a schema: the id is that of another registry, or it was deleted for good."""


class SchemaRegistry:
    """A Confluent schema registry, or one that speaks its protocol. Needs the extra `schema-registry`.

        registry = SchemaRegistry("http://registry:8081")
        orders = app.topic("orders", key=str, value=registry.avro(Order))

    `url` may be several, with commas between; `mock://` is one in memory, for tests. `config` are further settings of
    confluent-kafka's client, such as `{"basic.auth.user.info": "user:password"}` or `{"ssl.ca.location": "ca.pem"}`.
    Raises `ConfigError` for settings that the client refuses. Nothing is asked of the registry before it is needed.
    """

    def __init__(self, url: str, *, timeout_s: float = 5.0, config: Mapping[str, Any] | None = None) -> None:
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient
        except ImportError:
            raise ConfigError("a schema registry needs its client: pip install 'ottla[schema-registry]'") from None
        self.url = url
        settings = {"url": url, "timeout": timeout_s, "max.retries": 0, **(config or {})}
        try:
            self._client = SchemaRegistryClient.new_client(settings)
        except (TypeError, ValueError, OSError) as error:
            raise ConfigError(f"the settings of the schema registry at {url!r} are refused: {error}") from error
        self._schemas: dict[int, Schema] = {}

    def __repr__(self) -> str:
        return f"<schema registry {self.url}>"

    def avro(
        self,
        type_: Any = Any,
        *,
        schema: AvroSchema | None = None,
        namespace: str = "",
        subject: SubjectName = topic_name,
        auto_register: bool = True,
    ) -> Serde[Any]:
        """Avro, written as the type's schema says or as `schema` does, read whatever compatible schema it was written
        with.

        `namespace` is put before the record's name. Without a type, values are plain: dicts, lists, numbers, text.
        With `auto_register` the schema is registered when a worker that writes the topic starts; without, it must be
        registered already. Raises `ConfigError` for a type of which no schema follows.
        """
        from ottla.serdes.registry.avro import AvroSerde

        return AvroSerde(self, type_, schema, namespace, subject, auto_register=auto_register)

    def json(
        self,
        type_: Any = Any,
        *,
        schema: Mapping[str, Any] | None = None,
        subject: SubjectName = topic_name,
        auto_register: bool = True,
    ) -> Serde[Any]:
        """JSON with a JSON Schema: the type's, or `schema`, against which values are validated too.

        `auto_register` is as for `avro`. Raises `ConfigError` for a type of which no schema follows.
        """
        from ottla.serdes.registry.json_schema import JsonSerde

        return JsonSerde(self, type_, schema, subject, auto_register=auto_register)

    def protobuf(
        self, message: type[Any], *, subject: SubjectName = topic_name, auto_register: bool = True
    ) -> Serde[Any]:
        """Messages of a class that protoc has generated; the files it imports are registered under their names.

        `auto_register` is as for `avro`. Raises `ConfigError` for what is no such class.
        """
        from ottla.serdes.registry.protobuf import ProtobufSerde

        return ProtobufSerde(self, message, subject, auto_register=auto_register)

    def schema(self, schema_id: int, kind: str) -> Schema:
        """The schema of an id. Raises `UnknownSchema`, `ValueError` for one of another kind, and `Unavailable`."""
        known = self._schemas.get(schema_id)
        if known is None:
            known = self._schemas[schema_id] = self._fetch(schema_id)
        found = known.schema_type or "AVRO"
        if found != kind:
            raise ValueError(f"schema {schema_id} is of type {found}, not {kind}")
        return known

    def schema_id(self, subject: str, schema: Schema, *, register: bool) -> int:
        """The id of a schema under a subject, registered if that is asked for.

        Raises `ConfigError` when the registry refuses it or does not have it, and `Unavailable`.
        """
        return int(self._identify(subject, schema, register=register).schema_id)

    def version(self, subject: str, schema: Schema, *, register: bool) -> int:
        """The version of a schema under a subject, for a reference to it. Raises what `schema_id` raises."""
        registered = self._identify(subject, schema, register=register)
        if registered.version is None:
            registered = self._identify(subject, schema, register=False)
        return int(registered.version)

    def referenced(self, schema: Schema) -> dict[str, Schema]:
        """The schemas that a schema refers to, by the names it has for them. Raises what `schema` raises."""
        found: dict[str, Schema] = {}
        for reference in schema.references or ():
            name, subject, version = reference.name, reference.subject, reference.version
            if name is None or subject is None or version is None:
                raise ValueError(f"the schema refers to another without saying which: {reference}")
            try:
                registered = self._client.get_version(subject, version)
            except Exception as error:
                raise self._failure(error, f"{subject!r} in version {version}") from error
            found |= self.referenced(registered.schema)
            found[name] = registered.schema
        return found

    def _fetch(self, schema_id: int) -> Schema:
        try:
            return self._client.get_schema(schema_id)
        except Exception as error:
            raise self._failure(error, f"schema {schema_id}") from error

    def _identify(self, subject: str, schema: Schema, *, register: bool) -> Any:
        try:
            if register:
                return self._client.register_schema_full_response(subject, schema)
            return self._client.lookup_schema(subject, schema)
        except Exception as error:
            failure = self._failure(error, f"subject {subject!r}")
            if isinstance(failure, UnknownSchema):
                raise ConfigError(
                    f"subject {subject!r} at {self.url} does not have this schema: register it, or let the app do so "
                    f"with auto_register=True"
                ) from error
            if isinstance(failure, Unavailable):
                raise failure from error
            raise ConfigError(f"the schema registry at {self.url} refuses the schema: {failure}") from error

    def _failure(self, error: Exception, what: str) -> Exception:
        """What a failed request means. Only an answer that says so is the fault of what was asked."""
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        if isinstance(error, (ValueError, TypeError, LookupError, AttributeError)):  # over the JSON in an answer
            return Unavailable(f"what answers at {self.url} for {what} is no schema registry: {error}")
        if not isinstance(error, SchemaRegistryError):
            return Unavailable(
                f"the schema registry at {self.url} cannot be reached for {what}: {str(error) or type(error).__name__}"
            )
        if error.http_status_code == _NOT_FOUND:
            return UnknownSchema(f"the schema registry at {self.url} does not know {what}")
        if error.http_status_code in _REFUSALS:
            return ValueError(f"{what}: {error.error_message}")
        kind = LoginRefused if error.http_status_code in _LOGIN_REFUSED else Unavailable
        return kind(
            f"the schema registry at {self.url} answers {error.http_status_code} for {what}: {error.error_message}"
        )
