package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is what the watcher had at one time.
type sample struct {
	committed   int64
	seen, known bool
	lag         float64
}

// figures are of one kind of partitions, or of all.
type figures struct {
	Samples  int     `json:"samples"`
	P50      float64 `json:"error_p50_seconds"`
	P95      float64 `json:"error_p95_seconds"`
	Max      float64 `json:"error_max_seconds"`
	MaxShare float64 `json:"error_max_of_limit"` // 1 is just allowed
	Off      int     `json:"off"`                // samples beyond the limit
	Known    float64 `json:"known_share"`        // once settled
	Negative int     `json:"negative"`

	errors  []float64
	due     int
	knownOf int
}

// judge compares every sample with the truth. All rows are due in every round, once settled: what is missing is not known.
func (l *lab) judge(samples map[row]sample) error {
	all := &figures{}
	looks := rounds(samples)
	for _, s := range l.scenes {
		one := &figures{}
		for _, g := range groups {
			for p := range s.ledgers {
				for _, at := range looks {
					r := row{s.name + "-" + g.name, s.name, strconv.Itoa(p), at}
					l.take(one, r, samples[r], s.ledgers[p])
				}
			}
		}
		one.settle()
		fmt.Printf("%-14s %4d samples, off by %.2f s p50, %.2f s p95, %.2f s max (%.0f %% of what is allowed), %d beyond; known %.1f %% after %s; negative %d\n",
			s.name, one.Samples, one.P50, one.P95, one.Max, 100*one.MaxShare, one.Off, 100*one.Known, settledAfter, one.Negative)
		all.merge(one)
	}
	all.settle()
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		return err
	}
	return all.verdict(l.o.least)
}

func (l *lab) take(f *figures, r row, s sample, b *ledger) {
	settled := time.UnixMilli(r.at).Sub(l.watched) >= settledAfter
	if settled {
		f.due++
	}
	if !s.seen || !s.known {
		if settled && l.o.show {
			fmt.Printf("        unknown: %v seen %v\n", r, s.seen)
		}
		return
	}
	if settled {
		f.knownOf++
	}
	if s.lag < 0 {
		f.Negative++
	}
	off, truth := b.off(s.committed, r.at, s.lag)
	f.errors = append(f.errors, off)
	share := off / bound(truth)
	f.MaxShare = max(f.MaxShare, share)
	if share > 1 {
		f.Off++
		if l.o.show {
			fmt.Printf("        off: %v committed %d after %.1f s: %.2f s, in truth %.2f s\n", r, s.committed, time.UnixMilli(r.at).Sub(l.watched).Seconds(), s.lag, truth)
		}
	}
}

func (f *figures) settle() {
	f.Samples = len(f.errors)
	if f.due > 0 {
		f.Known = float64(f.knownOf) / float64(f.due)
	}
	if f.Samples == 0 {
		return
	}
	slices.Sort(f.errors)
	at := func(share float64) float64 { return f.errors[int(share*float64(f.Samples-1)+.5)] }
	f.P50, f.P95, f.Max = at(.5), at(.95), at(1)
}

func (f *figures) merge(o *figures) {
	f.errors = append(f.errors, o.errors...)
	f.due, f.knownOf, f.Off, f.Negative = f.due+o.due, f.knownOf+o.knownOf, f.Off+o.Off, f.Negative+o.Negative
	f.MaxShare = max(f.MaxShare, o.MaxShare)
}

func (f *figures) verdict(least float64) error {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if f.due == 0 {
		say("no sample came after %s", settledAfter)
	}
	if float64(f.Off) > (1-least)*float64(f.Samples) {
		say("%d of %d samples are off by more than %.0f %% and %s", f.Off, f.Samples, 100*relativeError, absoluteError)
	}
	if f.Known < leastKnown {
		say("%.1f %% are known, want %.0f %%", 100*f.Known, 100*leastKnown)
	}
	if f.Negative > 0 {
		say("%d are negative", f.Negative)
	}
	if wrong == nil {
		return nil
	}
	return errors.New(strings.Join(wrong, "; "))
}
