package tier

// replay rebuilds the state from the last record of each key.
func (t *Tier) replay() error {
	if t.o.Replay == nil {
		return nil
	}
	last, n := map[string]int{}, 0
	for rec, err := range t.o.Replay {
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
		for rec, err := range t.o.Replay {
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
				err = t.state.replay(r, commits)
			}
			if err != nil {
				return err
			}
		}
	}
	t.state.settle()
	return nil
}
