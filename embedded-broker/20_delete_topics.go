package broker

// DeleteTopics, key 20, versions 0–6. Deviations: none.

import "github.com/twmb/franz-go/pkg/kmsg"

func deleteTopicsAPI() api { return api{key: 20, min: 0, max: 6, handle: handleDeleteTopics} }

func handleDeleteTopics(b *Broker, r *request, reply func(kmsg.Response)) {
	req := r.body.(*kmsg.DeleteTopicsRequest)
	resp := kmsg.NewPtrDeleteTopicsResponse()
	for i := range req.TopicNames {
		req.Topics = append(req.Topics, kmsg.DeleteTopicsRequestTopic{Topic: &req.TopicNames[i]})
	}
	for _, t := range req.Topics {
		out := kmsg.NewDeleteTopicsResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		out.ErrorCode, out.ErrorMessage = codeAndText(b.deleteTopic(t, &out))
		resp.Topics = append(resp.Topics, out)
	}
	reply(resp)
}

func (b *Broker) deleteTopic(t kmsg.DeleteTopicsRequestTopic, out *kmsg.DeleteTopicsResponseTopic) error {
	if t.Topic != nil && t.TopicID != [16]byte{} {
		return fail(codeInvalidRequest, "give a topic's name or its id, not both")
	}
	if t.Topic == nil {
		topic, ok := b.engine.TopicByID(t.TopicID)
		if !ok {
			return fail(codeUnknownTopicID, "no topic has this id")
		}
		out.Topic = &topic.Name
	} else if topic, ok := b.engine.Topic(*t.Topic); ok {
		out.TopicID = topic.ID
	}
	if err := b.engine.DeleteTopic(b.ctx, *out.Topic); err != nil {
		return err
	}
	if err := b.groups.topicDeleted(b.ctx, *out.Topic); err != nil {
		// The topic is gone all the same; only a new one of the name would inherit committed offsets.
		b.log.Warn("forgetting what groups committed for a deleted topic failed", "topic", *out.Topic, "error", err)
	}
	return nil
}
