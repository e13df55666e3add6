package broker

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestTopicAdministration(t *testing.T) {
	h := start(t)
	adm, ctx := h.admin(), t.Context()
	size := "2000000"
	created, err := adm.CreateTopics(ctx, 4, 3, map[string]*string{"max.message.bytes": &size}, "a", "b")
	if err != nil || created.Error() != nil {
		t.Fatal(err, created.Error())
	}
	if a := created["a"]; a.NumPartitions != 4 || a.ReplicationFactor != 1 || *a.Configs["max.message.bytes"].Value != size {
		t.Errorf("created %+v", a)
	}
	for name, want := range map[string]error{"a": kerr.TopicAlreadyExists, "bad name": kerr.InvalidTopicException, "": kerr.InvalidTopicException} {
		if _, err := adm.CreateTopic(ctx, 1, 1, nil, name); !errors.Is(err, want) {
			t.Errorf("creating %q: %v, want %v", name, err, want)
		}
	}
	bad := "much"
	for _, c := range []struct {
		partitions  int32
		replication int16
		configs     map[string]*string
		want        error
	}{
		{0, 1, nil, kerr.InvalidPartitions},
		{1, 4, nil, kerr.InvalidReplicationFactor},
		{1, 1, map[string]*string{"no.such": &bad}, kerr.InvalidConfig},
		{1, 1, map[string]*string{"retention.ms": &bad}, kerr.InvalidConfig},
	} {
		if _, err := adm.CreateTopic(ctx, c.partitions, c.replication, c.configs, "c"); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if dry, err := adm.ValidateCreateTopics(ctx, 2, 1, nil, "dry"); err != nil || dry["dry"].Err != nil {
		t.Errorf("validating: %v %v", err, dry["dry"].Err)
	}
	if r, err := adm.UpdatePartitions(ctx, 6, "a"); err != nil || r["a"].Err != nil {
		t.Error(err, r["a"].Err)
	}
	if r, _ := adm.UpdatePartitions(ctx, 5, "a", "nope"); !errors.Is(r["a"].Err, kerr.InvalidPartitions) || !errors.Is(r["nope"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("shrinking: %v, unknown: %v", r["a"].Err, r["nope"].Err)
	}
	list, err := adm.ListTopics(ctx)
	if err != nil || len(list) != 2 || len(list["a"].Partitions) != 6 || list["a"].Partitions[5].Leader != 0 || len(list["a"].Partitions[5].ISR) != 1 {
		t.Errorf("topics %+v, %v", list, err)
	}
	if r, err := adm.DeleteTopics(ctx, "b", "nope"); err != nil || r["b"].Err != nil || !errors.Is(r["nope"].Err, kerr.UnknownTopicOrPartition) {
		t.Errorf("deleting: %v %+v", err, r)
	}
}

func TestMetadataCreatesTopicsWhereAllowed(t *testing.T) {
	h := start(t, func(o *Options) { o.DefaultPartitions = 5 })
	name := "fresh"
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
	if r := ask[*kmsg.MetadataResponse](h, req, 9); r.Topics[0].ErrorCode != codeUnknownTopic {
		t.Errorf("without leave: %s", codeName(r.Topics[0].ErrorCode))
	}
	req.AllowAutoTopicCreation = true
	r := ask[*kmsg.MetadataResponse](h, req, 12)
	if r.Topics[0].ErrorCode != 0 || len(r.Topics[0].Partitions) != 5 {
		t.Errorf("with leave: %+v", r.Topics[0])
	}
	req.Topics = []kmsg.MetadataRequestTopic{{TopicID: r.Topics[0].TopicID}, {TopicID: [16]byte{9}}}
	if r = ask[*kmsg.MetadataResponse](h, req, 12); r.Topics[0].Topic == nil || *r.Topics[0].Topic != name || r.Topics[1].ErrorCode != codeUnknownTopicID {
		t.Errorf("by id: %+v", r.Topics)
	}
	if _, err := h.admin().AlterBrokerConfigs(t.Context(), []kadm.AlterConfig{{Name: "auto.create.topics.enable", Value: kmsg.StringPtr("false")}}); err != nil {
		t.Fatal(err)
	}
	other := "other"
	req.Topics = []kmsg.MetadataRequestTopic{{Topic: &other}}
	if r = ask[*kmsg.MetadataResponse](h, req, 9); r.Topics[0].ErrorCode != codeUnknownTopic {
		t.Errorf("switched off: %s", codeName(r.Topics[0].ErrorCode))
	}
}

func TestMetadataEveryVersion(t *testing.T) {
	h := start(t)
	h.create("t", 2, nil)
	for v := int16(0); v <= 13; v++ {
		all := kmsg.NewPtrMetadataRequest()
		if v == 0 {
			all.Topics = []kmsg.MetadataRequestTopic{}
		}
		r := ask[*kmsg.MetadataResponse](h, all, v)
		if len(r.Brokers) != 1 || r.Brokers[0].Port != h.port || len(r.Topics) != 1 || len(r.Topics[0].Partitions) != 2 {
			t.Errorf("version %d: %+v", v, r)
		}
		if v >= 1 {
			none := kmsg.NewPtrMetadataRequest()
			none.Topics = []kmsg.MetadataRequestTopic{}
			if r := ask[*kmsg.MetadataResponse](h, none, v); len(r.Topics) != 0 {
				t.Errorf("version %d: no topics asked, %d answered", v, len(r.Topics))
			}
		}
	}
}

func TestConfigs(t *testing.T) {
	h := start(t)
	adm, ctx := h.admin(), t.Context()
	h.create("t", 1, nil)
	set := func(op kadm.IncrementalOp, name, value string) error {
		r, err := adm.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: op, Name: name, Value: &value}}, "t")
		if err != nil {
			t.Fatal(err)
		}
		return r[0].Err
	}
	get := func(name string) (value string, source kmsg.ConfigSource) {
		r, err := adm.DescribeTopicConfigs(ctx, "t")
		if err != nil || r[0].Err != nil {
			t.Fatal(err, r[0].Err)
		}
		i := slices.IndexFunc(r[0].Configs, func(c kadm.Config) bool { return c.Key == name })
		if i < 0 {
			t.Fatalf("no config %s", name)
		}
		return *r[0].Configs[i].Value, r[0].Configs[i].Source
	}
	if v, s := get("retention.ms"); v != "604800000" || s != kmsg.ConfigSourceDefaultConfig {
		t.Errorf("default retention %s, source %v", v, s)
	}
	if r, err := adm.AlterBrokerConfigs(ctx, []kadm.AlterConfig{{Name: "log.retention.ms", Value: kmsg.StringPtr("1000")}}); err != nil || r[0].Err != nil {
		t.Fatal(err, r[0].Err)
	}
	if v, s := get("retention.ms"); v != "1000" || s != kmsg.ConfigSourceDynamicDefaultBrokerConfig {
		t.Errorf("the cluster's retention: %s, source %v", v, s)
	}
	if err := set(kadm.SetConfig, "retention.ms", "2000"); err != nil {
		t.Error(err)
	}
	if v, s := get("retention.ms"); v != "2000" || s != kmsg.ConfigSourceDynamicTopicConfig {
		t.Errorf("the topic's retention: %s, source %v", v, s)
	}
	if err := set(kadm.DeleteConfig, "retention.ms", ""); err != nil {
		t.Error(err)
	}
	if v, _ := get("retention.ms"); v != "1000" {
		t.Errorf("retention after its deletion: %s", v)
	}
	if err := set(kadm.AppendConfig, "cleanup.policy", "compact"); err != nil {
		t.Error(err)
	}
	if v, _ := get("cleanup.policy"); v != "delete,compact" {
		t.Errorf("cleanup.policy %q", v)
	}
	if err := set(kadm.SubtractConfig, "cleanup.policy", "delete"); err != nil {
		t.Error(err)
	}
	if v, _ := get("cleanup.policy"); v != "compact" {
		t.Errorf("cleanup.policy %q", v)
	}
	for name, value := range map[string]string{"no.such": "1", "retention.ms": "soon"} {
		if err := set(kadm.SetConfig, name, value); !errors.Is(err, kerr.InvalidConfig) {
			t.Errorf("%s=%s: %v", name, value, err)
		}
	}
	replaced, err := adm.AlterTopicConfigsState(ctx, []kadm.AlterConfig{{Name: "retention.bytes", Value: kmsg.StringPtr("5")}}, "t")
	if err != nil || replaced[0].Err != nil {
		t.Fatal(err, replaced[0].Err)
	}
	if v, _ := get("cleanup.policy"); v != "delete" {
		t.Errorf("cleanup.policy after a replacement of all: %q", v)
	}
	b, err := adm.DescribeBrokerConfigs(ctx, 0)
	if err != nil || b[0].Err != nil || len(b[0].Configs) < 15 {
		t.Errorf("broker configs: %v %+v", err, b)
	}
}

