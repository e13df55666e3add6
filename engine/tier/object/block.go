package object

// Block describes one fixed-size block of an object's data region, the unit of
// CRC and of cold reading. Runs and batches may span blocks.
type Block struct {
	CRC uint32 // CRC-32C of the block's bytes
	// First is the position, from the start of the block, of the first batch
	// that begins in it; the block's length if none does.
	First uint32
	// FirstOffset is that batch's base offset.
	FirstOffset int64
	// MaxTimestamp is the largest max timestamp of the batches that begin in this
	// block and belong to the run of that first batch; -1 if none.
	MaxTimestamp int64
}
