package commitlog

import (
	"bytes"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Whatever the pieces and wherever they go, the file holds them back to back, and the pieces' memory is as it was.
func TestWriteAt_PiecesLieBackToBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	f, err := vfs.Default.OpenReadWrite(filepath.Join(t.TempDir(), "file"), vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, sizes := range [][]int{
		{1},
		{stretch},
		{stretch + 1},
		{3*stretch + 7},
		{stretch - 1, 1},
		{stretch - 1, 2},
		{0, 1, 0, 5, 0},
		{stretch / 2, stretch / 2, stretch / 2},
		{100, 2 * stretch, 100, stretch - 200, 3},
	} {
		for _, pos := range []int64{0, 1, stretch - 1, stretch, 5*stretch + 4097} {
			var pieces [][]byte
			var want []byte
			for _, n := range sizes {
				p := make([]byte, n)
				for i := range p {
					p[i] = byte(rnd.Uint32())
				}
				pieces, want = append(pieces, p), append(want, p...)
			}
			if err := writeAt(f, pieces, pos); err != nil {
				t.Fatalf("%v at %d: %v", sizes, pos, err)
			}
			got := make([]byte, len(want))
			if _, err := f.ReadAt(got, pos); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%v at %d: what was read is not what was written (%v)", sizes, pos, err)
			}
		}
	}
	// More pieces than one call takes.
	many := make([][]byte, 3000)
	for i := range many {
		many[i] = []byte{byte(i)}
	}
	want := bytes.Join(many, nil)
	if err := writeAt(f, many, 10); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	if _, err := f.ReadAt(got, 10); err != nil || !bytes.Equal(got, want) {
		t.Fatalf("3,000 pieces: what was read is not what was written (%v)", err)
	}
}
