package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper"
	"github.com/streamkeeper-io/streamkeeper/collectors/kafka"
)

// maxReports bounds what is read from a server.
const maxReports = 64 << 20

type diagnoseFlags struct {
	server, output, cluster, group, topic, failOn string
	brokers                                       []string
	security                                      kafka.Security
	prometheus                                    prometheusFlags
	recording, record                             string
	window                                        time.Duration
	watch, redact                                 bool
	at, since                                     pastMoment
	rules                                         []string
}

func diagnoseCommand(p Process) *cobra.Command {
	var f diagnoseFlags
	c := &cobra.Command{
		Use:   "diagnose",
		Short: "Say why consumption is late and what to change",
		Long: `One-click diagnosis: the answer first, then why, then what to do.

It asks a running server (--server), observes a Kafka-protocol cluster itself for a while
(--brokers, read-only), reads what exporters told a Prometheus (--prometheus: kminion, kafka_exporter, Redpanda, JMX;
also in Mimir, Thanos and VictoriaMetrics), or reads a recording (--recording). --at asks what it was at a past
moment, --since lists the incidents of a span of time beside the answer.

Exit codes: 0 nothing at or above --fail-on, 1 findings, 2 bad usage, 3 could not observe. A symptom that no
finding explains counts like a finding: a critical one at once, others when they have lasted four ticks.`,
		Example: `  streamkeeper diagnose
  streamkeeper diagnose --brokers kafka:9092 --for 60s
  streamkeeper diagnose --prometheus http://prometheus:9090
  streamkeeper diagnose --since 12h                        # what happened at night?
  streamkeeper diagnose --at 2026-01-02T03:00:00Z          # and what was it then?
  streamkeeper diagnose --recording incident.txtar -o markdown`,
		RunE: func(c *cobra.Command, _ []string) error { return runDiagnose(c.Context(), p, f, c) },
	}
	fl := c.Flags()
	fl.StringVar(&f.server, "server", "127.0.0.1:8080", "address of a running `streamkeeper up`")
	fl.StringSliceVar(&f.brokers, "brokers", nil, "observe this cluster directly (HOST:PORT, repeatable)")
	fl.DurationVar(&f.window, "for", 30*time.Second, "how long to observe with --brokers")
	fl.StringVar(&f.record, "record", "", "with --brokers, keep what was seen for --recording (FILE)")
	fl.BoolVar(&f.redact, "redact", false, "with --record, replace the names of hosts, clients, topics and groups by pseudonyms")
	fl.BoolVar(&f.security.TLS.Enabled, "tls", false, "encrypt, with --brokers")
	fl.StringVar(&f.prometheus.url, "prometheus", "", "diagnose from what exporters told this Prometheus (URL, before /api/v1)")
	fl.StringVar(&f.prometheus.clusterLabel, "cluster-label", "", "the label that names Kafka clusters, with --prometheus (the first known one)")
	fl.StringVar(&f.prometheus.tenant, "tenant", "", "X-Scope-OrgID of --prometheus, for Mimir")
	fl.StringVar(&f.security.TLS.CA, "tls-ca", "", "who signed the certificates of --brokers or --prometheus (PEM FILE; the system's)")
	fl.StringVar(&f.security.TLS.Cert, "tls-cert", "", "our certificate (PEM FILE)")
	fl.StringVar(&f.security.TLS.Key, "tls-key", "", "and its key (PEM FILE)")
	fl.StringVar(&f.security.SASL.Mechanism, "sasl", "", "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER")
	fl.StringVar(&f.security.SASL.User, "user", "", "with --sasl, or of --prometheus")
	fl.StringVar(&f.security.SASL.PasswordFile, "password-file", "", "with --sasl PLAIN and SCRAM, or of --prometheus (FILE)")
	fl.StringVar(&f.security.SASL.TokenFile, "token-file", "", "with --sasl OAUTHBEARER, or of --prometheus (FILE)")
	fl.StringVar(&f.recording, "recording", "", "diagnose a recorded incident (FILE)")
	fl.Var(&f.at, "at", "a past moment to diagnose, of --server, --prometheus or --recording: RFC 3339, or how long ago (90m)")
	fl.Var(&f.since, "since", "list the server's incidents since then: RFC 3339, or how long ago (12h)")
	fl.StringVarP(&f.output, "output", "o", "text", "text, json or markdown")
	fl.StringVar(&f.cluster, "cluster", "", "only this cluster")
	fl.StringVar(&f.group, "group", "", "only this consumer group")
	fl.StringVar(&f.topic, "topic", "", "only this topic")
	fl.StringVar(&f.failOn, "fail-on", "warning", "exit 1 at or above this severity: info, warning, critical or never")
	fl.BoolVar(&f.watch, "watch", false, "go on and print every change (with --server)")
	fl.StringArrayVar(&f.rules, "rules", nil, "folder with more rules (repeatable; with --brokers, --prometheus, --recording and --at)")
	c.MarkFlagsMutuallyExclusive("brokers", "prometheus", "recording", "watch")
	c.MarkFlagsMutuallyExclusive("prometheus", "since")
	for _, alone := range []string{"brokers", "watch"} {
		c.MarkFlagsMutuallyExclusive(alone, "at")
		c.MarkFlagsMutuallyExclusive(alone, "since")
	}
	c.MarkFlagsMutuallyExclusive("recording", "since")
	return c
}

