package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/user"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper"
)

// incidentCommand is the family for what people say of incidents.
func incidentCommand(p Process) *cobra.Command {
	c := &cobra.Command{Use: "incident", Short: "Say what an incident was, and list what was said"}
	c.AddCommand(incidentWrongCommand(p), incidentFeedbackCommand(p))
	return c
}

// feedbackMark is the body of POST /api/v1/incidents/{id}/feedback.
type feedbackMark struct {
	Was  string `json:"was"`
	Note string `json:"note,omitempty"`
	By   string `json:"by,omitempty"`
}

func incidentWrongCommand(p Process) *cobra.Command {
	var m feedbackMark
	var server string
	c := &cobra.Command{
		Use:   "wrong ID --was CAUSE",
		Short: "Say that an incident was something else",
		Long: `Keeps what an incident was, beside what was told and the evidence of that moment. While the incident is open the
cause that was told counts for less. CAUSE is one of "streamkeeper rules list", or other; naming the cause that was told
confirms it. What was said last counts.`,
		Example: `  streamkeeper incident wrong 01KB3V9T6C --was poison_message --note "schema change on orders.v2"`,
		Args:    cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if m.Was == "" {
				return usage(errors.New("--was: say which cause it was, or other"))
			}
			body, err := tellServer(c.Context(), server, "/api/v1/incidents/"+url.PathEscape(args[0])+"/feedback", m, http.StatusCreated)
			if err != nil {
				return err
			}
			var f streamkeeper.Feedback
			if err := json.Unmarshal(body, &f); err != nil {
				return blind(fmt.Errorf("%s does not answer as a streamkeeper server: %w", server, err))
			}
			_, err = fmt.Fprintln(p.Stdout, feedbackText(f))
			return err
		},
	}
	if me, err := user.Current(); err == nil {
		m.By = me.Username
	}
	fl := c.Flags()
	fl.StringVar(&server, "server", "127.0.0.1:8080", "address of a running `streamkeeper up`")
	fl.StringVar(&m.Was, "was", "", "the cause that it was, or other")
	fl.StringVar(&m.Note, "note", "", "how you know")
	fl.StringVar(&m.By, "by", m.By, "who says so")
	return c
}

func feedbackText(f streamkeeper.Feedback) string {
	told := strings.Join(f.Said, " | ")
	if f.Wrong {
		return fmt.Sprintf("%s: wrong, it was %s, not %s", f.Incident, f.Was, told)
	}
	return fmt.Sprintf("%s: right, it was %s", f.Incident, f.Was)
}

func incidentFeedbackCommand(p Process) *cobra.Command {
	var server, cluster, output string
	c := &cobra.Command{
		Use:   "feedback",
		Short: "List what people said of incidents; -o json has the evidence of each, for calibration",
		RunE: func(c *cobra.Command, _ []string) error {
			if output != "text" && output != "json" {
				return usage(fmt.Errorf("--output %q: want text or json", output))
			}
			q := url.Values{"cluster": {cluster}, "limit": {"1000"}}
			body, err := ask(c.Context(), server, "/api/v1/feedback?"+q.Encode())
			if err != nil {
				return err
			}
			var all struct {
				Feedback []streamkeeper.Feedback `json:"feedback"`
			}
			if err := json.Unmarshal(body, &all); err != nil {
				return blind(fmt.Errorf("%s does not answer as a streamkeeper server: %w", server, err))
			}
			if output == "json" {
				e := json.NewEncoder(p.Stdout)
				e.SetIndent("", "  ")
				e.SetEscapeHTML(false)
				return e.Encode(all)
			}
			writeFeedback(p.Stdout, all.Feedback)
			return nil
		},
	}
	fl := c.Flags()
	fl.StringVar(&server, "server", "127.0.0.1:8080", "address of a running `streamkeeper up`")
	fl.StringVar(&cluster, "cluster", "", "only this cluster")
	fl.StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func writeFeedback(w io.Writer, all []streamkeeper.Feedback) {
	if len(all) == 0 {
		fmt.Fprintln(w, "nobody has said anything of an incident yet")
	}
	for _, f := range all {
		by := ""
		if f.By != "" {
			by = " (" + f.By + ")"
		}
		fmt.Fprintf(w, "%s   %s · %s%s\n", day(f.At), feedbackText(f), f.Entity, by)
		for _, line := range wrap(f.Note, textWidth-4) {
			if line != "" {
				fmt.Fprintln(w, "    "+line)
			}
		}
	}
}

// tellServer posts a body to a running server and returns its answer.
func tellServer(ctx context.Context, server, path string, body any, want int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, baseURL(server)+path, strings.NewReader(string(text)))
	if err != nil {
		return nil, usage(fmt.Errorf("--server %q: want HOST:PORT", server))
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, blind(explainDial(server, err))
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
	if err != nil {
		return nil, blind(fmt.Errorf("read the answer of %s: %w", server, err))
	}
	if res.StatusCode == want {
		return answer, nil
	}
	var e struct{ Error string }
	_ = json.Unmarshal(answer, &e) // whatever is not ours shows as its status
	if e.Error != "" && (res.StatusCode == http.StatusBadRequest || res.StatusCode == http.StatusNotFound) {
		return nil, usage(errors.New(e.Error))
	}
	return nil, blind(fmt.Errorf("%s answered %s %s", server, res.Status, strings.TrimSpace(e.Error)))
}
