package objectstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine/tier/objectstore"
)

func openS3(t *testing.T, endpoint string) objectstore.Objects {
	t.Helper()
	s, err := objectstore.Open("s3://bucket/p?path_style=true&endpoint="+endpoint, env())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Each answer has its class, is asked for once, and tells what to do.
func TestS3AnswersAreClassified(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		want   objectstore.Class
		say    string
	}{
		{503, "SlowDown", objectstore.ClassThrottled, ""},
		{503, "RequestLimitExceeded", objectstore.ClassThrottled, ""},
		{429, "TooManyRequests", objectstore.ClassThrottled, ""},
		{429, "", objectstore.ClassThrottled, ""},
		{403, "AccessDenied", objectstore.ClassDenied, "s3:PutObject"},
		{403, "SignatureDoesNotMatch", objectstore.ClassDenied, "AWS_SECRET_ACCESS_KEY"},
		{401, "", objectstore.ClassDenied, ""},
		{400, "KMS.DisabledException", objectstore.ClassDenied, ""},
		{400, "ExpiredToken", objectstore.ClassDenied, "AWS_SESSION_TOKEN"},
		{500, "InternalError", objectstore.ClassDown, ""},
		{503, "ServiceUnavailable", objectstore.ClassDown, ""},
		{502, "", objectstore.ClassDown, ""},
		{404, "NoSuchKey", objectstore.ClassNotFound, ""},
		{404, "NoSuchBucket", objectstore.ClassOther, "create=true"},
		{400, "InvalidRequest", objectstore.ClassOther, ""},
		{412, "PreconditionFailed", objectstore.ClassOther, "exists"},
	} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			_, _ = io.Copy(io.Discard, r.Body)
			w.WriteHeader(c.status)
			if c.code != "" {
				_, _ = io.WriteString(w, "<Error><Code>"+c.code+"</Code><Message>no</Message></Error>")
			}
		}))
		s := openS3(t, server.URL)
		_, getErr := s.Get(t.Context(), "x", 0, 5)
		putErr := s.Put(t.Context(), "x", strings.NewReader("hello"), 5, objectstore.PutOptions{})
		for op, err := range map[string]error{"get": getErr, "put": putErr} {
			if got := objectstore.Classify(err); got != c.want || objectstore.Status(err) != c.status {
				t.Errorf("%s %d %s: class %s, status %d, want %s: %v", op, c.status, c.code, got, objectstore.Status(err), c.want, err)
			}
			if !strings.Contains(err.Error(), c.say) {
				t.Errorf("%s %d %s: %q does not say %q", op, c.status, c.code, err, c.say)
			}
		}
		if asked != 2 {
			t.Errorf("%d %s: %d requests for two calls", c.status, c.code, asked)
		}
		server.Close()
	}
}

func TestS3ConnectionFailuresAreDown(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	hole, err := net.Listen("tcp", "127.0.0.1:0") // accepts, never answers
	if err != nil {
		t.Fatal(err)
	}
	defer hole.Close()
	torn := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write(make([]byte, 400))
	}))
	defer torn.Close()
	stalled := errors.New("stalled")
	for name, endpoint := range map[string]string{
		"refused": closed.URL, "black hole": "http://" + hole.Addr().String(),
		"torn": torn.URL, "name": "http://store.invalid:9", "tls": strings.Replace(torn.URL, "http:", "https:", 1),
	} {
		ctx, cancel := context.WithTimeoutCause(t.Context(), 300*time.Millisecond, stalled)
		_, err := get(ctx, openS3(t, endpoint), "x", 0, 1000)
		cancel()
		if objectstore.Classify(err) != objectstore.ClassDown {
			t.Errorf("%s: class %s: %v", name, objectstore.Classify(err), err)
		}
		if name == "black hole" && !errors.Is(err, stalled) {
			t.Errorf("black hole: %v does not tell the cause", err)
		}
	}
}

// A large object goes out as one PUT with its length, and is not buffered.
func TestS3PutIsOneRequestOfKnownSize(t *testing.T) {
	const size = 40 << 20
	var lengths []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		lengths = append(lengths, r.Method+" "+r.URL.RawQuery+" "+strconv.FormatBool(r.ContentLength >= size && n == r.ContentLength))
		w.Header().Set("ETag", `"e"`)
	}))
	defer server.Close()
	body := bytes.NewReader(make([]byte, size))
	if err := openS3(t, server.URL).Put(t.Context(), "x", body, size, objectstore.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if len(lengths) != 1 || lengths[0] != "PUT  true" {
		t.Fatalf("requests: %v", lengths)
	}
}

// A server that ignores Range is an error, not wrong bytes.
func TestS3IgnoredRangeIsRefused(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		_, _ = w.Write(make([]byte, 1000))
	}))
	defer server.Close()
	if b, err := get(t.Context(), openS3(t, server.URL), "x", 10, 20); err == nil {
		t.Fatalf("got %d bytes", len(b))
	}
}
