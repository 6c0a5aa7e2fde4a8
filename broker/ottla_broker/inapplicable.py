"""Apache Kafka's settings that this broker does not take, and why. Pure.

Whoever comes from Kafka brings a server.properties along; each line of it that means nothing here is refused with its
reason, not with a name that happens to look alike.
"""

from collections.abc import Mapping

# By the beginning of the name, or the whole of it; the longest that fits says why.
REASONS: Mapping[str, str] = {
    # how the work is done
    "background.threads": "one event loop serves everything",
    "num.io.threads": "one event loop serves everything",
    "num.network.threads": "one event loop serves everything",
    "queued.max.": "each connection has limits of its own",
    "group.coordinator.append.linger.ms": "one event loop serves everything",
    "group.coordinator.background.threads": "one event loop serves everything",
    "group.coordinator.cached.buffer.max.bytes": "one event loop serves everything",
    "group.coordinator.threads": "one event loop serves everything",
    "delete.records.purgatory.": "requests that wait are not kept in purgatories",
    "fetch.purgatory.": "requests that wait are not kept in purgatories",
    "producer.purgatory.": "requests that wait are not kept in purgatories",
    "log.cleaner.threads": "logs are compacted one at a time",
    "log.cleaner.io.buffer.": "logs are compacted one at a time, with buffers of a fixed size",
    "log.dir.failure.timeout.ms": "there is one data directory",
    "cordoned.log.dirs": "there is one data directory",
    "num.replica.alter.log.dirs.threads": "there is one data directory",
    "alter.log.dirs.": "there is one data directory",
    "offsets.commit.timeout.ms": "offsets are committed without waiting for anybody",
    "offsets.load.buffer.size": "logs are loaded in stretches of a fixed size",
    "transaction.state.log.load.buffer.size": "logs are loaded in stretches of a fixed size",
    "transaction.abort.timed.out.": "a transaction is aborted as soon as its time is over",
    "transaction.remove.expired.": "a transactional id goes as soon as its time is over",
    "add.partitions.to.txn.retry.": "the coordinator is asked without retries",
    "transaction.two.phase.commit.": "transactions of two phases (KIP-939) are not served",
    # the cluster
    "process.roles": "every node is broker and controller",
    "controller.": "the node is its own controller",
    "metadata.log.dir": "there is one data directory",
    "metadata.log.segment.": "the metadata log begins a segment with each snapshot",
    "metadata.max.idle.interval.ms": "there are no other nodes to tell that nothing happened",
    "metadata.max.retention.": "the metadata log is kept from its latest snapshot on",
    "broker.id": "it is called node.id",
    "broker.heartbeat.interval.ms": "the node is its own controller",
    "broker.session.timeout.ms": "the node is its own controller",
    "initial.broker.registration.timeout.ms": "the node is its own controller",
    "controlled.shutdown.": "there is nobody to hand leadership to",
    "inter.broker.listener.name": "there are no other brokers to talk to",
    "early.start.listeners": "there is no authorizer to wait for",
    "auto.leader.rebalance.enable": "there are no other leaders",
    "leader.imbalance.": "there are no other leaders",
    "num.replica.fetchers": "this version does not replicate",
    "replica.": "this version does not replicate",
    "replication.quota.": "this version does not replicate",
    "request.timeout.ms": "there are no other brokers to talk to",
    "socket.connection.setup.": "there are no other brokers to talk to",
    "follower.fetch.": "there is no tiered storage",
    "remote.": "there is no tiered storage",
    "log.local.retention.": "there is no tiered storage",
    # who may do what, and how much of it
    "ssl.": "this version serves PLAINTEXT listeners only",
    "sasl.": "this version serves PLAINTEXT listeners only",
    "security.": "this version serves PLAINTEXT listeners only",
    "principal.builder.class": "this version serves PLAINTEXT listeners only",
    "delegation.token.": "this version serves PLAINTEXT listeners only",
    "connections.max.reauth.ms": "this version serves PLAINTEXT listeners only",
    "connection.failed.authentication.delay.ms": "this version serves PLAINTEXT listeners only",
    "listener.name.": "listeners have no settings of their own",
    "authorizer.class.name": "everybody may do everything",
    "super.users": "everybody may do everything",
    "allow.everyone.if.no.acl.found": "everybody may do everything",
    "quota.": "there are no quotas",
    "client.quota.callback.class": "there are no quotas",
    "create.topic.policy.class.name": "plugins are not loaded",
    "alter.config.policy.class.name": "plugins are not loaded",
    "config.providers": "plugins are not loaded",
    # what it tells
    "metric.reporters": "metrics are served over HTTP, at admin.listen",
    "metrics.": "metrics are served over HTTP, at admin.listen",
    "kafka.metrics.": "metrics are served over HTTP, at admin.listen",
    "telemetry.": "clients' metrics (KIP-714) are not collected",
    "auto.include.jmx.reporter": "metrics are served over HTTP, at admin.listen",
    # other kinds of groups
    "group.share.": "share groups are not served",
    "share.": "share groups are not served",
    "group.streams.": "streams groups are not served",
    # of earlier versions
    "zookeeper.": "there is no ZooKeeper",
    "inter.broker.protocol.version": "features have taken its place",
    "log.message.format.version": "records have one format",
    "log.message.downconversion.enable": "records have one format",
    "log.message.timestamp.difference.max.ms": "log.message.timestamp.before.max.ms and its like have taken its place",
}


def reason(name: str) -> str | None:
    """Why a setting of Kafka's is not taken; None for one that is no such setting."""
    found = [start for start in REASONS if name == start or (start.endswith(".") and name.startswith(start))]
    return REASONS[max(found, key=len)] if found else None
