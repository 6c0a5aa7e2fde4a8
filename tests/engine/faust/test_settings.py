"""Options of Faust apps that Ottla has under other names."""

import ssl
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import ottla.faust as faust
from ottla import ConfigError
from ottla.faust.auth import tls_options
from ottla.faust.commands import run


def broker_options(**options: Any) -> dict[str, Any]:
    return dict(faust.App("shop", **options).ottla.config.broker_options or {})


def test_who_the_worker_is_becomes_options_of_librdkafka() -> None:
    plain = faust.SASLCredentials(username="ann", password="secret")
    assert "secret" not in repr(plain)
    assert broker_options(broker_credentials=plain) == {
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "ann",
        "sasl.password": "secret",
    }
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    scram = faust.SASLCredentials(username="a", password="b", mechanism="SCRAM-SHA-512", ssl_context=context)
    over_tls = broker_options(broker_credentials=scram)
    assert (over_tls["security.protocol"], over_tls["sasl.mechanism"]) == ("SASL_SSL", "SCRAM-SHA-512")
    kerberos = broker_options(broker_credentials=faust.GSSAPICredentials(kerberos_service_name="k"))
    assert (kerberos["sasl.mechanism"], kerberos["sasl.kerberos.service.name"]) == ("GSSAPI", "k")
    with pytest.raises(ConfigError, match="the name of the broker"):
        faust.GSSAPICredentials(kerberos_domain_name="example.org")


def test_what_a_context_trusts_is_read_from_it() -> None:
    context = ssl.create_default_context()
    trusted = context.get_ca_certs()
    options = broker_options(broker_credentials=context)
    assert options["security.protocol"] == "SSL"
    assert options["ssl.endpoint.identification.algorithm"] == "https"
    assert options.get("ssl.ca.pem", "").count("BEGIN CERTIFICATE") == len(trusted)
    assert broker_options(ssl_context=context) == options == dict(faust.SSLCredentials(context).options)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    assert tls_options(context) == {
        "ssl.endpoint.identification.algorithm": "none",
        "enable.ssl.certificate.verification": "false",
    }


def test_options_of_producers_become_those_of_librdkafka() -> None:
    options = broker_options(
        producer_compression_type="lz4",
        producer_linger=timedelta(milliseconds=20),
        producer_max_request_size=2_000_000,
        broker_options={"compression.type": "zstd"},
    )
    assert options == {"compression.type": "zstd", "linger.ms": "20", "message.max.bytes": "2000000"}
    assert broker_options(producer_linger_ms=7)["linger.ms"] == "7"


def test_an_app_begins_where_consumer_auto_offset_reset_says() -> None:
    app = faust.App("shop", consumer_auto_offset_reset="latest")

    @app.agent(app.topic("orders"))
    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    assert app.topology.starts == {"orders": "latest"}
    with pytest.raises(ConfigError, match="is of topics"):
        app.topic(pattern="orders-.*")


def test_the_id_and_the_broker_have_other_names() -> None:
    app = faust.App("shop", version=3, id_format="{id}.{self.version}", url="kafka://a", canonical_url="http://shop")
    assert (app.conf.app_id, app.conf.broker, app.web.url) == ("shop.3", "kafka://a:9092", "http://shop")
    app.conf.url = "kafka://b"
    assert app.ottla.config.broker == "kafka://b:9092"


def test_packages_are_looked_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("proj/__init__", "proj/agents/__init__", "proj/agents/orders", "proj/test_it", "proj/__main__"):
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("assert 'test_' not in __name__ and '__main__' not in __name__\n")
    monkeypatch.syspath_prepend(tmp_path)
    faust.App("shop", autodiscover=True, origin="proj").finalize()
    assert {name for name in sys.modules if name.partition(".")[0] == "proj"} == {
        "proj",
        "proj.agents",
        "proj.agents.orders",
    }
    (tmp_path / "proj" / "broken.py").write_text("import no_such_module")
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        faust.App("shop", autodiscover=lambda: ["proj.broken"]).finalize()


def test_logging_is_configured_as_the_app_says(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: list[Any] = []
    monkeypatch.setattr("ottla.worker.launch.run_worker", lambda *_, **__: None)
    monkeypatch.setattr("logging.config.dictConfig", configured.append)
    app = faust.App("shop", logging_config={"version": 1})
    with pytest.raises(SystemExit):
        run(app, ["worker"])
    assert configured == [{"version": 1}]
