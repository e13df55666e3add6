package incident

import (
	"crypto/sha256"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// crockford is the alphabet of ULIDs.
const crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"

// mint makes an incident's id in the form of a ULID: 48 bits of milliseconds, then 80 bits that come
// from cause and entity instead of chance, so that a replay gives the same ids. Ids sort by opening time.
func mint(at time.Time, cause string, e streamkeeper.Entity) string {
	sum := sha256.Sum256([]byte(cause + "\x00" + e.Key()))
	var raw [16]byte
	ms := uint64(at.UnixMilli())
	for i := range 6 {
		raw[i] = byte(ms >> (40 - 8*i))
	}
	copy(raw[6:], sum[:10])
	out := make([]byte, 26)
	// 128 bits in 26 digits of 5 bits: the first digit holds the top 3.
	for i := range out {
		var digit byte
		for bit := range 5 {
			at := i*5 + bit - 2
			digit <<= 1
			if at >= 0 {
				digit |= raw[at/8] >> (7 - at%8) & 1
			}
		}
		out[i] = crockford[digit]
	}
	return string(out)
}
