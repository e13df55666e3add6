package batch

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRebuild_KeepsWhatItIsTold(t *testing.T) {
	for _, codec := range []Codec{None, Gzip, Snappy, LZ4, Zstd} {
		h := sample()
		if codec != None {
			h = compressed(t, codec)
		}
		h.SetBaseOffset(100)
		h.SetLeaderEpoch(9)
		var all []Record
		if err := Records(h, 0, func(r Record) bool { all = append(all, r); return true }); err != nil {
			t.Fatal(err)
		}
		for _, horizon := range []int64{NoHorizon, 123456} {
			for _, keep := range [][]Record{all[1:2], all[2:], all, nil} {
				raw, err := Rebuild(h, keep, horizon)
				if err != nil {
					t.Fatal(err)
				}
				b, rest, ok := Next(raw)
				if !ok || len(rest) > 0 || b.ComputeCRC() != b.CRC() {
					t.Fatalf("%s: not a whole batch", codec)
				}
				var got []Record
				if err := Records(b, 0, func(r Record) bool { got = append(got, r); return true }); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(keep, got); d != "" {
					t.Fatalf("%s: %s", codec, d)
				}
				same := b.BaseOffset() == 100 && b.NextOffset() == h.NextOffset() && b.LeaderEpoch() == 9 &&
					b.ProducerID() == h.ProducerID() && b.ProducerEpoch() == h.ProducerEpoch() && b.BaseSequence() == h.BaseSequence() &&
					int(b.RecordCount()) == len(keep)
				if !same || horizon != NoHorizon && (b.Attributes()&DeleteHorizon == 0 || b.BaseTimestamp() != horizon) {
					t.Errorf("%s: the header changed", codec)
				}
			}
		}
	}
}
