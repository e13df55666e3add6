package tier

import "iter"

// replayAll rebuilds the state from the last record of each key.
func (s *state) replayAll(records iter.Seq2[[]byte, error]) error {
	if records == nil {
		return nil
	}
	last, n := map[string]int{}, 0
	for rec, err := range records {
		if err != nil {
			return err
		}
		key, dead, err := RecordKey(rec)
		if err != nil {
			return err
		}
		n++
		if last[key] = n; dead {
			delete(last, key)
		}
	}
	for _, commits := range []bool{false, true} {
		n = 0
		for rec, err := range records {
			if err != nil {
				return err
			}
			key, _, err := RecordKey(rec)
			if err != nil {
				return err
			}
			if n++; last[key] != n {
				continue
			}
			r, err := decodeRecord(rec)
			if err == nil {
				err = s.replay(r, commits)
			}
			if err != nil {
				return err
			}
		}
	}
	s.settle()
	return nil
}
