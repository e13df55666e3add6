package broker

import (
	"encoding/binary"
	"io"
	"net"
)

// readResponse reads one answer: its body after the correlation id.
func readResponse(c net.Conn) (body []byte, corr int32, err error) {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, 0, err
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		return nil, 0, err
	}
	return b[4:], int32(binary.BigEndian.Uint32(b)), nil
}
