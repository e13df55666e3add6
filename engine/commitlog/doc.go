// Package commitlog is the one write-ahead log of a node: frames of all partitions, in a ring of recycled files.
//
// What it guarantees:
//
//   - Frames are durable in LSN order. An LSN is a byte position in the endless log; a frame's successor starts where
//     the frame ends.
//   - Group commit: one write and one fdatasync are in flight while the next group fills. Nobody lingers.
//   - Under FlushFsync an item is settled only after the fdatasync that covers it. A failed write or sync is never
//     retried: it fails the log until the next Open.
//   - A torn tail is cut at Open. A bad frame that was durable before a later frame was written is corruption, and
//     Open refuses it with ErrCorrupt.
//   - Writing always resumes in a new segment with an id never used before, so frames beyond a cut can never be
//     mistaken for new ones.
//
// It refuses to interpret payloads (only their CRC), to keep an index, and to decide when a segment may be recycled.
//
// The files: frame.go (format), slot.go and segment.go (ring and memory), reserve.go (append), writer.go (group
// commit), recover.go and window.go (Open), read.go.
//
//	slot file:  [header frame][frame][frame]…[stale or zero bytes]
//	frame:      64-byte header, payload, padding to 8 bytes
package commitlog