func (f diagnoseFlags) check() error {
	if !slices.Contains([]string{"text", "json", "markdown"}, f.output) {
		return fmt.Errorf("--output %q: want text, json or markdown", f.output)
	}
	if !slices.Contains([]string{"info", "warning", "critical", "never"}, f.failOn) {
		return fmt.Errorf("--fail-on %q: want info, warning, critical or never", f.failOn)
	}
	var wrong error
	if len(f.brokers) == 0 && f.record != "" {
		wrong = errors.Join(wrong, errors.New("--record is for --brokers; `streamkeeper record` saves what a server saw"))
	}
	if f.record == "" && f.redact {
		wrong = errors.Join(wrong, errors.New("--redact is for --record"))
	}
	if f.prometheus.url != "" {
		return wrong
	}
	if f.prometheus != (prometheusFlags{}) {
		wrong = errors.Join(wrong, errors.New("--cluster-label and --tenant are for --prometheus"))
	}
	f.security.Validate(func(key, format string, args ...any) {
		wrong = errors.Join(wrong, fmt.Errorf(key+": "+format, args...))
	})
	if len(f.brokers) == 0 && f.security != (kafka.Security{}) {
		wrong = errors.Join(wrong, errors.New("--tls and --sasl are for --brokers; clusters of a server have theirs in its config"))
	}
	return wrong
}

func runDiagnose(ctx context.Context, p Process, f diagnoseFlags, c *cobra.Command) error {
	if err := f.check(); err != nil {
		return usage(err)
	}
	if f.watch {
		return watchServer(ctx, p, f)
	}
	reports, err := observe(ctx, p, f)
	if err != nil {
		return err
	}
	answer := streamkeeper.Reports{Schema: streamkeeper.ReportsSchema, Reports: narrow(reports, f)}
	if !f.since.at.IsZero() {
		incidents, err := fetchIncidents(ctx, f.server, f.cluster, f.since.at)
		if err != nil {
			return err
		}
		answer.Incidents = slices.DeleteFunc(incidents, func(i streamkeeper.Incident) bool { return !f.concerns(i.Root.Entity) })
	}
	if err := printAnswer(p, f, answer); err != nil {
		return err
	}
	return verdictOf(answer.Reports, f.failOn)
}

