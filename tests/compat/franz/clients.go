package main

import (
	"context"
	"hash/crc32"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A client that produces, consumes, or, as a session, does both in transactions.
type client struct {
	*kgo.Client
	session *kgo.GroupTransactSession

	lock     sync.Mutex
	assigned map[string]map[int32]bool
}

var (
	clients  = map[string]*client{}
	sessions = map[string]*client{} // by transactional id
)

func codec(name string) kgo.CompressionCodec {
	switch name {
	case "gzip":
		return kgo.GzipCompression()
	case "snappy":
		return kgo.SnappyCompression()
	case "lz4":
		return kgo.Lz4Compression()
	case "zstd":
		return kgo.ZstdCompression()
	default:
		return kgo.NoCompression()
	}
}

// partitioner puts a record where it wants to be, and one that does not say so by its key.
var partitioner = kgo.BasicConsistentPartitioner(func(string) func(*kgo.Record, int) int {
	byKey := kgo.KafkaHasher(func(key []byte) uint32 { return crc32.ChecksumIEEE(key) })
	return func(record *kgo.Record, partitions int) int {
		if record.Partition >= 0 {
			return int(record.Partition)
		}
		return byKey(record.Key, partitions)
	}
})

// openProducer takes over the session of the consumer whose offsets the transactions will hold, if there is one.
func openProducer(_ context.Context, r Request) (any, error) {
	if r.TransactionalID != nil && sessions[*r.TransactionalID] != nil {
		clients[r.Handle] = sessions[*r.TransactionalID]
		return nil, nil
	}
	options := []kgo.Opt{
		kgo.SeedBrokers(r.Broker),
		kgo.AllowAutoTopicCreation(),
		kgo.RecordPartitioner(partitioner),
		kgo.ProducerBatchCompression(codec(r.Compression)),
	}
	switch r.Acks {
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()))
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()))
	}
	if !r.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if r.TransactionalID != nil {
		options = append(options, kgo.TransactionalID(*r.TransactionalID))
	}
	opened, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	clients[r.Handle] = &client{Client: opened}
	if r.TransactionalID != nil {
		// The client asks for its producer id when it first needs one; this fences predecessors at once.
		_, _, err = opened.ProducerID(context.Background())
	}
	return nil, err
}

func send(ctx context.Context, r Request) (any, error) {
	var records []*kgo.Record
	for _, record := range r.Records {
		produced := &kgo.Record{Topic: record.Topic, Partition: -1, Key: octets(record.Key), Value: octets(record.Value)}
		for _, header := range record.Headers {
			produced.Headers = append(produced.Headers, kgo.RecordHeader{Key: *header[0], Value: octets(header[1])})
		}
		if record.Timestamp != nil {
			produced.Timestamp = time.UnixMilli(*record.Timestamp)
		}
		if record.Partition != nil {
			produced.Partition = *record.Partition
		}
		records = append(records, produced)
	}
	results := clients[r.Handle].ProduceSync(ctx, records...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	var stored [][2]int64
	for _, record := range records {
		stored = append(stored, [2]int64{int64(record.Partition), record.Offset})
	}
	return stored, nil
}

func begin(_ context.Context, r Request) (any, error) {
	if session := clients[r.Handle].session; session != nil {
		return nil, session.Begin()
	}
	return nil, clients[r.Handle].BeginTransaction()
}

func commit(ctx context.Context, r Request) (any, error) { return end(ctx, r, kgo.TryCommit) }

func abort(ctx context.Context, r Request) (any, error) { return end(ctx, r, kgo.TryAbort) }

func end(ctx context.Context, r Request, how kgo.TransactionEndTry) (any, error) {
	if session := clients[r.Handle].session; session != nil {
		_, err := session.End(ctx, how)
		return nil, err
	}
	return nil, clients[r.Handle].EndTransaction(ctx, how)
}

// sendOffsets has nothing to do: a session sends the offsets of what it polled when its transaction commits.
func sendOffsets(context.Context, Request) (any, error) { return nil, nil }

func closeProducer(_ context.Context, r Request) (any, error) {
	if closed := clients[r.Handle]; closed.session == nil {
		closed.Close()
	}
	delete(clients, r.Handle)
	return nil, nil
}

// openConsumer opens a session if the consumer's offsets will be part of transactions.
func openConsumer(_ context.Context, r Request) (any, error) {
	opened := &client{assigned: map[string]map[int32]bool{}}
	options := []kgo.Opt{
		kgo.SeedBrokers(r.Broker),
		kgo.ConsumerGroup(r.Group),
		kgo.ConsumeTopics(r.Topics...),
		kgo.ConsumeStartOffset(kgo.NewOffset().AtStart()),
		kgo.FetchMaxWait(100 * time.Millisecond),
		kgo.HeartbeatInterval(300 * time.Millisecond),
		kgo.DisableAutoCommit(),
		kgo.OnPartitionsAssigned(opened.onAssigned),
		kgo.OnPartitionsRevoked(opened.onRevoked),
		kgo.OnPartitionsLost(opened.onRevoked),
	}
	if r.ReadCommitted {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	if r.Protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer(), kgo.Balancers(kgo.StickyBalancer()))
	}
	var err error
	if r.TransactionalID != nil {
		options = append(options, kgo.TransactionalID(*r.TransactionalID), kgo.RecordPartitioner(partitioner))
		if opened.session, err = kgo.NewGroupTransactSession(options...); err == nil {
			opened.Client = opened.session.Client()
			sessions[*r.TransactionalID] = opened
		}
	} else {
		opened.Client, err = kgo.NewClient(options...)
	}
	clients[r.Handle] = opened
	return nil, err
}

