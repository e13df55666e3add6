package enginetest

import (
	"fmt"
	"maps"
	"slices"
)

// Transactions holds what was promised about transactions, which the test numbers. It reports to a Checker and is safe
// for concurrent use as that is.
type Transactions struct {
	c   *Checker
	all map[int]*txnFate
}

// txnFate is what is known of one transaction.
type txnFate struct {
	batches   map[string][]int64 // base offsets that were acknowledged, by partition
	group     string             // whose offset it commits; "" = none
	offset    int64
	asked     bool // its commit was asked for: it may be visible
	committed bool // its commit was acknowledged: it must be
}

// NewTransactions returns one that knows nothing.
func NewTransactions(c *Checker) *Transactions { return &Transactions{c: c, all: map[int]*txnFate{}} }

func (t *Transactions) with(n int, fn func(*txnFate)) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	f := t.all[n]
	if f == nil {
		f = &txnFate{batches: map[string][]int64{}}
		t.all[n] = f
	}
	fn(f)
}

// Wrote notes an acknowledged batch of transaction n.
func (t *Transactions) Wrote(n int, part string, base int64) {
	t.with(n, func(f *txnFate) { f.batches[part] = append(f.batches[part], base) })
}

// Offset notes an acknowledged offset that transaction n commits; offsets of one group must grow.
func (t *Transactions) Offset(n int, group string, offset int64) {
	t.with(n, func(f *txnFate) { f.group, f.offset = group, offset })
}

// Committing notes that the commit of transaction n is being asked for.
func (t *Transactions) Committing(n int) { t.with(n, func(f *txnFate) { f.asked = true }) }

// Committed notes that it was acknowledged.
func (t *Transactions) Committed(n int) { t.with(n, func(f *txnFate) { f.committed = true }) }

// Forget drops what was acknowledged, as a crash does in a mode that promises nothing.
func (t *Transactions) Forget() {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for _, f := range t.all {
		f.committed, f.group = false, ""
		clear(f.batches)
	}
}

// Seen verifies that a reader of committed records may be shown a record of transaction n.
func (t *Transactions) Seen(n int, part string, base int64) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	if f := t.all[n]; f == nil || !f.asked {
		t.c.failf("%s: a record of transaction %d at %d is shown as committed, but nobody asked to commit it", part, n, base)
	}
}

// View is everything a reader of committed records is shown.
type View struct {
	Shown  map[string]map[int64]int // by partition, base offset of a batch: its transaction
	Starts map[string]int64         // log starts of the partitions that exist
	Stable map[string]int64         // their last stable offsets: what is open hides what lies behind
	Groups map[string]int64         // committed offsets, -1 = none
}

// Verify checks a view against everything promised: what was committed is there whole, also its offset, and nothing else.
func (t *Transactions) Verify(v View) {
	t.c.mu.Lock()
	defer t.c.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(t.all)) {
		f := t.all[n]
		shown, hidden := t.count(n, f, v)
		value := v.Groups[f.group]
		counts := f.group != "" && value >= f.offset
		if f.group != "" && value == f.offset && !f.asked {
			t.c.failf("transaction %d: its offset %d of group %s counts, but nobody asked to commit it", n, f.offset, f.group)
		}
		switch {
		case f.committed && len(hidden) > 0:
			t.c.failf("transaction %d is committed, but not shown: %v", n, hidden)
		case f.committed && f.group != "" && !counts:
			t.c.failf("transaction %d is committed, but the offset of group %s is %d, not %d", n, f.group, value, f.offset)
		case shown > 0 && len(hidden) > 0:
			t.c.failf("transaction %d is shown in part: %d batches are, these are not: %v", n, shown, hidden)
		case shown > 0 && f.group != "" && !counts:
			t.c.failf("transaction %d is shown, but the offset of group %s is %d, not %d", n, f.group, value, f.offset)
		case f.group != "" && value == f.offset && len(hidden) > 0:
			t.c.failf("the offset of transaction %d counts, but its batches are not shown: %v", n, hidden)
		}
	}
}

func (t *Transactions) count(n int, f *txnFate, v View) (shown int, hidden []string) {
	for part, bases := range f.batches {
		start, exists := v.Starts[part]
		if !exists {
			continue // deleted
		}
		for _, base := range bases {
			if base < start || base >= v.Stable[part] {
				continue // deleted too, or not its turn
			}
			if v.Shown[part][base] == n {
				shown++
			} else {
				hidden = append(hidden, fmt.Sprintf("%s at %d", part, base))
			}
		}
	}
	return shown, hidden
}