func observe(ctx context.Context, p Process, f diagnoseFlags) ([]streamkeeper.Report, error) {
	switch {
	case len(f.brokers) > 0:
		return observeBrokers(ctx, p, f)
	case f.prometheus.url != "":
		return observePrometheus(ctx, p, f)
	case f.recording != "":
		return observeRecording(ctx, p, f)
	case !f.at.at.IsZero():
		return observePast(ctx, p, f)
	default:
		return fetchReports(ctx, f.server, f.cluster)
	}
}

// fetchReports asks a running server. A server that has not ticked yet answers with no reports, which
// is "could not observe".
func fetchReports(ctx context.Context, server, cluster string) ([]streamkeeper.Report, error) {
	address := "/api/v1/reports"
	if cluster != "" {
		address += "?cluster=" + url.QueryEscape(cluster)
	}
	body, err := ask(ctx, server, address)
	if err != nil {
		return nil, err
	}
	var out streamkeeper.Reports
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, blind(fmt.Errorf("%s does not answer as a streamkeeper server: %w", server, err))
	}
	if out.Schema != streamkeeper.ReportsSchema {
		return nil, blind(fmt.Errorf("%s answered schema %q, this program reads %q: use the same version on both sides", server, out.Schema, streamkeeper.ReportsSchema))
	}
	if len(out.Reports) == 0 {
		return nil, blind(fmt.Errorf("%s has no report yet: %s", server, cmp.Or(out.Waiting, "its first tick has not run; try again in some seconds")))
	}
	return out.Reports, nil
}

// ask reads one resource of a running server.
func ask(ctx context.Context, server, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, baseURL(server)+path, nil)
	if err != nil {
		return nil, usage(fmt.Errorf("--server %q: %w", server, err))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, blind(explainDial(server, err))
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxReports))
	if err != nil {
		return nil, blind(fmt.Errorf("read the answer of %s: %w", server, err))
	}
	if resp.StatusCode != http.StatusOK {
		var e struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(body, &e)
		return nil, blind(fmt.Errorf("%s answered %s: %s", server, resp.Status, e.Error))
	}
	return body, nil
}

func baseURL(server string) string {
	if strings.Contains(server, "://") {
		return strings.TrimRight(server, "/")
	}
	return "http://" + server
}

func explainDial(server string, err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("no server answers at %s (%v): start one with `streamkeeper up`, name it with --server, or observe a cluster directly with --brokers", server, op.Err)
	}
	return fmt.Errorf("ask %s: %w", server, err)
}

// narrow keeps what concerns the named group or topic, and benign and shared findings that explain it.
func narrow(reports []streamkeeper.Report, f diagnoseFlags) []streamkeeper.Report {
	var out []streamkeeper.Report
	for _, r := range reports {
		if f.cluster != "" && r.Cluster.Name != f.cluster {
			continue
		}
		if f.group != "" || f.topic != "" {
			r.Findings = slices.DeleteFunc(slices.Clone(r.Findings), func(x streamkeeper.Finding) bool { return !f.concerns(x.Entity) })
			r.Symptoms = slices.DeleteFunc(slices.Clone(r.Symptoms), func(x streamkeeper.Symptom) bool { return !f.concerns(x.Entity) })
			r.NotJudged = slices.DeleteFunc(slices.Clone(r.NotJudged), func(x streamkeeper.NotJudged) bool { return x.Entity != nil && !f.concerns(*x.Entity) })
			r.Headline = narrowHeadline(r, f)
		}
		out = append(out, r)
	}
	return out
}

// concerns reports whether an entity is what --group and --topic ask for, or may be why that suffers.
func (f diagnoseFlags) concerns(e streamkeeper.Entity) bool {
	switch e.Kind {
	case streamkeeper.KindGroup:
		return f.group == "" || e.Name == f.group
	case streamkeeper.KindTopic:
		return f.topic == "" || e.Name == f.topic
	}
	return true // a broker or a store may be why
}