func TestListOffsets(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	c := h.client(kgo.DefaultProduceTopic("t"))
	base := time.UnixMilli(1_700_000_000_000)
	for i := range 10 {
		r := &kgo.Record{Value: fmt.Append(nil, i), Timestamp: base.Add(time.Duration(i) * time.Second)}
		if err := c.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		ts, offset, at int64
		since          int16
		code           int16
	}{
		{ts: -1, offset: 10, at: -1},
		{ts: -2, offset: 0, at: -1},
		{ts: -3, offset: 9, at: base.UnixMilli() + 9000, since: 7},
		{ts: -4, offset: 0, at: -1, since: 8},
		{ts: -5, offset: -1, at: -1, since: 9},
		{ts: -6, offset: 0, at: -1, since: 11}, // nothing is in the store yet: all is pending
		{ts: base.UnixMilli() + 4500, offset: 5, at: base.UnixMilli() + 5000},
		{ts: base.UnixMilli() + 99_000, offset: -1, at: -1},
	} {
		for v := int16(1); v <= 11; v++ {
			req := kmsg.NewPtrListOffsetsRequest()
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = test.ts
			req.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
			got := ask[*kmsg.ListOffsetsResponse](h, req, v).Topics[0].Partitions[0]
			want := int16(0)
			if v < test.since {
				want, test := codeUnsupportedVersion, test
				if got.ErrorCode != want {
					t.Errorf("timestamp %d version %d: %s", test.ts, v, codeName(got.ErrorCode))
				}
				continue
			}
			if got.ErrorCode != want || got.Offset != test.offset || got.Timestamp != test.at {
				t.Errorf("timestamp %d version %d: %+v", test.ts, v, got)
			}
		}
	}
	old := kmsg.NewPtrListOffsetsRequest()
	old.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{Timestamp: -1, MaxNumOffsets: 5}}}}
	if got := ask[*kmsg.ListOffsetsResponse](h, old, 0).Topics[0].Partitions[0].OldStyleOffsets; !slices.Equal(got, []int64{10, 0}) {
		t.Errorf("version 0: %v", got)
	}
}

