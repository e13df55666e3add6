package rules

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	streamkeeper "github.com/streamkeeper-io/streamkeeper"
)

// chanceWords are P(node true | only this cause). by_definition is only for a node that is the cause's
// own definition: a count, an error class.
var chanceWords = map[string]float64{
	"by_definition": .99, "always": .95, "usually": .80, "sometimes": .40, "rarely": .10, "never": .01,
}

// priorWords are P(cause | its symptoms).
var priorWords = map[string]float64{"common": .10, "usual": .05, "uncommon": .02, "rare": .005}

// parseChance reads a word or a number between 0 and 1.
func parseChance(s string) (float64, error) {
	if p, ok := chanceWords[s]; ok {
		return p, nil
	}
	if p, err := strconv.ParseFloat(s, 64); err == nil && p > 0 && p < 1 {
		return p, nil
	}
	return 0, fmt.Errorf("chance %q: want by_definition, always, usually, sometimes, rarely, never or a number between 0 and 1", s)
}

// parsePrior reads a word, a number, or a word with a factor ("common x5") as benign causes need.
func parsePrior(s string) (float64, error) {
	word, factor, scaled := strings.Cut(s, " x")
	p, ok := priorWords[word]
	if !ok && !scaled {
		var err error
		if p, err = strconv.ParseFloat(s, 64); err == nil && p > 0 && p < 1 {
			return p, nil
		}
	}
	f := 1.0
	if scaled {
		var err error
		if f, err = strconv.ParseFloat(factor, 64); err != nil || f < 1 || f > 10 {
			ok = false
		}
	}
	if !ok || p*f >= 1 {
		return 0, fmt.Errorf("prior %q: want common, usual, uncommon, rare, one of them with a factor (common x3), or a number between 0 and 1", s)
	}
	return p * f, nil
}

// parseRange reads "a..b" or one duration, which then is both ends.
func parseRange(s string) ([2]time.Duration, error) {
	from, to, ok := strings.Cut(s, "..")
	if !ok {
		to = from
	}
	a, err := parseDuration(from)
	if err == nil {
		var b time.Duration
		if b, err = parseDuration(to); err == nil && a <= b {
			return [2]time.Duration{a, b}, nil
		}
	}
	return [2]time.Duration{}, fmt.Errorf("range %q: want two durations as in 0s..2m, the smaller first", s)
}

// parseDuration is time.ParseDuration with days.
func parseDuration(s string) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseFloat(days, 64); err == nil && n >= 0 && n < 1e5 {
			return time.Duration(n * 24 * float64(time.Hour)), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("duration %q: want for example 30s, 5m, 24h", s)
	}
	return d, nil
}

// entityLabels are the metric labels that name an entity of a kind, without the cluster.
var entityLabels = map[streamkeeper.EntityKind][]string{
	streamkeeper.KindCluster:   nil,
	streamkeeper.KindBroker:    {"broker"},
	streamkeeper.KindTopic:     {"topic"},
	streamkeeper.KindPartition: {"topic", "partition"},
	streamkeeper.KindGroup:     {"group"},
	streamkeeper.KindClient:    {"client"},
	streamkeeper.KindStore:     {"store"},
	streamkeeper.KindDisk:      {"disk"},
}

// parseEntityKind checks the kind's name.
func parseEntityKind(s string) (streamkeeper.EntityKind, error) {
	k := streamkeeper.EntityKind(s)
	if _, ok := entityLabels[k]; !ok {
		return "", fmt.Errorf("entity %q: want cluster, broker, topic, partition, group, client, store or disk", s)
	}
	return k, nil
}

func parseSeverity(s string) (streamkeeper.Severity, error) {
	if s == "" {
		return streamkeeper.SeverityWarning, nil
	}
	v := streamkeeper.Severity(s)
	if v.Rank() == 0 {
		return "", fmt.Errorf("severity %q: want critical, warning or info", s)
	}
	return v, nil
}
