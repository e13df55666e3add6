package broker

// CreateTopics, key 19, versions 0–7. Deviations: a replication factor of 1 to 3 is accepted, because applications
// hard-code 3, and answered with what there is: 1.

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func createTopicsAPI() api { return api{key: 19, min: 0, max: 7, handle: handleCreateTopics} }

const maxReplication = 3

// coded is an error with its code on the wire.
type coded struct {
	code int16
	text string
}

func (e *coded) Error() string { return e.text }

func fail(code int16, format string, args ...any) error {
	return &coded{code, fmt.Sprintf(format, args...)}
}

func handleCreateTopics(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.CreateTopicsRequest)
	resp := kmsg.NewPtrCreateTopicsResponse()
	count := map[string]int{}
	for _, t := range req.Topics {
		count[t.Topic]++
	}
	for _, t := range req.Topics {
		if count[t.Topic] == 0 {
			continue
		}
		out := kmsg.NewCreateTopicsResponseTopic()
		out.Topic = t.Topic
		var err error
		if count[t.Topic] > 1 {
			count[t.Topic] = 0
			err = fail(codeInvalidRequest, "the request names the topic twice")
		} else {
			err = b.createTopic(t, req.ValidateOnly && r.version >= 1, &out)
		}
		if err != nil {
			out.ErrorCode, out.ErrorMessage = codeAndText(err)
			out.NumPartitions, out.ReplicationFactor, out.Configs = -1, -1, nil
		}
		resp.Topics = append(resp.Topics, out)
	}
	reply(resp)
}

func codeAndText(err error) (int16, *string) {
	if err == nil {
		return 0, nil
	}
	text := err.Error()
	return codeOf(err), &text
}

func (b *Broker) createTopic(t kmsg.CreateTopicsRequestTopic, dry bool, out *kmsg.CreateTopicsResponseTopic) error {
	partitions, err := b.partitionsOf(t)
	if err != nil {
		return err
	}
	configs := make(map[string]string, len(t.Configs))
	for _, c := range t.Configs {
		if _, ok := configs[c.Name]; ok {
			return fail(codeInvalidConfig, "config %s is set twice", c.Name)
		}
		if c.Value == nil {
			return fail(codeInvalidConfig, "config %s has no value", c.Name)
		}
		configs[c.Name] = *c.Value
	}
	if dry {
		if err := b.engine.CheckTopic(t.Topic, partitions, configs); err != nil {
			return err
		}
	} else {
		created, err := b.engine.CreateTopic(b.ctx, t.Topic, partitions, configs)
		if err != nil {
			return err
		}
		out.TopicID = created.ID
		b.telemetry.topic(t.Topic)
	}
	out.NumPartitions, out.ReplicationFactor = partitions, 1
	out.Configs = b.createdConfigs(configs)
	return nil
}

// partitionsOf works out the partition count from a number, an assignment or the default.
func (b *Broker) partitionsOf(t kmsg.CreateTopicsRequestTopic) (int32, error) {
	if len(t.ReplicaAssignment) > 0 {
		if t.NumPartitions != -1 || t.ReplicationFactor != -1 {
			return 0, fail(codeInvalidRequest, "give an assignment, or counts, not both")
		}
		seen := make([]bool, len(t.ReplicaAssignment))
		for _, a := range t.ReplicaAssignment {
			if a.Partition < 0 || int(a.Partition) >= len(seen) || seen[a.Partition] {
				return 0, fail(codeInvalidAssignment, "the assignment must name the partitions from 0 on, each once")
			}
			seen[a.Partition] = true
			if err := b.checkReplicas(a.Replicas); err != nil {
				return 0, err
			}
		}
		return int32(len(seen)), nil
	}
	if t.ReplicationFactor != -1 && (t.ReplicationFactor < 1 || t.ReplicationFactor > maxReplication) {
		return 0, fail(codeInvalidReplication, "replication factor %d: this broker takes 1 to %d, and stores one copy", t.ReplicationFactor, maxReplication)
	}
	switch {
	case t.NumPartitions == -1:
		return b.defaultPartitions(), nil
	case t.NumPartitions < 1:
		return 0, fail(codeInvalidPartitions, "%d partitions: give at least 1", t.NumPartitions)
	}
	return t.NumPartitions, nil
}

// checkReplicas takes an assignment to this broker only.
func (b *Broker) checkReplicas(replicas []int32) error {
	if len(replicas) != 1 || replicas[0] != b.o.NodeID {
		return fail(codeInvalidAssignment, "replicas %v: broker %d is the only one", replicas, b.o.NodeID)
	}
	return nil
}
