package broker

import (
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
)

const settingsEvery = 20 * time.Millisecond // how old what the engine said may be

// settings are what the engine says that every request needs: too dear to ask for each.
type settings struct {
	throttle     int32 // milliseconds producers are told to wait
	maxMessage   int   // for topics without a setting of their own
	partitions   int32 // of topics created automatically; 0 = Options.DefaultPartitions
	noAutoCreate bool
	// Of groups of the consumer protocol; 0 = not set.
	consumerSession, consumerHeartbeat time.Duration

	compact bool // topics are compacted unless they say otherwise
}

type settingsCache struct {
	asked   atomic.Int64 // Unix nanoseconds of the last look
	current atomic.Pointer[settings]
}

func (b *Broker) settings() *settings {
	now := time.Now().UnixNano()
	asked := b.cached.asked.Load()
	if now-asked > int64(settingsEvery) && b.cached.asked.CompareAndSwap(asked, now) || b.cached.current.Load() == nil {
		b.refreshSettings()
	}
	return b.cached.current.Load()
}

func (b *Broker) refreshSettings() {
	s := &settings{maxMessage: defaultMaxMessage}
	if st := b.engine.Stats(); st.Pressure == engine.PressureThrottling || st.Pressure == engine.PressureRefusing {
		s.throttle = st.ThrottleMillis
	}
	for name, value := range b.engine.BrokerConfigs() {
		n, err := strconv.ParseInt(value, 10, 32)
		switch {
		case name == "auto.create.topics.enable":
			s.noAutoCreate = value == "false"
		case name == "log.cleanup.policy":
			s.compact = strings.Contains(value, "compact")
		case err != nil:
		case name == "message.max.bytes":
			s.maxMessage = int(n)
		case name == "group.consumer.session.timeout.ms":
			s.consumerSession = millis(value)
		case name == "group.consumer.heartbeat.interval.ms":
			s.consumerHeartbeat = millis(value)
		case name == "num.partitions":
			s.partitions = int32(n)
		}
	}
	b.cached.current.Store(s)
}

// millis reads a config in milliseconds; 0 when it is none.
func millis(value string) time.Duration {
	n, err := strconv.ParseInt(value, 10, 32)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Millisecond
}

func formatMillis(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// throttleMillis is the throttle_time_ms producers are told.
func (b *Broker) throttleMillis() int32 { return b.settings().throttle }

// defaultPartitions is the partition count of topics nobody gave one.
func (b *Broker) defaultPartitions() int32 {
	if n := b.settings().partitions; n > 0 {
		return n
	}
	return b.o.DefaultPartitions
}
