package collectors

import (
	"bytes"
	"context"
	"errors"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang/snappy"
)

func TestBodies_AreFew(t *testing.T) {
	b := NewBodies(1, time.Millisecond)
	first := b.Take(t.Context())
	if first == nil || b.Take(t.Context()) != nil {
		t.Fatal("want one place, and nil while it is taken")
	}
	b.Return(first)
	if b.Take(t.Context()) == nil {
		t.Error("no place although it was given back")
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if NewBodies(0, time.Hour).Take(ended) != nil {
		t.Error("a place for a request that ended")
	}
}

func TestBody_IsLimited(t *testing.T) {
	var b Body
	zeros := make([]byte, 1<<20)
	for _, c := range []struct {
		name   string
		sent   []byte
		unsnap bool
		limit  int
		want   int
		err    error
	}{
		{"as long as allowed", zeros[:100], false, 100, 100, nil},
		{"a byte more", zeros[:101], false, 100, 0, ErrBodyTooLarge},
		{"decompressed", snappy.Encode(nil, zeros), true, len(zeros), len(zeros), nil},
		{"a bomb", snappy.Encode(nil, zeros), true, len(zeros) - 1, 0, ErrBodyTooLarge},
		{"a length that lies", []byte("\xff\xff\xff\xff\x0f"), true, len(zeros), 0, ErrBodyTooLarge},
		{"a length without bytes", []byte("\xff\xff\x03"), true, len(zeros), 0, snappy.ErrCorrupt},
		{"nothing", nil, true, len(zeros), 0, snappy.ErrCorrupt},
		{"small after large", []byte("abc"), false, 100, 3, nil},
	} {
		got, err := b.Read(bytes.NewReader(c.sent), c.limit)
		if err == nil && c.unsnap {
			got, err = b.Unsnap(c.limit)
		}
		if !errors.Is(err, c.err) || err == nil && len(got) != c.want {
			t.Errorf("%s: %d bytes, %v; want %d, %v", c.name, len(got), err, c.want, c.err)
		}
	}
}

func TestPushedFor(t *testing.T) {
	for _, c := range []struct{ url, tenant, want string }{
		{"/push", "", ""},
		{"/push", "eu", "eu"},
		{"/push?cluster=us", "eu", "us"},
	} {
		req := httptest.NewRequest("POST", c.url, nil)
		req.Header.Set("X-Scope-OrgID", c.tenant)
		if got := PushedFor(req); got != c.want {
			t.Errorf("%s for %q: %q, want %q", c.url, c.tenant, got, c.want)
		}
	}
}