// narrowHeadline is the headline of what was kept: the report's own may be about a group that was not asked for.
func narrowHeadline(r streamkeeper.Report, f diagnoseFlags) string {
	if r.Health.State == streamkeeper.HealthUnknown {
		return r.Headline
	}
	if len(r.Findings) > 0 {
		first := r.Findings[0]
		for _, s := range r.Symptoms {
			if s.Entity == first.Entity && first.Verdict != streamkeeper.VerdictBenign {
				return named(s)
			}
		}
		return first.Entity.String() + ": " + first.Title
	}
	asked := strings.Trim(strings.Join([]string{f.group, f.topic}, ", "), ", ")
	if len(r.Symptoms) > 0 {
		return named(r.Symptoms[0])
	}
	return asked + ": nothing is wrong"
}

// named is a symptom's text with its entity, where it does not name it.
func named(s streamkeeper.Symptom) string {
	if strings.Contains(s.Text, s.Entity.Name) {
		return s.Text
	}
	return s.Entity.String() + ": " + s.Text
}

func printAnswer(p Process, f diagnoseFlags, a streamkeeper.Reports) error {
	switch f.output {
	case "json":
		e := json.NewEncoder(p.Stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(a)
	case "markdown":
		writeMarkdown(p.Stdout, a.Reports)
	default:
		writeReports(p.Stdout, a.Reports, p.painter())
	}
	if a.Incidents != nil {
		writeIncidents(p.Stdout, a.Incidents, f.since.at, f.output, p.painter())
	}
	return nil
}

// verdictOf is the exit code: 1 when something at or above failOn is wrong, 3 when nothing could be judged at all.
func verdictOf(reports []streamkeeper.Report, failOn string) error {
	known := false
	for _, r := range reports {
		known = known || r.Health.State != streamkeeper.HealthUnknown
		if failOn != "never" && wrong(r, streamkeeper.Severity(failOn).Rank()) {
			return exitError{code: exitFindings}
		}
	}
	if !known {
		return blind(errors.New("nothing could be judged; the report says what is missing"))
	}
	return nil
}

// ticksToTell is how long a finding may take until it is told.
const ticksToTell = 4

// wrong reports whether a finding that is not benign reaches the rank, or a symptom that no finding explains. Zero would
// say that nothing is wrong: a cause that is not known yet is no reason to. Only what is critical need not last.
func wrong(r streamkeeper.Report, rank int) bool {
	explained := map[string]bool{}
	for _, f := range r.Findings {
		if f.Verdict != streamkeeper.VerdictBenign && f.Severity.Rank() >= rank {
			return true
		}
		for _, id := range f.Explains {
			explained[id] = true
		}
	}
	patience := time.Duration(ticksToTell * r.TickSeconds * float64(time.Second))
	for _, s := range r.Symptoms {
		if !explained[s.ID] && s.Severity.Rank() >= rank && (s.Severity == streamkeeper.SeverityCritical || r.GeneratedAt.Sub(s.Since) >= patience) {
			return true
		}
	}
	return false
}

// watchServer prints the diagnosis whenever it changes, until interrupted.
func watchServer(ctx context.Context, p Process, f diagnoseFlags) error {
	last := ""
	for {
		reports, err := fetchReports(ctx, f.server, f.cluster)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		var b strings.Builder
		writeReports(&b, narrow(reports, f), p.painter())
		if key := changeKey(reports); key != last {
			last = key
			fmt.Fprintf(p.Stdout, "%s\n%s\n", p.painter().dim(time.Now().UTC().Format("— 15:04:05")), b.String())
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(2 * time.Second):
		}
	}
}

// changeKey says which answers are given, without the numbers that move every tick.
func changeKey(reports []streamkeeper.Report) string {
	var b strings.Builder
	for _, r := range reports {
		fmt.Fprintf(&b, "%s %s;", r.Cluster.Name, r.Health.State)
		for _, f := range r.Findings {
			fmt.Fprintf(&b, "%s %s;", f.ID, f.Verdict)
		}
	}
	return b.String()
}
