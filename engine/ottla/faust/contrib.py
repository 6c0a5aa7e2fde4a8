"""`faust.contrib`, which is not part of the facade."""

from ottla.errors import ConfigError

raise ConfigError(
    "faust.contrib is not part of Ottla's Faust facade: a worker is a process of its own, other servers send to its "
    "topics with app.ottla.client(), and Prometheus reads /metrics"
)
