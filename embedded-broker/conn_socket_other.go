//go:build !unix

package broker

// haveSocket says that a connection's socket may be read and written directly, without waiting.
const haveSocket = false

func (in *incoming) tryRead(uintptr) bool { return true }

func (out *outgoing) tryWrite(uintptr) {}
