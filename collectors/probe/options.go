package probe

import (
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/streamkeeper-io/streamkeeper/collectors"
)

// Bounds and defaults.
const (
	DefaultEvery  = 5 * time.Second
	DefaultWithin = 10 * time.Second
	MaxCases      = 32
	MaxSize       = 1 << 20
	maxHeaders    = 32

	ackWithin    = 3 * time.Second // less than a round, so that a dead path is told in the round that found it
	commitWithin = 3 * time.Second
	layoutWithin = time.Second
	storeGrace   = 500 * time.Millisecond // of a round, to hand over what it found
	goneFor      = time.Hour              // after which a broker that left the cluster is forgotten
	maxLanes     = 1000
	maxAtOnce    = 64
	builtIn      = "path" // the name of the built-in case
)

// Case is a topic of the user's to send records through.
type Case struct {
	Name    string
	Topic   string
	Size    int               // bytes of a record's value
	Headers map[string]string // of each record, besides the probe's own
	Group   string            // that must commit past the record in time; "" means that reading it back is enough
	Within  time.Duration     // the time allowed, from sending to the answer; 0 means DefaultWithin
}

// visible is the topic as others may see it: the probe's own is nobody's.
func (c Case) visible() string {
	if collectors.Own(c.Topic) {
		return ""
	}
	return c.Topic
}

func (c Case) validate() error {
	switch {
	case c.Name == "" || c.Name == builtIn:
		return fmt.Errorf("case %q: give it a name other than %q", c.Name, builtIn)
	case c.Topic == "" || collectors.Own(c.Topic):
		return fmt.Errorf("case %s: topic %q: name a topic of yours", c.Name, c.Topic)
	case c.Size < 0 || c.Size > MaxSize:
		return fmt.Errorf("case %s: size %d: want 0 to %d bytes", c.Name, c.Size, MaxSize)
	case len(c.Headers) > maxHeaders:
		return fmt.Errorf("case %s: %d headers: want at most %d", c.Name, len(c.Headers), maxHeaders)
	case c.Within < 0 || c.Within > 10*time.Minute:
		return fmt.Errorf("case %s: within %s: want at most 10m", c.Name, c.Within)
	}
	return nil
}

// ValidateCases says what is wrong with cases, all of it.
func ValidateCases(cases []Case) error {
	var errs []error
	if len(cases) > MaxCases {
		errs = append(errs, fmt.Errorf("%d cases: want at most %d", len(cases), MaxCases))
	}
	names := map[string]bool{}
	for _, c := range cases {
		if names[c.Name] {
			errs = append(errs, fmt.Errorf("case %s: the name is taken", c.Name))
		}
		names[c.Name] = true
		errs = append(errs, c.validate())
	}
	return errors.Join(errs...)
}

// Options configure a Probe. Cluster and Brokers are required.
type Options struct {
	Cluster string
	Brokers []string  // seeds, host:port
	Client  []kgo.Opt // how the cluster is reached: encryption, identity
	Cases   []Case    // besides the built-in one
	Now     func() time.Time
}
