package kafka

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// lossHorizon is how far ahead a loss is looked for; what is further away, or never comes, is told as this.
	lossHorizon = 24 * time.Hour

	longestLife = 100 * 365 * 24 * time.Hour // no longer retention is told apart

	paceWindow  = 5 * time.Minute
	paceLeast   = 20 * time.Second // over which a pace is known
	paceStrides = 12
	paceLate    = 10 * time.Second // a group that is no later than this races nobody
	paceNoise   = .03              // a group that falls behind by no more than this keeps up
	paceDoubt   = 6                // times as much as a look may be late must a group fall behind

	startsSeen   = 2 // moves of the start of a log that make how long records live known
	maxStartLook = 256
)

// deletion is what was seen of how long a partition's records live.
type deletion struct {
	moves int32 // of the start of the log
	looks int32
	ages  float64 // Σ of the age of the oldest record in seconds, over the looks since it first moved
}

// watchStart looks at the oldest record. Its age goes up and down as whole segments are deleted, at the broker's next
// check; on average it is the age at which a record dies, whatever limits it: a time or a size.
func (p *partTrack) watchStart(at time.Time, before int64) {
	d := &p.deletion
	if before != unset && p.start > before {
		d.moves++
	}
	if d.moves == 0 {
		return
	}
	written, ok := p.roughly(p.start, at)
	if !ok {
		return
	}
	if d.looks == maxStartLook { // what is long ago counts less and less
		d.ages, d.looks = d.ages/2, d.looks/2
	}
	d.ages += at.Sub(written).Seconds()
	d.looks++
}

// lifetime is how long after it was written a record of the partition is deleted; forever where nothing deletes it. It is
// measured where the start of the log was seen to move, else the configured time, the soonest that can be. ok is false
// where the configuration is not known, and where a size limits the log and nothing of that was seen yet.
func (topic *topicTrack) lifetime(p *partTrack) (life time.Duration, forever, ok bool) {
	kept := topic.keeps
	switch {
	case !kept.known:
		return 0, false, false
	case !kept.deletes, kept.ms < 0 && kept.bytes < 0:
		return 0, true, true
	}
	least := longestLife
	if kept.ms >= 0 {
		least = time.Duration(min(kept.ms, longestLife.Milliseconds())) * time.Millisecond
	}
	if d := p.deletion; d.moves >= startsSeen && d.looks > 0 {
		seen := time.Duration(d.ages / float64(d.looks) * float64(time.Second))
		if kept.bytes < 0 {
			seen = max(seen, least) // somebody deletes by hand what time has not deleted yet
		}
		return seen, false, true
	}
	return least, false, kept.bytes < 0
}

// keeps is what a topic's configuration says of how long records live; negative limits are none.
type keeps struct {
	known, deletes bool
	ms, bytes      int64
}

func keepsOf(configs map[string]string) keeps {
	policy, known := configs["cleanup.policy"]
	ms, errMS := strconv.ParseInt(configs["retention.ms"], 10, 64)
	bytes, errBytes := strconv.ParseInt(configs["retention.bytes"], 10, 64)
	return keeps{known: known && errMS == nil && errBytes == nil, deletes: strings.Contains(policy, "delete"), ms: ms, bytes: bytes}
}

// pace is how a late group advances through what was written, commit by commit.
type pace struct{ strides []stride }

// stride is a commit: when it was seen, and when the record that is next was written, both in ms.
type stride struct{ at, written int64 }

// stride notes the newest commit of a group that is late, in the first round that knows how late: what a round has no time
// to ask, the next one may ask. A group that is not late races nobody.
func (p *groupPart) stride(at time.Time, least, most float64) {
	if most < paceLate.Seconds() {
		p.pace = nil
	}
	if least < most || least < paceLate.Seconds() || p.moved.IsZero() || p.assumed {
		return
	}
	if p.pace == nil {
		p.pace = &pace{}
	}
	p.pace.add(stride{int64(p.moved), at.UnixMilli() - int64(1000*least)})
}

// add keeps the first commit of the window, the newest, and some between them.
func (p *pace) add(s stride) {
	if n := len(p.strides); n > 0 && p.strides[n-1].at >= s.at {
		return // it stands still
	}
	for len(p.strides) > 2 && s.at-p.strides[1].at >= paceWindow.Milliseconds() {
		p.strides = slices.Delete(p.strides, 0, 1)
	}
	if n := len(p.strides); n >= 2 && s.at-p.strides[n-2].at < paceWindow.Milliseconds()/paceStrides {
		p.strides[n-1] = s
		return
	}
	if len(p.strides) == paceStrides {
		p.strides = slices.Delete(p.strides, 1, 2)
	}
	p.strides = append(p.strides, s)
}

// speed is how many seconds of what was written the group does in a second, from commit to commit, where a staircase has
// no phase. A commit is seen up to one look late: ok is false while that may change by much how fast the group falls behind.
func (p *pace) speed(wait, look time.Duration) (speed float64, last stride, ok bool) {
	if p == nil || len(p.strides) < 2 {
		return 0, stride{}, false
	}
	first, last := p.strides[0], p.strides[len(p.strides)-1]
	took := float64(last.at - first.at)
	if took < float64(max(paceLeast, 2*wait).Milliseconds()) {
		return 0, stride{}, false
	}
	speed = float64(last.written-first.written) / took
	doubt := speed * float64(look.Milliseconds()) / took
	return speed, last, doubt <= max(paceNoise, (1-speed)/paceDoubt)
}

// lossIn is the time until the start of the log passes what the group has committed, if the group goes on as it does and
// records are deleted at the age at which they are now. A group that reads v seconds of records a second gets older by
// 1 − v each second:
//
//	(age at which records die − age of the group's next record) ÷ (1 − v)
//
// The age is taken from the last commit, at the group's pace since. ok is false where one of the three is not known.
//
// The group is late there by something between least and most: where even the most brings no loss near, that is enough.
func (t *tracker) lossIn(g *groupTrack, topic *topicTrack, p *groupPart, at time.Time, least, most float64) (left time.Duration, ok bool) {
	if most < paceLate.Seconds() || p.assumed {
		return lossHorizon, true
	}
	if topic == nil {
		return 0, false
	}
	life, forever, lives := topic.lifetime(p.part)
	switch {
	case forever:
		return lossHorizon, true
	case !lives:
		return 0, false
	case life.Seconds()-most >= lossHorizon.Seconds():
		return lossHorizon, true // even if it read nothing
	case least < most:
		return 0, false
	}
	speed, last, paced := p.pace.speed(g.gaps.usual(), t.every)
	age := least
	switch {
	case p.frozenFor(at) >= g.gaps.stallAfter(t.every):
		speed = 0
	case paced:
		age = float64(at.UnixMilli()-last.written)/1000 - speed*float64(at.UnixMilli()-last.at)/1000
	default:
		return 0, false
	}
	if 1-speed <= paceNoise {
		return lossHorizon, true
	}
	seconds := max(0, life.Seconds()-age) / (1 - speed)
	return time.Duration(min(seconds, lossHorizon.Seconds()) * float64(time.Second)), true
}
