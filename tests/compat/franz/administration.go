package main

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var admins = map[string]*kadm.Client{}

// administer gives a verb the client that the request's broker is administered with.
func administer(do func(context.Context, *kadm.Client, Request) (any, error)) verb {
	return func(ctx context.Context, r Request) (any, error) {
		if admins[r.Broker] == nil {
			opened, err := kgo.NewClient(kgo.SeedBrokers(r.Broker), kgo.MetadataMinAge(10*time.Millisecond))
			if err != nil {
				return nil, err
			}
			admins[r.Broker] = kadm.NewClient(opened)
		}
		return do(ctx, admins[r.Broker], r)
	}
}

func createTopic(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	configs := map[string]*string{}
	for name, value := range r.Configs {
		configs[name] = &value
	}
	_, err := client.CreateTopic(ctx, int32(r.Partitions), 1, configs, r.Topic)
	return nil, err
}

func deleteTopic(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	_, err := client.DeleteTopic(ctx, r.Topic)
	return nil, err
}

func listTopics(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	topics, err := client.ListTopics(ctx)
	return topics.Names(), err
}

func describeTopic(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	topics, err := client.ListTopics(ctx, r.Topic)
	if err == nil {
		err = topics.Error()
	}
	if err != nil {
		return nil, err
	}
	partitions := []map[string]any{}
	for _, partition := range topics[r.Topic].Partitions.Sorted() {
		partitions = append(partitions, map[string]any{
			"partition": partition.Partition,
			"leader":    partition.Leader,
			"replicas":  partition.Replicas,
			"isr":       partition.ISR,
		})
	}
	return partitions, nil
}

func growTopic(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	grown, err := client.UpdatePartitions(ctx, r.Partitions, r.Topic)
	if err == nil {
		err = grown.Error()
	}
	return nil, err
}

func topicConfig(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	described, err := client.DescribeTopicConfigs(ctx, r.Topic)
	if err != nil {
		return nil, err
	}
	values := map[string]*string{}
	for _, resource := range described {
		if resource.Err != nil {
			return nil, resource.Err
		}
		for _, config := range resource.Configs {
			values[config.Key] = config.Value
		}
	}
	return values, nil
}

func setTopicConfig(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	change := kadm.AlterConfig{Op: kadm.SetConfig, Name: r.Name, Value: &r.Value}
	altered, err := client.AlterTopicConfigs(ctx, []kadm.AlterConfig{change}, r.Topic)
	for _, resource := range altered {
		if err == nil {
			err = resource.Err
		}
	}
	return nil, err
}

func listGroups(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	groups, err := client.ListGroups(ctx)
	return groups.Groups(), err
}

func describeGroup(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	groups, err := client.DescribeGroups(ctx, r.Group)
	if err == nil {
		err = groups.Error()
	}
	if err != nil {
		return nil, err
	}
	group := groups[r.Group]
	return map[string]any{"state": group.State, "members": len(group.Members)}, nil
}

func groupOffsets(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	committed, err := client.FetchOffsets(ctx, r.Group)
	if err == nil {
		err = committed.Error()
	}
	offsets := [][3]any{}
	committed.Each(func(offset kadm.OffsetResponse) {
		offsets = append(offsets, [3]any{offset.Topic, offset.Partition, offset.At})
	})
	return offsets, err
}

func deleteGroup(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	_, err := client.DeleteGroup(ctx, r.Group)
	return nil, err
}

func logOffsets(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	earliest, err := client.ListStartOffsets(ctx, r.Topic)
	if err != nil {
		return nil, err
	}
	latest, err := client.ListEndOffsets(ctx, r.Topic)
	return []int64{earliest[r.Topic][r.Partition].Offset, latest[r.Topic][r.Partition].Offset}, err
}

func deleteRecords(ctx context.Context, client *kadm.Client, r Request) (any, error) {
	offsets := kadm.Offsets{}
	offsets.AddOffset(r.Topic, r.Partition, r.Before, -1)
	deleted, err := client.DeleteRecords(ctx, offsets)
	if err == nil {
		err = deleted.Error()
	}
	return nil, err
}
