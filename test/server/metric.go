package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Metric is the first series of that name in /metrics whose text has all the labels (name="value").
func (s *Server) Metric(ctx context.Context, name string, labels ...string) (v float64, err error) {
	err = s.get(ctx, "/metrics", func(r io.Reader) error {
		v, err = metric(r, name, labels)
		return err
	})
	return v, err
}

func metric(page io.Reader, name string, labels []string) (float64, error) {
lines:
	for lines := bufio.NewScanner(io.LimitReader(page, 64<<20)); lines.Scan(); {
		line := lines.Text()
		if !strings.HasPrefix(line, name+"{") && !strings.HasPrefix(line, name+" ") {
			continue
		}
		for _, l := range labels {
			if !strings.Contains(line, l) {
				continue lines
			}
		}
		fields := strings.Fields(line)
		return strconv.ParseFloat(fields[len(fields)-1], 64)
	}
	return 0, fmt.Errorf("no metric %s%v", name, labels)
}
