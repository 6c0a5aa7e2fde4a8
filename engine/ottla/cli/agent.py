"""`ottla agent list MODULE:APP`."""

from __future__ import annotations

import typer

from ottla.cli.common import AppName, Output, show_list, told_in_a_sentence

app = typer.Typer(help="The agents of an app.", no_args_is_help=True)


@app.callback()
def _commands() -> None:
    pass


@app.command("list")
def list_agents(target: AppName, output: Output = None) -> None:
    """List the agents with what they read, use and write. No broker is asked."""
    from ottla.loading import load_app

    with told_in_a_sentence("agent list"):
        topology = load_app(target).topology
    rows = []
    for part in topology.subtopologies:
        steps = {step.name: step for step in part.steps}
        for step in part.steps:
            if step.kind != "agent":
                continue
            reads = [steps[parent].source or parent for parent in step.parents]
            writes = [other.sink for other in part.steps if step.name in other.parents and other.sink is not None]
            rows.append(
                [step.name, *(", ".join(each) or "-" for each in (reads, [s.name for s in step.stores], writes))]
            )
    show_list(["agent", "reads", "tables", "writes"], rows, output)
