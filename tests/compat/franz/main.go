// franz-go in a process that the suite drives with one JSON object per line: see tests/compat/README.md.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
)

const timeout = 100 * time.Second

// Request is what a line may hold; each verb reads the fields that concern it.
type Request struct {
	Verb            string
	Handle          string
	Broker          string
	Acks            string
	Compression     string
	Idempotent      bool
	TransactionalID *string `json:"transactional_id"`
	Consumer        string
	Group           string
	Topics          []string
	ReadCommitted   bool `json:"read_committed"`
	Protocol        string
	Count           int
	TimeoutMS       int `json:"timeout_ms"`
	Records         []Record
	Topic           string
	Partition       int32
	Partitions      int
	Configs         map[string]string
	Name            string
	Value           string
	Before          int64
}

// Record is a record as requests and replies have it; null and absent differ for none of its fields.
type Record struct {
	Topic     string       `json:"topic"`
	Partition *int32       `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp *int64       `json:"timestamp"`
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
}

type verb func(context.Context, Request) (any, error)

var verbs = map[string]verb{
	"open_producer":    openProducer,
	"send":             send,
	"begin":            begin,
	"commit":           commit,
	"abort":            abort,
	"send_offsets":     sendOffsets,
	"close_producer":   closeProducer,
	"open_consumer":    openConsumer,
	"poll":             poll,
	"assignment":       assignment,
	"commit_offsets":   commitOffsets,
	"close_consumer":   closeConsumer,
	"create_topic":     administer(createTopic),
	"delete_topic":     administer(deleteTopic),
	"list_topics":      administer(listTopics),
	"describe_topic":   administer(describeTopic),
	"grow_topic":       administer(growTopic),
	"topic_config":     administer(topicConfig),
	"set_topic_config": administer(setTopicConfig),
	"list_groups":      administer(listGroups),
	"describe_group":   administer(describeGroup),
	"group_offsets":    administer(groupOffsets),
	"delete_group":     administer(deleteGroup),
	"log_offsets":      administer(logOffsets),
	"delete_records":   administer(deleteRecords),
}

func main() {
	requests := bufio.NewReader(os.Stdin)
	for {
		line, err := requests.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return
		}
		reply, err := json.Marshal(answer(line))
		if err != nil {
			panic(err)
		}
		fmt.Println(string(reply))
	}
}

func answer(line []byte) map[string]any {
	var request Request
	if err := json.Unmarshal(line, &request); err != nil {
		return failure(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	result, err := verbs[request.Verb](ctx, request)
	if err != nil {
		return failure(err)
	}
	return map[string]any{"result": result}
}

func failure(err error) map[string]any {
	name := fmt.Sprintf("%T", err)
	var protocol *kerr.Error
	if errors.As(err, &protocol) {
		name = protocol.Message
	}
	return map[string]any{"error": name, "message": err.Error()}
}
