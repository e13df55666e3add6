package broker

import (
	"testing"
	"time"
)

// A member that is lost over a long batch fetches again only when the batch is done, under a new member id: the speed
// that explains the loss is measured on the one that was lost.
func TestReadSpeed_KeepsTheMemberThatWasLost(t *testing.T) {
	now := time.Unix(1000, 0)
	sample := func(ago, pause time.Duration, records int64) *memberTrack {
		m := &memberTrack{thinkCount: 1}
		m.think[0] = thinkSample{at: now.Add(-ago), pause: pause, records: records}
		return m
	}
	for _, c := range []struct {
		name                          string
		live, gone                    *memberTrack
		wantMedian, wantMax, wantSize float64 // negative: absent
	}{
		{"the lost one is the slowest", sample(0, time.Second, 100), sample(2*time.Minute, 12*time.Second, 120), .01, .1, 100},
		{"alone it still tells the slowest and its size, and no median of the living", nil, sample(2*time.Minute, 12*time.Second, 120), -1, .1, 120},
		{"a loss of long ago tells nothing of now", nil, sample(time.Hour, 12*time.Second, 120), -1, -1, -1},
	} {
		track := newGroupTrack("g", now)
		if c.live != nil {
			track.members["m"] = c.live
		}
		track.gone = append(track.gone, c.gone)
		var r groupReading
		(&groups{}).readSpeed(&r, track, now)
		for _, v := range []struct {
			what string
			got  *float64
			want float64
		}{{"median", r.record, c.wantMedian}, {"slowest", r.recordMax, c.wantMax}, {"size", r.perFetch, c.wantSize}} {
			if (v.got == nil) != (v.want < 0) || v.got != nil && *v.got != v.want {
				t.Errorf("%s: %s = %v, want %v", c.name, v.what, v.got, v.want)
			}
		}
	}
}
