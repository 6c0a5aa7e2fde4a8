"""Reasons that several names share."""

from __future__ import annotations

from collections.abc import Iterable

INSIDE = "it is how Faust works inside"
GLOBAL = "a table that all workers hold is app.GlobalTable(name)"
KEEPS = (
    "workers keep their tasks while others come and go: app.on_partitions_assigned and _revoked tell of those that move"
)
SERVICE = "declare it with @app.service, or what it does with @app.task"
WEB_SERVER = "pages are declared with @app.page, and the web server is Ottla's own"
CLIENT = "outside a worker, send within: async with app.ottla.client()"
LOG = "log from your own functions; what a worker does is in the loggers `ottla`"
READ = "a topic is read by an agent: @app.agent(topic)"
JOINS = "Faust does not implement joins; Ottla's are declared: app.ottla.stream(topic).join(...)"


def each(reason: str, names: str | Iterable[str]) -> dict[str, str]:
    """Names, in a text with blanks between, with one reason for all."""
    return dict.fromkeys(names.split() if isinstance(names, str) else names, reason)


OF_SERVICES = each(
    "it is what Faust's services have in common: here whoever runs the app starts and stops it whole",
    "Diag abstract add_async_context add_context add_dependency add_future add_runtime_dependency "
    "async_exit_stack beacon crash crash_reason crashed crontab diag exit_stack from_awaitable human_tracebacks "
    "itertimer join_services label log logger loop maybe_start mundane_level on_first_start on_init "
    "on_init_dependencies on_restart on_shutdown on_start on_started on_stop remove_dependency restart "
    "restart_count service_reset set_shutdown shortlabel should_stop shutdown_timeout sleep start started state "
    "stop supervisor task timer tracebacks transition_with transitions_to wait wait_first wait_for_shutdown "
    "wait_for_stopped wait_many wait_until_stopped",
)
"""What everything in Faust has that is a mode `Service`."""
