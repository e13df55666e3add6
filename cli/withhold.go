package cli

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"maps"
	"strings"

	"github.com/streamkeeper-io/streamkeeper"
)

// What a recording can be played without, to see how much the diagnosis leans on it.
const (
	withoutLeaveReasons  = "leave_reasons"  // why members left: many client libraries do not say
	withoutBrokerMetrics = "broker_metrics" // what only the bundled broker measures
	withoutBroker        = "broker"         // its metrics and its events: what is left, any Kafka tells
	withoutLogs          = "logs"           // what the logs of brokers and clients told
)

// without returns the recording as it would be had it been made without something. The recording itself
// stays as it is.
func (r recording) without(what string) (recording, error) {
	switch what {
	case withoutLeaveReasons:
		return r.withoutLeaveReasons(), nil
	case withoutBrokerMetrics:
		r.signals = keepSeries(r.signals, func(name string) bool { return !strings.HasPrefix(name, "streamkeeper_broker_") })
	case withoutBroker:
		r.signals = keepSeries(r.signals, func(name string) bool { return !strings.HasPrefix(name, "streamkeeper_broker_") })
		r.rounds = notFrom(r.rounds, "broker")
	case withoutLogs:
		r.signals = keepSeries(r.signals, func(name string) bool { return !strings.Contains(name, `source="loki"`) })
		r.rounds = notFrom(r.rounds, "loki")
	default:
		return r, fmt.Errorf("cannot withhold %q: want %s, %s, %s or %s", what, withoutLeaveReasons, withoutBrokerMetrics, withoutBroker, withoutLogs)
	}
	return r, nil
}

// notFrom leaves out the rounds of one source.
func notFrom(rounds []round, source string) []round {
	var kept []round
	for _, in := range rounds {
		if in.Watermark.Source != source {
			kept = append(kept, in)
		}
	}
	return kept
}

// withoutLeaveReasons empties what members said when they left or joined; what the broker itself knows stays
// (that a session expired).
func (r recording) withoutLeaveReasons() recording {
	said := map[string]bool{"member_left": true, "member_joined": true}
	rounds := make([]round, len(r.rounds))
	for i, in := range r.rounds {
		rounds[i] = in
		rounds[i].Events = nil
		for _, e := range in.Events {
			e.Attrs = maps.Clone(e.Attrs)
			if _, ok := e.Attrs["client_reason"]; ok {
				e.Attrs["client_reason"] = ""
			}
			if reason, ok := e.Attrs["reason"].(string); ok {
				if said[e.Kind] {
					reason = ""
				}
				head, _, _ := strings.Cut(reason, "; client reason:")
				e.Attrs["reason"] = head
			}
			if said[e.Kind] {
				e.Text = ""
			}
			rounds[i].Events = append(rounds[i].Events, e)
		}
	}
	r.rounds = rounds
	inventories := make([]streamkeeper.Inventory, len(r.inventories))
	for i, inv := range r.inventories {
		inventories[i] = inv
		inventories[i].Groups = nil
		for _, g := range inv.Groups {
			if _, ok := g.Facts["leave_reasons"]; ok {
				g.Facts = maps.Clone(g.Facts)
				g.Facts["leave_reasons"] = false
			}
			inventories[i].Groups = append(inventories[i].Groups, g)
		}
	}
	r.inventories = inventories
	r.signals = zeroSeries(r.signals, func(name string) bool {
		return strings.HasPrefix(name, "streamkeeper_broker_group_fact{") && strings.Contains(name, `fact="leave_reasons"`)
	})
	return r
}

// dropping returns the recording with a share of its series missing, each whole, so that sums run over fewer
// parts than there are. Which ones depends on their labels and the seed only.
func (r recording) dropping(share float64, seed uint64) recording {
	r.signals = keepSeries(r.signals, func(name string) bool {
		h := fnv.New64a()
		fmt.Fprintf(h, "%d %s", seed, name)
		// FNV's high bits move little between names that differ in their last character; mix them.
		x := h.Sum64()
		x ^= x >> 33
		x *= 0xff51afd7ed558ccd
		x ^= x >> 33
		return float64(x>>11)/(1<<53) >= share
	})
	return r
}

// keepSeries keeps the series that keep says, by name with labels. A series stands in one line or more.
func keepSeries(signals []byte, keep func(name string) bool) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(signals) {
		if line[0] == '#' || line[0] == '\n' || keep(lineName(line)) {
			out.Write(line)
		}
	}
	return out.Bytes()
}

// zeroSeries sets every value of some series to 0; where they were stale they stay so. It reads raw times only,
// which is what recordings hold.
func zeroSeries(signals []byte, which func(name string) bool) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(signals) {
		name := lineName(line)
		if line[0] == '#' || !which(name) {
			out.Write(line)
			continue
		}
		out.WriteString(name)
		for token := range strings.FieldsSeq(string(bytes.TrimPrefix(line, []byte(name)))) {
			if at, value, ok := strings.Cut(token, "="); ok && value != "stale" {
				token = at + "=0"
			}
			out.WriteString(" " + token)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// lineName is the series of a line of signals, with its labels.
func lineName(line []byte) string {
	quoted, escaped := false, false
	for i, c := range line {
		switch {
		case escaped:
			escaped = false
		case c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '@' || c == '\n'): // labels are written with spaces between them; values begin with @
			return strings.TrimSpace(string(line[:i]))
		}
	}
	return strings.TrimSpace(string(line))
}
