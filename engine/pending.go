package engine

import "context"

// Objects is the object store.
type Objects any

// Engine is a running engine; safe for concurrent use.
type Engine struct{}

func Open(ctx context.Context, o Options) (*Engine, error) { return nil, ErrClosed }
func (e *Engine) Close(ctx context.Context) error          { return ErrClosed }
func (e *Engine) ClusterID() string                        { return "" }
func (e *Engine) CreateTopic(ctx context.Context, name string, partitions int32, configs map[string]string) (Topic, error) {
	return Topic{}, ErrClosed
}
func (e *Engine) DeleteTopic(ctx context.Context, name string) error { return ErrClosed }
func (e *Engine) AddPartitions(ctx context.Context, name string, total int32) error {
	return ErrClosed
}

func (e *Engine) AlterTopicConfigs(ctx context.Context, name string, set map[string]string, unset []string) error {
	return ErrClosed
}
func (e *Engine) BrokerConfigs() map[string]string { return nil }
func (e *Engine) AlterBrokerConfigs(ctx context.Context, set map[string]string, unset []string) error {
	return ErrClosed
}
func (e *Engine) Topic(name string) (Topic, bool)                       { return Topic{}, false }
func (e *Engine) TopicByID(id TopicID) (Topic, bool)                    { return Topic{}, false }
func (e *Engine) Topics() []Topic                                       { return nil }
func (e *Engine) AllocateProducerID(ctx context.Context) (int64, error) { return 0, ErrClosed }
func (e *Engine) Partition(topic string, index int32) (*Partition, error) {
	return nil, ErrClosed
}
func (e *Engine) Stats() Stats { return Stats{} }

// Partition is a handle.
type Partition struct{}

func (p *Partition) Append(b []byte, acks int16, done func(Appended)) {}
func (p *Partition) Read(ctx context.Context, offset int64, maxBytes int) (Read, error) {
	return Read{}, ErrClosed
}
func (p *Partition) HighWatermark() int64 { return 0 }
func (p *Partition) LogStart() int64      { return 0 }
func (p *Partition) LastStable() int64    { return 0 }
func (p *Partition) LocalStart() int64    { return 0 }
func (p *Partition) TieredEnd() int64     { return 0 }
func (p *Partition) LeaderEpoch() int32   { return 0 }
func (p *Partition) OffsetForTime(ctx context.Context, ts int64) (offset, timestamp int64, epoch int32, err error) {
	return -1, -1, -1, ErrClosed
}

func (p *Partition) MaxTimestamp(ctx context.Context) (offset, timestamp int64, err error) {
	return -1, -1, ErrClosed
}
func (p *Partition) EpochEnd(epoch int32) (foundEpoch int32, endOffset int64) { return -1, -1 }
func (p *Partition) Size() (localBytes, tieredBytes int64)                    { return 0, 0 }
func (p *Partition) DeleteRecords(ctx context.Context, before int64) (logStart int64, err error) {
	return -1, ErrUnsupported
}
func (p *Partition) Watch(offset int64, fn func()) (cancel func()) { return func() {} }

func (e *Engine) CommitOffsets(group string, offsets map[OffsetKey]CommittedOffset, done func(error)) {
}
func (e *Engine) CommittedOffsets(group string) map[OffsetKey]CommittedOffset { return nil }
func (e *Engine) DeleteOffsets(ctx context.Context, group string, keys []OffsetKey) error {
	return ErrClosed
}
func (e *Engine) GroupsWithOffsets() []string                               { return nil }
func (e *Engine) SaveGroup(group string, metadata []byte, done func(error)) {}
func (e *Engine) LoadGroups() map[string][]byte                             { return nil }
func (e *Engine) DeleteGroup(ctx context.Context, group string) error       { return ErrClosed }
