"""Foreign-key joins of tables (KIP-213): each key of the left table meets the right table's value for a key that its
own value names.

Equal keys are in one task, and what meets here has two keys. So the left table's changes go as subscriptions to the
task of the foreign key, which keeps them, and answers with the right table's value now and whenever it changes:

    left change -> Subscribe -> subscription topic -> Receive ─┐
                                right change -> Answer ────────┴-> response topic -> Resolve -> result

An answer can arrive when the left value has changed again. It therefore carries the hash of the value it was asked
for, and is dropped if that is not the value any more: the answer to the newer one is under way. For that each value is
answered, even if what it names is not there: only who asked knows whether there is a result that must go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from ottla.joins.subscriptions import (
    Answer,
    ForeignKeyJoin,
    Receive,
    Resolve,
    Response,
    SendResponses,
    Subscribe,
    Subscription,
    subscriptions_spec,
)
from ottla.serdes import Codec
from ottla.task.operators import Sink
from ottla.topic import Topic
from ottla.transport.contract import PASSED_ON

if TYPE_CHECKING:
    from ottla.tables import Table


def join_foreign(join: ForeignKeyJoin, result: Codec[Any]) -> Table[Any, Any]:
    """Adds the steps of a join and returns the table of its results."""
    name, left, right = join.name, join.left, join.right
    (graph, left_step), (_, right_step) = left.changing(), right.changing()
    left.known_values(f"join {name!r}")
    right.known_values(f"join {name!r}")
    table, keep = left.derived(name, result)
    subscriptions: Topic[Any, Any] = _internal_topic(
        f"{graph.app_id}-{name}-subscription-registration-topic", right.key_codec, Subscription
    )
    responses: Topic[Any, Any] = _internal_topic(
        f"{graph.app_id}-{name}-subscription-response-topic", left.change_keys, Response
    )
    store = subscriptions_spec(graph.app_id, join)
    owner = f"foreign-key join {name!r}"
    subscribe, receive, answer, resolve = (
        f"{name}-subscription-{part}" for part in ("registration", "receive", "foreign", "resolver")
    )
    graph.add(
        subscribe,
        "foreign-key join",
        lambda context, step: Subscribe(context, step, join),
        parents=(left_step,),
        functions=(join.foreign_key,),
    )
    graph.add(
        f"{subscribe}-sink",
        "sink",
        lambda context, step: Sink(context, step, subscriptions),
        parents=(subscribe,),
        sink=subscriptions,
    )
    graph.add(
        receive,
        "foreign-key join",
        lambda context, step: Receive(context, step, join),
        parents=(graph.source(subscriptions),),
        stores=(store,),
        reads=right.specs(),
        owner=owner,
    )
    graph.add(
        answer,
        "foreign-key join",
        lambda context, step: Answer(context, step, join),
        parents=(right_step,),
        stores=(store,),
        owner=owner,
    )
    graph.add(
        f"{name}-subscription-response-sink",
        "sink",
        lambda context, step: SendResponses(context, step, responses),
        parents=(receive, answer),
        sink=responses,
    )
    graph.add(
        resolve,
        "foreign-key join",
        lambda context, step: Resolve(context, step, join),
        parents=(graph.source(responses),),
        reads=(*left.specs(), table.kept_spec),
        functions=(join.joiner,),
    )
    keep(resolve)
    return table


def _internal_topic(name: str, key: Codec[Any], value: Any) -> Topic[Any, Any]:
    encode, decode = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(value).decode
    return Topic(name, key, Codec(value.__name__, encode, decode, value), config=PASSED_ON, internal=True)
