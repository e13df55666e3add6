package otlp

import (
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// takeLogs hands lines on, a resource at a time.
func (r *Receiver) takeLogs(ld plog.Logs, wanted string, out *outcome) error {
	now := r.o.Now()
	for _, rl := range ld.ResourceLogs().All() {
		labels := r.names(rl.Resource().Attributes())
		var lines []Line
		for _, sl := range rl.ScopeLogs().All() {
			for _, rec := range sl.LogRecords().All() {
				r.counts.items[logsSignal].Add(1)
				if body := rec.Body(); body.Type() == pcommon.ValueTypeStr {
					lines = append(lines, Line{At: timeOf(rec, now), Text: []byte(body.Str()), More: r.names(rec.Attributes())})
				}
			}
		}
		if len(lines) == 0 {
			continue
		}
		rejected, err := r.o.Lines(wanted, labels, lines)
		r.counts.kept[logsSignal].Add(int64(len(lines) - rejected))
		switch {
		case err != nil && rejected == 0:
			return err
		case rejected > 0:
			out.reject(r, refusedLine, rejected, err.Error())
		}
	}
	return nil
}

func timeOf(rec plog.LogRecord, now time.Time) time.Time {
	for _, at := range []pcommon.Timestamp{rec.Timestamp(), rec.ObservedTimestamp()} {
		if at != 0 {
			return at.AsTime()
		}
	}
	return now
}

// names are attributes as labels: dots and the like become underscores, as log agents do it. What is over a limit is left
// out, for labels only help to name a line's subject.
func (r *Receiver) names(m pcommon.Map) map[string]string {
	out := map[string]string{}
	for k, v := range m.All() {
		if len(out) == 32 {
			break
		}
		if v.Type() > pcommon.ValueTypeBool || k == "" || len(k) > r.limits.TextBytes {
			continue
		}
		if s := v.AsString(); s != "" && len(s) <= r.limits.TextBytes {
			out[labelName(k)] = strings.ToValidUTF8(s, "?")
		}
	}
	return out
}

func labelName(k string) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '_'
	}, k)
}