func (c *client) onAssigned(_ context.Context, _ *kgo.Client, added map[string][]int32) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for topic, partitions := range added {
		if c.assigned[topic] == nil {
			c.assigned[topic] = map[int32]bool{}
		}
		for _, partition := range partitions {
			c.assigned[topic][partition] = true
		}
	}
}

func (c *client) onRevoked(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
	c.lock.Lock()
	defer c.lock.Unlock()
	for topic, partitions := range lost {
		for _, partition := range partitions {
			delete(c.assigned[topic], partition)
		}
	}
}

func poll(ctx context.Context, r Request) (any, error) {
	waiting, cancel := context.WithTimeout(ctx, time.Duration(r.TimeoutMS)*time.Millisecond)
	defer cancel()
	fetches := clients[r.Handle].PollRecords(waiting, r.Count)
	records := []Record{}
	for _, failed := range fetches.Errors() {
		if waiting.Err() == nil {
			return nil, failed.Err
		}
	}
	fetches.EachRecord(func(record *kgo.Record) {
		timestamp := record.Timestamp.UnixMilli()
		described := Record{
			Topic: record.Topic, Partition: &record.Partition, Offset: record.Offset, Timestamp: &timestamp,
			Key: text(record.Key), Value: text(record.Value), Headers: [][2]*string{},
		}
		for _, header := range record.Headers {
			described.Headers = append(described.Headers, [2]*string{&header.Key, text(header.Value)})
		}
		records = append(records, described)
	})
	return records, nil
}

func assignment(_ context.Context, r Request) (any, error) {
	opened := clients[r.Handle]
	opened.lock.Lock()
	defer opened.lock.Unlock()
	assigned := [][2]any{}
	for topic, partitions := range opened.assigned {
		for partition := range partitions {
			assigned = append(assigned, [2]any{topic, partition})
		}
	}
	return assigned, nil
}

func commitOffsets(ctx context.Context, r Request) (any, error) {
	return nil, clients[r.Handle].CommitUncommittedOffsets(ctx)
}

func closeConsumer(_ context.Context, r Request) (any, error) {
	clients[r.Handle].Close()
	delete(clients, r.Handle)
	return nil, nil
}

func octets(text *string) []byte {
	if text == nil {
		return nil
	}
	return []byte(*text)
}

func text(octets []byte) *string {
	if octets == nil {
		return nil
	}
	text := string(octets)
	return &text
}
