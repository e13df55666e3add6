package kafka

import (
	"fmt"
	"slices"
	"time"

	"github.com/streamkeeper-io/streamkeeper"
)

// disksFor is for how long a reading of a broker's disks speaks for now: they are read in turn.
const disksFor = 15 * time.Minute

// diskTrack is a broker's log directories as last read.
type diskTrack struct {
	at      time.Time
	dirs    []logDir
	bytes   int64    // of all its copies
	offline []string // directories that failed, as told
}

// absorbDisks remembers log directories and the sizes of partitions as their leaders have them, and tells of directories that
// failed: also of those that had when watching began.
func (t *tracker) absorbDisks(s *snapshot, r *round) {
	for _, id := range sortedKeys(s.disks) {
		b := t.brokers[id]
		if b == nil {
			continue
		}
		now := s.disks[id]
		b.disks.at, b.disks.dirs, b.disks.bytes = s.at, now.dirs, 0
		for where, size := range now.sizes {
			b.disks.bytes += size
			if p := t.part(where); p != nil && p.leader == id {
				p.weigh(size, t.topics[where.topic].localStart(where.index))
			}
		}
		t.tellDirs(r, id, &b.disks)
	}
	s.disks = nil // large, and all of it that is needed is remembered
}

func (t *tracker) tellDirs(r *round, id int32, d *diskTrack) {
	var offline []string
	for _, dir := range d.dirs {
		if dir.offline {
			offline = append(offline, dir.path)
		}
	}
	tell := func(kind, text string, dirs, but []string) {
		for _, dir := range dirs {
			if !slices.Contains(but, dir) {
				t.tell(r, r.at, kind, t.entity(streamkeeper.KindBroker, itoa(id)), fmt.Sprintf(text, dir, id), map[string]any{"broker": itoa(id), "dir": dir})
			}
		}
	}
	tell("log_dir_offline", "log directory %s of broker %d has failed: its partitions are gone there", offline, d.offline)
	tell("log_dir_back", "log directory %s of broker %d works again", d.offline, offline)
	d.offline = offline
}

// measureDisks adds what is known of a broker's disks while it answers.
func (t *tracker) measureDisks(r *round, b *brokerTrack, labels map[string]string) {
	if b.disks.at.IsZero() || !b.reachable || r.at.Sub(b.disks.at) > disksFor {
		return
	}
	r.add("streamkeeper_broker_log_dirs", labels, float64(len(b.disks.dirs)))
	r.add("streamkeeper_broker_log_dirs_offline", labels, float64(len(b.disks.offline)))
	r.add("streamkeeper_broker_log_bytes", labels, float64(b.disks.bytes))
	for _, dir := range b.disks.dirs {
		if dir.total <= 0 || dir.usable < 0 {
			continue
		}
		at := map[string]string{"cluster": t.cluster, "broker": labels["broker"], "dir": dir.path}
		r.add("streamkeeper_broker_log_dir_total_bytes", at, float64(dir.total))
		r.add("streamkeeper_broker_log_dir_usable_bytes", at, float64(dir.usable))
	}
}

// disksTold reports whether any broker has told of its disks.
func (t *tracker) disksTold() bool {
	for _, b := range t.brokers {
		if !b.disks.at.IsZero() {
			return true
		}
	}
	return false
}
