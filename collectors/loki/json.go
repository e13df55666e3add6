package loki

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// jsonStream is one stream of a JSON push. Its lines stay bytes until they are walked.
type jsonStream struct {
	Stream map[string]string `json:"stream"`
	Values json.RawMessage   `json:"values"`
}

// jsonStreams walks {"streams": [{"stream": {…}, "values": [["ns", "line", {…}], …]}]}, one stream at a time, so that what
// is held never grows with the number of streams or lines.
func jsonStreams(body []byte, l Limits, see func(labels []byte, entries func(func(entry) error) error) error) error {
	d := json.NewDecoder(bytes.NewReader(body))
	if err := enter(d, '{'); err != nil {
		return err
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		if key != "streams" {
			var skip json.RawMessage
			if err := d.Decode(&skip); err != nil {
				return err
			}
			continue
		}
		if err := enter(d, '['); err != nil {
			return err
		}
		for d.More() {
			var s jsonStream
			if err := d.Decode(&s); err != nil {
				return err
			}
			err := see(s.labels(), func(each func(entry) error) error { return jsonEntries(s.Values, l, each) })
			if err != nil {
				return err
			}
		}
		if err := enter(d, ']'); err != nil {
			return err
		}
	}
	if err := enter(d, '}'); err != nil {
		return err
	}
	if d.More() {
		return fmt.Errorf("there is more after the JSON object")
	}
	return nil
}

func enter(d *json.Decoder, want json.Delim) error {
	t, err := d.Token()
	if err != nil {
		return err
	}
	if t != want {
		return fmt.Errorf("want %s at byte %d", want, d.InputOffset())
	}
	return nil
}

// labels writes the labels as protobuf clients do, so that one stream has one name.
func (s jsonStream) labels() []byte {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(s.Stream)) {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(name + "=" + strconv.Quote(s.Stream[name]))
	}
	b.WriteByte('}')
	return []byte(b.String())
}

func jsonEntries(values json.RawMessage, l Limits, each func(entry) error) error {
	if len(values) == 0 || string(values) == "null" {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(values))
	if err := enter(d, '['); err != nil {
		return err
	}
	var parts []json.RawMessage
	for d.More() {
		parts = parts[:0]
		if err := d.Decode(&parts); err != nil {
			return err
		}
		e, err := jsonEntry(parts, l)
		if err != nil {
			return err
		}
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

func jsonEntry(parts []json.RawMessage, l Limits) (e entry, err error) {
	if len(parts) != 2 && len(parts) != 3 {
		return e, fmt.Errorf("a value has %d parts: want [\"nanoseconds\", \"line\"] and optionally metadata", len(parts))
	}
	var ns, line string
	if err := json.Unmarshal(parts[0], &ns); err != nil {
		return e, fmt.Errorf("a value's timestamp: %w", err)
	}
	n, err := strconv.ParseInt(ns, 10, 64)
	if err != nil {
		return e, fmt.Errorf("a value's timestamp: %q is no number of nanoseconds", short(ns))
	}
	if err := json.Unmarshal(parts[1], &line); err != nil {
		return e, fmt.Errorf("a value's line: %w", err)
	}
	e.at, e.line = time.Unix(0, n), []byte(line)
	if len(parts) == 3 {
		meta := bytes.Clone(parts[2])
		e.metadata = func() map[string]string {
			var all map[string]string
			if json.Unmarshal(meta, &all) != nil {
				return nil
			}
			out := map[string]string{}
			for _, name := range slices.Sorted(maps.Keys(all)) {
				if addLabel(out, name, all[name], l) != nil {
					break
				}
			}
			return out
		}
	}
	return e, nil
}
