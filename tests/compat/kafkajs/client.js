// kafkajs in a process that the suite drives with one JSON object per line: see tests/compat/README.md.
'use strict'

const readline = require('readline')
const { CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')

const TIMEOUT_MS = 100000
const producers = new Map()
const readers = new Map()
const admins = new Map()

const kafka = (broker) =>
  new Kafka({ brokers: [broker], clientId: 'compat', connectionTimeout: TIMEOUT_MS, logLevel: logLevel.NOTHING })

const text = (octets) => (octets === null || octets === undefined ? null : octets.toString())

// --- producers

async function open_producer({ handle, broker, acks, compression, idempotent, transactional_id }) {
  const producer = kafka(broker).producer({
    idempotent,
    transactionalId: transactional_id ?? undefined,
    maxInFlightRequests: idempotent ? 1 : undefined,
  })
  await producer.connect()
  producers.set(handle, {
    producer,
    acks: acks === 'all' ? -1 : Number(acks),
    compression: CompressionTypes[compression === 'none' ? 'None' : compression.toUpperCase()],
    transaction: null,
  })
}

// Returns where the records were stored, if all of them say which partition they go to.
async function send({ handle, records }) {
  const { producer, transaction, acks, compression } = producers.get(handle)
  const topics = new Map()
  for (const { topic, partition, key, value, timestamp, headers } of records) {
    const message = { key, value, headers: Object.fromEntries(headers) }
    if (partition !== null) message.partition = partition
    if (timestamp !== null) message.timestamp = String(timestamp)
    topics.set(topic, [...(topics.get(topic) ?? []), message])
  }
  const topicMessages = [...topics].map(([topic, messages]) => ({ topic, messages }))
  const results = await (transaction ?? producer).sendBatch({ acks, compression, topicMessages })
  if (records.some(({ partition }) => partition === null)) return []
  const next = new Map(results.map((result) => [`${result.topicName} ${result.partition}`, Number(result.baseOffset)]))
  return records.map(({ topic, partition }) => {
    const offset = next.get(`${topic} ${partition}`)
    next.set(`${topic} ${partition}`, offset + 1)
    return [partition, offset]
  })
}

async function begin({ handle }) {
  const opened = producers.get(handle)
  opened.transaction = await opened.producer.transaction()
}

async function commit({ handle }) {
  await end(handle, (transaction) => transaction.commit())
}

async function abort({ handle }) {
  await end(handle, (transaction) => transaction.abort())
}

async function end(handle, how) {
  const opened = producers.get(handle)
  const { transaction } = opened
  opened.transaction = null
  await how(transaction)
}

async function send_offsets({ handle, consumer }) {
  const { group, positions } = readers.get(consumer)
  const topics = [...positions.values()].map(({ topic, partition, offset }) => ({
    topic,
    partitions: [{ partition, offset }],
  }))
  await producers.get(handle).transaction.sendOffsets({ consumerGroupId: group, topics })
}

async function close_producer({ handle }) {
  const { producer } = producers.get(handle)
  producers.delete(handle)
  await producer.disconnect()
}

// --- consumers

async function open_consumer({ handle, broker, group, topics, read_committed }) {
  const consumer = kafka(broker).consumer({
    groupId: group,
    heartbeatInterval: 300,
    maxWaitTimeInMs: 100,
    readUncommitted: !read_committed,
  })
  const reader = { consumer, group, records: [], positions: new Map(), assigned: [], wake: () => {} }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    reader.assigned = Object.entries(payload.memberAssignment).flatMap(([topic, partitions]) =>
      partitions.map((partition) => [topic, partition])
    )
  })
  readers.set(handle, reader)
  await consumer.connect()
  await consumer.subscribe({ topics, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    eachMessage: async ({ topic, partition, message }) => {
      reader.records.push({ topic, partition, message })
      reader.wake()
    },
  })
}

async function poll({ handle, count, timeout_ms }) {
  const reader = readers.get(handle)
  if (reader.records.length === 0) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout_ms)
      reader.wake = () => {
        clearTimeout(timer)
        resolve()
      }
    })
    reader.wake = () => {}
  }
  return reader.records.splice(0, count).map(({ topic, partition, message }) => {
    reader.positions.set(`${topic} ${partition}`, { topic, partition, offset: String(Number(message.offset) + 1) })
    return {
      topic,
      partition,
      offset: Number(message.offset),
      timestamp: Number(message.timestamp),
      key: text(message.key),
      value: text(message.value),
      headers: Object.entries(message.headers).map(([name, value]) => [name, text(value)]),
    }
  })
}

