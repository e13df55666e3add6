package kafka

import "time"

// moment is a time in milliseconds since 1970; the zero moment is none. Of a fleet there are a million: it is a third of a
// time.Time, and nothing to collect garbage through.
type moment int64

func momentOf(t time.Time) moment {
	if t.IsZero() {
		return 0
	}
	return moment(t.UnixMilli())
}

// IsZero reports whether it is none.
func (m moment) IsZero() bool { return m == 0 }

// time is the zero time for none.
func (m moment) time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(m))
}

// before is how long before a time it was.
func (m moment) before(at time.Time) time.Duration { return at.Sub(time.UnixMilli(int64(m))) }

// after is how long after another moment it was.
func (m moment) after(other moment) time.Duration { return time.Duration(m-other) * time.Millisecond }
