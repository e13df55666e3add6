package capacity

import (
	"fmt"
	"math"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// Store is what is known of uploads to one object store.
type Store struct {
	Entity        streamkeeper.Entity
	InFlight      *float64
	Allowed       *float64
	IngressBytes  *float64 // per second, of data that must be uploaded
	BacklogBytes  *float64
	UploadSeconds *float64 // p95 of one upload
	UploadBytes   *float64 // mean size of one upload
	ErrorShare    *float64
	Causes        []Cause
}

// Limits of what uploads are recommended from and to.
const (
	uploadsBusy   = .9  // share of the allowed uploads in flight from which more are worth it
	uploadsErrors = .05 // share of failed calls from which more would only fail more
	uploadsMost   = 256
)

// Uploads recommends how many uploads may run at once, by Little's law: rate × latency ÷ utilisation.
// ok is false when they are enough or something that is needed is not known.
func Uploads(s Store, set Settings) (r streamkeeper.Recommendation, ok bool) {
	set = set.withDefaults()
	for _, x := range []*float64{s.InFlight, s.Allowed, s.IngressBytes, s.UploadSeconds, s.UploadBytes} {
		if x == nil {
			return r, false
		}
	}
	if *s.Allowed <= 0 || *s.UploadBytes <= 0 || *s.InFlight < uploadsBusy**s.Allowed {
		return r, false
	}
	if c, forbidden := forbids(s.Causes); forbidden {
		n := *s.Allowed
		return streamkeeper.Recommendation{
			Kind: streamkeeper.Hold, Entity: s.Entity, From: &n, To: &n, BoundedBy: c.ID,
			Why: fmt.Sprintf("do not raise the uploads: %s (%.0f %%)", c.Why, 100*c.Confidence),
		}, true
	}
	if s.ErrorShare != nil && *s.ErrorShare > uploadsErrors {
		return r, false
	}
	bytes := *s.IngressBytes + value(s.BacklogBytes)/set.Drain.Seconds()
	perSecond := bytes / *s.UploadBytes
	to := min(math.Ceil(perSecond**s.UploadSeconds/set.Utilisation), uploadsMost)
	if to <= *s.Allowed {
		return r, false
	}
	from := *s.Allowed
	return streamkeeper.Recommendation{
		Kind: streamkeeper.UploadConcurrency, Entity: s.Entity, From: &from, To: &to,
		Why: fmt.Sprintf("all %.0f allowed uploads are in flight: %s uploads/s of %s s each are needed",
			from, plain(perSecond), plain(*s.UploadSeconds)),
		Expected: map[string]float64{"bytes_per_second": round(to * *s.UploadBytes / *s.UploadSeconds), "memory_bytes": round(to * *s.UploadBytes)},
	}, true
}