async function assignment({ handle }) {
  return readers.get(handle).assigned
}

async function commit_offsets({ handle }) {
  const { consumer, positions } = readers.get(handle)
  await consumer.commitOffsets([...positions.values()])
}

async function close_consumer({ handle }) {
  const { consumer } = readers.get(handle)
  readers.delete(handle)
  await consumer.disconnect()
}

// --- administration

async function admin(broker) {
  if (!admins.has(broker)) {
    admins.set(broker, kafka(broker).admin())
    await admins.get(broker).connect()
  }
  return admins.get(broker)
}

async function create_topic({ broker, topic, partitions, configs }) {
  const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
  const created = { topic, numPartitions: partitions, replicationFactor: 1, configEntries }
  const isNew = await (await admin(broker)).createTopics({ topics: [created], timeout: TIMEOUT_MS })
  if (!isNew) throw new Error(`${topic} already exists`)
}

async function delete_topic({ broker, topic }) {
  await (await admin(broker)).deleteTopics({ topics: [topic], timeout: TIMEOUT_MS })
}

async function list_topics({ broker }) {
  return (await admin(broker)).listTopics()
}

async function describe_topic({ broker, topic }) {
  const { topics } = await (await admin(broker)).fetchTopicMetadata({ topics: [topic] })
  return topics[0].partitions.map(({ partitionId, leader, replicas, isr }) => ({
    partition: partitionId,
    leader,
    replicas,
    isr,
  }))
}

async function grow_topic({ broker, topic, partitions }) {
  await (await admin(broker)).createPartitions({ topicPartitions: [{ topic, count: partitions }], timeout: TIMEOUT_MS })
}

async function topic_config({ broker, topic }) {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic }]
  const described = await (await admin(broker)).describeConfigs({ resources, includeSynonyms: false })
  const entries = described.resources[0].configEntries
  return Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue]))
}

async function set_topic_config({ broker, topic, name, value }) {
  const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries: [{ name, value }] }]
  await (await admin(broker)).alterConfigs({ resources })
}

async function list_groups({ broker }) {
  return (await (await admin(broker)).listGroups()).groups.map(({ groupId }) => groupId)
}

async function describe_group({ broker, group }) {
  const { groups } = await (await admin(broker)).describeGroups([group])
  return { state: groups[0].state, members: groups[0].members.length }
}

async function group_offsets({ broker, group }) {
  const topics = await (await admin(broker)).fetchOffsets({ groupId: group })
  return topics.flatMap(({ topic, partitions }) =>
    partitions.map(({ partition, offset }) => [topic, partition, Number(offset)])
  )
}

async function delete_group({ broker, group }) {
  await (await admin(broker)).deleteGroups([group])
}

async function log_offsets({ broker, topic, partition }) {
  const offsets = await (await admin(broker)).fetchTopicOffsets(topic)
  const { low, high } = offsets.find((described) => described.partition === partition)
  return [Number(low), Number(high)]
}

async function delete_records({ broker, topic, partition, before }) {
  await (await admin(broker)).deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
}

const verbs = {
  open_producer, send, begin, commit, abort, send_offsets, close_producer,
  open_consumer, poll, assignment, commit_offsets, close_consumer,
  create_topic, delete_topic, list_topics, describe_topic, grow_topic, topic_config, set_topic_config,
  list_groups, describe_group, group_offsets, delete_group, log_offsets, delete_records,
}

async function serve() {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const request = JSON.parse(line)
    let reply
    try {
      reply = { result: (await verbs[request.verb](request)) ?? null }
    } catch (error) {
      const causes = error.errors ?? [error]
      reply = { error: error.name, message: causes.map(({ type, message }) => `${type ?? ''} ${message}`).join('; ') }
    }
    process.stdout.write(JSON.stringify(reply) + '\n')
  }
  process.exit(0) // clients that a failed test left open would keep the process alive
}

serve()
