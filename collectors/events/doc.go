// Package events is the place for dated facts, and the source that reads a broker's event ring.
//
// A [Log] keeps a bounded number of events per cluster in event-time order, with a watermark per source:
// the promise up to when a source has told everything. Only under that promise does "no such event" mean
// that nothing happened; without it the answer is unknown.
//
// It refuses to guess: a gap (events lost by an overrun ring, a source that restarted) moves the start
// of what is covered, it is never papered over.
//
// Start with log.go, then ring.go.
package events
