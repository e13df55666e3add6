// Package alloctest holds decoders to memory that follows the size of their input: a forged length must not allocate.
package alloctest

import (
	"runtime"
	"testing"
)

// slack is what any decoder may allocate, whatever its input: errors, scratch, and what the fuzzer's worker does meanwhile.
const slack = 64 << 10

// Bytes measures what f allocates. Other goroutines count too.
func Bytes(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// Bound runs f, and fails when it allocates more than factor bytes for each byte of its input. factor is the size of the
// largest thing decoded from the fewest bytes, three times where slices grow. f runs again where it exceeds the bound, as
// other goroutines may have been at work: it must be repeatable.
func Bound(t testing.TB, input, factor int, f func()) {
	t.Helper()
	limit := int64(input)*int64(factor) + slack
	least := Bytes(f)
	for range 2 {
		if least <= limit {
			return
		}
		least = min(least, Bytes(f))
	}
	if least > limit {
		t.Errorf("%d bytes allocated for an input of %d; at most %d are in order", least, input, limit)
	}
}
