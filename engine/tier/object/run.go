// Package object is the format of a cold object: raw Kafka record batches in
// per-partition runs, sorted by (stream, offset), in fixed-size blocks with a
// CRC each, followed by a footer that finds any offset with one ranged GET.
//
// It refuses to interpret records: it reads batch headers only. It performs no
// store calls and keeps no state.
//
// Start reading at Plan (write) and DecodeFooter (read); the layout is drawn in
// engine/tier/README.md.
package object

// ID names an object for ever; it is never reused. The first eight bytes hold
// the creation time, so ids of one writer sort roughly by age.
type ID [16]byte

// Run is a contiguous range of one partition's batches. All its batches carry
// the same leader epoch, so that an epoch's end can be answered from runs.
type Run struct {
	Stream       uint32   // dense stream id, never reused
	Topic        [16]byte // topic id, for restore
	Partition    int32
	Epoch        int32 // leader epoch
	Base         int64 // first offset
	Next         int64 // one past the last offset
	MaxTimestamp int64 // largest batch max timestamp in ms, -1 if none
	Records      int64 // sum of the batches' record counts
	Bytes        int64 // length of the raw batches
	MaxBatch     int32 // length of the largest batch; filled by NewPlan
}