func TestDescribeTopicPartitionsByPages(t *testing.T) {
	h := start(t)
	for _, name := range []string{"a", "b", "c"} {
		h.create(name, 3, nil)
	}
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2
	var got []string
	for range 10 {
		r := ask[*kmsg.DescribeTopicPartitionsResponse](h, req, 0)
		for _, topic := range r.Topics {
			for _, p := range topic.Partitions {
				got = append(got, fmt.Sprintf("%s%d", *topic.Topic, p.Partition))
			}
		}
		if r.NextCursor == nil {
			break
		}
		req.Cursor = &kmsg.DescribeTopicPartitionsRequestCursor{Topic: r.NextCursor.Topic, Partition: r.NextCursor.Partition}
	}
	if want := []string{"a0", "a1", "a2", "b0", "b1", "b2", "c0", "c1", "c2"}; !slices.Equal(got, want) {
		t.Errorf("pages gave %v", got)
	}
}

func TestDeleteRecordsAndEpochs(t *testing.T) {
	h := start(t)
	topic := h.create("t", 1, nil)
	w := h.dial()
	w.produce("t", 0, "a", "b", "c")
	adm := h.admin()
	epoch := h.leaderEpoch(topic)
	ends, err := adm.OffsetForLeaderEpoch(t.Context(), epochAsk(epoch))
	if err != nil || ends["t"][0].Err != nil || ends["t"][0].EndOffset != 3 {
		t.Errorf("end of epoch %d: %+v %v", epoch, ends["t"][0], err)
	}
	r, err := adm.DeleteRecords(t.Context(), kadm.Offsets{"t": {0: {Topic: "t", At: 2}}})
	if err != nil {
		t.Fatal(err)
	}
	if got := r["t"][0]; got.Err != nil || got.LowWatermark < 2 {
		t.Errorf("deleting records before 2: %+v", got)
	}
	if r, _ = adm.DeleteRecords(t.Context(), kadm.Offsets{"t": {0: {Topic: "t", At: 9}}}); !errors.Is(r["t"][0].Err, kerr.OffsetOutOfRange) {
		t.Errorf("deleting records past the end: %v", r["t"][0].Err)
	}
}

func epochAsk(epoch int32) kadm.OffsetForLeaderEpochRequest {
	var r kadm.OffsetForLeaderEpochRequest
	r.Add("t", 0, epoch)
	return r
}

