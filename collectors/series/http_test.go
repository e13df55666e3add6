package series

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestHandler(t *testing.T) {
	s := memory(t)
	load(t, s, "lag_seconds", map[string]string{"cluster": "c", "group": "a"}, 0, 5, "1 2.5")
	load(t, s, "lag_seconds", map[string]string{"cluster": "c", "group": "b"}, 0, 5, "NaN +Inf")
	load(t, s, "requests_total", map[string]string{"cluster": "c"}, 0, 5, "1 2")
	server := httptest.NewServer(s.Handler())
	defer server.Close()
	base := "1772618400" // at(0)
	tests := []struct {
		path string
		want string // of data, or of error
		code int
	}{
		{"query?query=lag_seconds%7Bgroup%3D%22a%22%7D&time=" + base, `{"result":[{"metric":{"__name__":"lag_seconds","cluster":"c","group":"a"},"value":[1772618400,"1"]}],"resultType":"vector"}`, 200},
		{"query?query=lag_seconds%7Bgroup%3D%22b%22%7D&time=2026-03-04T10:00:05Z", `{"result":[{"metric":{"__name__":"lag_seconds","cluster":"c","group":"b"},"value":[1772618405,"+Inf"]}],"resultType":"vector"}`, 200},
		{"query?query=1%2B1&time=" + base + ".5", `{"result":[1772618400.5,"2"],"resultType":"scalar"}`, 200},
		{"query_range?query=lag_seconds%7Bgroup%3D%22a%22%7D&step=5s&start=" + base + "&end=1772618405", `{"result":[{"metric":{"__name__":"lag_seconds","cluster":"c","group":"a"},"values":[[1772618400,"1"],[1772618405,"2.5"]]}],"resultType":"matrix"}`, 200},
		{"labels", `["__name__","cluster","group"]`, 200},
		{"labels?match[]=requests_total", `["__name__","cluster"]`, 200},
		{"label/group/values", `["a","b"]`, 200},
		{"label/nope/values", `[]`, 200},
		{"series?match[]=requests_total&match[]=requests_total", `[{"__name__":"requests_total","cluster":"c"}]`, 200},
		{"metadata", `{"lag_seconds":[{"help":"","type":"gauge","unit":""}],"requests_total":[{"help":"","type":"counter","unit":""}]}`, 200},
		{"status/buildinfo", `{"application":"streamkeeper","version":"3.0.0"}`, 200},
		{"query?query=rate(x)", `1:6`, 400},
		{"query?query=x&time=yesterday", `RFC 3339`, 400},
		{"query_range?query=x&start=0&end=1772618400&step=1", `points per series`, 400},
		{"query_range?query=x&start=5&end=1&step=1", `end is before start`, 400},
		{"series", `match[]`, 400},
		{"rules", `no such endpoint`, 404},
	}
	for _, test := range tests {
		res, err := http.Get(server.URL + "/prometheus/api/v1/" + test.path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var envelope struct {
			Status, Error string
			Data          any
		}
		if err := json.Unmarshal(body, &envelope); err != nil {
			t.Fatalf("%s: %v: %s", test.path, err, body)
		}
		if res.StatusCode != test.code {
			t.Errorf("%s: status %d, want %d: %s", test.path, res.StatusCode, test.code, body)
		}
		if test.code != 200 {
			if envelope.Status != "error" || !strings.Contains(envelope.Error, test.want) {
				t.Errorf("%s: %s, want an error with %q", test.path, body, test.want)
			}
			continue
		}
		var want any
		if err := json.Unmarshal([]byte(test.want), &want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, envelope.Data); d != "" {
			t.Errorf("%s: %s", test.path, d)
		}
	}

	// Grafana posts its queries as forms.
	res, err := http.PostForm(server.URL+"/prometheus/api/v1/query", url.Values{"query": {"requests_total"}, "time": {base}})
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); !strings.Contains(string(body), `"1"`) {
		t.Errorf("POST: %s", body)
	}
}
