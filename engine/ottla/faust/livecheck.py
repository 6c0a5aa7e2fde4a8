"""`faust.livecheck`, which is not part of the facade."""

from ottla.errors import ConfigError

raise ConfigError(
    "faust.livecheck is not part of Ottla's Faust facade: app.ottla.test() runs the app against what should come out"
)
