"""Results of windows that are told at most so often: `aggregate(emit=timedelta(seconds=10))`.

They are changes of a table whose keys are keys and starts of windows, and are held back as those are
(`relations/suppress.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ottla.relations.change import Change
from ottla.relations.suppress import Suppress, Suppression, suppress_spec
from ottla.serdes import state_codec_for
from ottla.state.pairs import pair_codec
from ottla.task.batch import Batch
from ottla.task.processor import Processor
from ottla.windows.definitions import Windowed

if TYPE_CHECKING:
    from ottla.stream import Stream


class _ByWindow(Processor):
    """Makes each result a change under its key and the start of its window."""

    async def receive(self, batch: Batch) -> None:
        keys = [(key, result.start) for key, result in zip(batch.keys, batch.values, strict=True)]
        changes = [Change(None, result) for result in batch.values]
        await self.forward(Batch(keys, changes, batch.timestamps, batch.origins))


class _ByKey(Processor):
    """Makes each change a result again."""

    async def receive(self, batch: Batch) -> None:
        results = [change.new for change in batch.values]
        await self.forward(Batch([key for key, _ in batch.keys], results, batch.timestamps, batch.origins))


def told_every(results: Stream[Windowed[Any, Any]], name: str, every_ms: int) -> Stream[Windowed[Any, Any]]:
    """The results, of which the last of each key and window is told `every_ms` of stream time after the first."""
    graph, suppression = results.graph, Suppression(every_ms, None, None, "emit")
    by_window, held, by_key = f"{name}.by_window", f"{name}-suppressed", f"{name}.told"
    keys = pair_codec(results.key_codec, state_codec_for(int))
    spec = suppress_spec(graph.app_id, held, keys, results.known_values(f"aggregate({name!r})"))
    graph.add(by_window, "by window", lambda _, __: _ByWindow(), parents=(results.step,))
    graph.add(
        held,
        "suppress",
        lambda context, own: Suppress(context, own, suppression),
        parents=(by_window,),
        stores=(spec,),
    )
    graph.add(by_key, "by key", lambda _, __: _ByKey(), parents=(held,))
    return results.behind(by_key, results.value_codec)
