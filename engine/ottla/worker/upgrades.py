"""Whether the state that is there can be read by this version of the app, before a worker touches it.

The format of every store is kept in the compacted topic `APP-stores`, by the store's name: a worker compares it to its
own when it starts, and writes what is new. Of two versions that run side by side during an upgrade, each must be able
to read what the other wrote, or it does not start.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from ottla.errors import IncompatibleState
from ottla.state.format import StoreFormat, changes
from ottla.topology.topology import Topology, stores_topic
from ottla.transport.contract import OutputRecord, TopicPartition, Transport

log = logging.getLogger("ottla.worker")

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder(StoreFormat).decode


async def check_stores(topology: Topology, transport: Transport, *, now_ms: int) -> None:
    """Compares the app's stores to those that its state was written for, and notes those that are new or have changed.

    The topic must exist. Raises `IncompatibleState` if state that is there cannot be read.
    """
    stores = {spec.name: spec.format for part in topology.subtopologies for spec in part.stores}
    if not stores:
        return
    where = TopicPartition(stores_topic(topology.app_id).name, 0)
    known = await _known(transport, where)
    refuse_changes(known, stores)
    lost, fresh = sorted(known.keys() - stores.keys()), sorted(stores.keys() - known.keys())
    if lost and fresh:
        log.warning(
            "the app has no store %s any more, and %s is new and empty; state does not follow a change of name",
            " and ".join(map(repr, lost)),
            " and ".join(map(repr, fresh)),
        )
    records = [
        OutputRecord(where.topic, name.encode(), _encode(stores[name]), now_ms, None, where.partition)
        for name in stores
        if known.get(name) != stores[name]
    ]
    if records:
        await transport.produce(records)
        await transport.commit({})


def refuse_changes(known: Mapping[str, StoreFormat], stores: Mapping[str, StoreFormat]) -> None:
    """Raises `IncompatibleState` if a store that is known cannot be read as what it is now."""
    found = {name: changes(known[name], stores[name]) for name in stores if name in known}
    problems = [f"{name!r}: {', '.join(changed)}" for name, changed in found.items() if changed]
    if problems:
        raise IncompatibleState(
            f"the state of {'; of '.join(problems)}. An earlier version of the app wrote it, and this one cannot read "
            "it: give the step or table another name, so that it begins empty, or delete the app's state with "
            "`ottla app reset`"
        )


async def _known(transport: Transport, where: TopicPartition) -> dict[str, StoreFormat]:
    known: dict[str, StoreFormat] = {}
    async for batches in transport.read(await transport.offset_ranges([where])):
        for message in batches.get(where, ()):
            name, value = (message.key() or b"").decode(), message.value()
            if value is None:
                known.pop(name, None)
            else:
                known[name] = _decode(value)
    return known