// TestSmallAnswers asks what has one fixed answer here, at every version announced.
func TestSmallAnswers(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	codes := map[int16]int16{17: codeIllegalSASLState, 29: codeSecurityDisabled}
	for key, a := range h.apis {
		if key == keyProduce || key == keyFetch || key >= 8 && key <= 16 || key == 42 || key == 47 {
			continue
		}
		for v := a.min; v <= a.max; v++ {
			req := kmsg.RequestForKey(key)
			switch r := req.(type) {
			case *kmsg.ApiVersionsRequest:
				r.ClientSoftwareName, r.ClientSoftwareVersion = "test", "1"
			case *kmsg.DescribeClusterRequest:
				r.EndpointType = 1
			case *kmsg.InitProducerIDRequest:
				r.TransactionalID = nil
			}
			resp := ask[kmsg.Response](h, req, v)
			got := int16(0)
			switch r := resp.(type) {
			case *kmsg.SASLHandshakeResponse:
				got = r.ErrorCode
			case *kmsg.DescribeACLsResponse:
				got = r.ErrorCode
			case *kmsg.DescribeClusterResponse:
				got = r.ErrorCode
			case *kmsg.InitProducerIDResponse:
				got = r.ErrorCode
			}
			if got != codes[key] {
				t.Errorf("%s %d: %s", apiName(key), v, codeName(got))
			}
		}
	}
}

func TestAPIVersions(t *testing.T) {
	h := start(t)
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "my-client", "1.2.3"
	w := h.dial()
	r := w.ask(req, 3).(*kmsg.ApiVersionsResponse)
	if r.ErrorCode != 0 || len(r.ApiKeys) != len(h.apis) || r.ApiKeys[0].MinVersion != 0 {
		t.Errorf("%+v", r)
	}
	if name, version := h.conns.all()[0].library(); name != "my-client" || version != "1.2.3" {
		t.Errorf("library %s %s", name, version)
	}
	req.ClientSoftwareName = "not/allowed"
	if r := w.ask(req, 3).(*kmsg.ApiVersionsResponse); r.ErrorCode != codeInvalidRequest {
		t.Errorf("a bad name: %s", codeName(r.ErrorCode))
	}
	// A version to come is answered in version 0, and the connection lives on.
	req.ClientSoftwareName = "later"
	req.SetVersion(3)
	frame := kmsg.NewRequestFormatter().AppendRequest(nil, req, 55)
	frame[7] = 77
	if _, err := w.Write(frame); err != nil {
		t.Fatal(err)
	}
	body, corr, err := readResponse(w)
	down := kmsg.NewPtrApiVersionsResponse()
	if err != nil || corr != 55 || down.ReadFrom(body) != nil || down.ErrorCode != codeUnsupportedVersion || len(down.ApiKeys) != 1 || down.ApiKeys[0].MaxVersion != 4 {
		t.Errorf("version 77: %+v %v", down, err)
	}
	w.ask(kmsg.NewPtrMetadataRequest(), 9)
}

func TestIdempotentProducerIDs(t *testing.T) {
	h := start(t)
	a := ask[*kmsg.InitProducerIDResponse](h, kmsg.NewPtrInitProducerIDRequest(), 4)
	b := ask[*kmsg.InitProducerIDResponse](h, kmsg.NewPtrInitProducerIDRequest(), 4)
	if a.ErrorCode != 0 || b.ErrorCode != 0 || a.ProducerID == b.ProducerID || a.ProducerEpoch != 0 {
		t.Errorf("%+v %+v", a, b)
	}
}

func TestAlterConfigsOnlyValidated(t *testing.T) {
	h := start(t)
	h.create("t", 1, nil)
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = true
	for value, want := range map[string]int16{"1000": 0, "soon": codeInvalidConfig} {
		res := kmsg.NewIncrementalAlterConfigsRequestResource()
		res.ResourceType, res.ResourceName = kmsg.ConfigResourceTypeTopic, "t"
		res.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: &value}}
		req.Resources = []kmsg.IncrementalAlterConfigsRequestResource{res}
		if got := ask[*kmsg.IncrementalAlterConfigsResponse](h, req, 1).Resources[0].ErrorCode; got != want {
			t.Errorf("retention.ms=%s: %s, want %s", value, codeName(got), codeName(want))
		}
	}
	if topic, _ := h.engine.Topic("t"); len(topic.Configs) != 0 {
		t.Errorf("validating changed the topic: %v", topic.Configs)
	}
}
