package tier

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/object"
)

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

// complete fills in defaults and refuses what cannot work.
func (o *Options) complete() error {
	if o.Objects == nil || o.Journal == nil || o.Source == nil {
		return errors.New("opening the tier: set Objects, Journal and Source")
	}
	if o.Index == nil {
		o.Index = NewMemIndex()
	}
	if o.Clock == nil {
		o.Clock = systemClock{}
	}
	if o.Random == nil {
		o.Random = rand.Uint64
	}
	set(&o.OffloadAfter, 30*time.Second)
	set(&o.SliceBytes, 1<<20)
	set(&o.PoolBytes, 64<<20)
	set(&o.ReadWorkers, 8)
	if o.ReadAhead == 0 {
		o.ReadAhead = 16 << 20
	}
	set(&o.MaxUploads, 4*runtime.GOMAXPROCS(0))
	set(&o.UploadMemory, 32<<20)
	set(&o.PrepareTTL, 15*time.Minute)
	set(&o.RunBytes, 8<<20)
	set(&o.RewriteBytes, 256<<20)
	set(&o.RewriteRate, 64<<20)
	set(&o.RewriteFan, fanIn)
	set(&o.RewriteEvery, 5*time.Second)
	set(&o.ManifestEvery, 5*time.Second)
	set(&o.CallBase, 10*time.Second)
	set(&o.MinRate, 1<<20)
	set(&o.StallAfter, 5*time.Second)
	set(&o.ProbeEvery, 5*time.Second)
	set(&o.ProbeDeadline, 3*time.Second)
	if o.SliceBytes < object.MinBlock || o.SliceBytes > object.MaxBlock {
		return fmt.Errorf("opening the tier: slice_bytes is %d, use %d to %d", o.SliceBytes, object.MinBlock, object.MaxBlock)
	}
	if o.PoolBytes < 2*int64(o.SliceBytes) {
		return fmt.Errorf("opening the tier: pool_bytes is %d, use at least two slices of %d", o.PoolBytes, o.SliceBytes)
	}
	return nil
}

// set gives v its default where it was left zero or negative.
func set[T ~int | ~int64](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
