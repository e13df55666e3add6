package broker

// CreatePartitions, key 37, versions 0–3. Deviations: none.

import "github.com/twmb/franz-go/pkg/kmsg"

func createPartitionsAPI() api { return api{key: 37, min: 0, max: 3, handle: handleCreatePartitions} }

func handleCreatePartitions(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.CreatePartitionsRequest)
	resp := kmsg.NewPtrCreatePartitionsResponse()
	count := map[string]int{}
	for _, t := range req.Topics {
		count[t.Topic]++
	}
	for _, t := range req.Topics {
		out := kmsg.NewCreatePartitionsResponseTopic()
		out.Topic = t.Topic
		err := fail(codeInvalidRequest, "the request names the topic twice")
		if count[t.Topic] == 1 {
			err = b.addPartitions(t, req.ValidateOnly)
		}
		out.ErrorCode, out.ErrorMessage = codeAndText(err)
		resp.Topics = append(resp.Topics, out)
	}
	reply(resp)
}

func (b *Broker) addPartitions(t kmsg.CreatePartitionsRequestTopic, dry bool) error {
	topic, ok := b.engine.Topic(t.Topic)
	switch {
	case !ok:
		return fail(codeUnknownTopic, "topic %s does not exist", t.Topic)
	case t.Count <= topic.Partitions:
		return fail(codeInvalidPartitions, "The topic %s currently has %d partition(s); %d would not be an increase.", t.Topic, topic.Partitions, t.Count)
	case t.Assignment != nil && len(t.Assignment) != int(t.Count-topic.Partitions):
		return fail(codeInvalidAssignment, "%d assignments for %d new partitions", len(t.Assignment), t.Count-topic.Partitions)
	}
	for _, a := range t.Assignment {
		if err := b.checkReplicas(a.Replicas); err != nil {
			return err
		}
	}
	if dry {
		return nil
	}
	return b.engine.AddPartitions(b.ctx, t.Topic, t.Count)
}
