package collectors

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFile_SaysWhatItSaidWhileItCannotBeRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	parsed := 0
	parse := func(text []byte) (string, error) {
		parsed++
		if string(text) == "bad" {
			return "", errors.New("a mistake")
		}
		return string(text), nil
	}
	at := time.Unix(1_700_000_000, 0)
	write := func(text string) {
		t.Helper()
		at = at.Add(time.Second)
		if err := errors.Join(os.WriteFile(name, []byte(text), 0o644), os.Chtimes(name, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	var f File[string]
	if f = f.Again(name, 4, parse); !errors.Is(f.Err, os.ErrNotExist) || f.Says != "" {
		t.Errorf("before it is there: %q, %v", f.Says, f.Err)
	}
	write("good")
	if f = f.Again(name, 4, parse); f.Err != nil || f.Says != "good" {
		t.Errorf("there: %q, %v", f.Says, f.Err)
	}
	if f = f.Again(name, 4, parse); parsed != 1 {
		t.Errorf("unchanged, and parsed %d times", parsed)
	}
	write("too long by far")
	if f = f.Again(name, 4, parse); f.Err == nil || f.Says != "good" || parsed != 1 {
		t.Errorf("too large: %q, %v, parsed %d times", f.Says, f.Err, parsed)
	}
	write("bad")
	if f = f.Again(name, 4, parse); f.Err == nil || f.Says != "good" {
		t.Errorf("with a mistake: %q, %v", f.Says, f.Err)
	}
	if f = f.Again(name, 4, parse); f.Err == nil || parsed != 2 {
		t.Errorf("the mistake is still there: %v, parsed %d times", f.Err, parsed)
	}
	write("new")
	if f = f.Again(name, 4, parse); f.Err != nil || f.Says != "new" {
		t.Errorf("mended: %q, %v", f.Says, f.Err)
	}
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if f = f.Again(name, 4, parse); f.Err == nil || f.Says != "new" {
		t.Errorf("gone: %q, %v", f.Says, f.Err)
	}
}
