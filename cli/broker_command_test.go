package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
	"github.com/streamkeeper-io/streamkeeper/engine/tier"
)

// brokerData makes a data folder with records in log and store, and stops cleanly.
func brokerData(t *testing.T) string {
	t.Helper()
	data, ctx := t.TempDir(), context.Background()
	store, err := tier.OpenStore("file://"+filepath.Join(data, "objects"), os.Getenv)
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.Open(ctx, engine.Options{
		Dir: filepath.Join(data, "broker"), Store: store, Log: engine.LogOptions{SegmentBytes: 64 << 10},
		Tier: engine.TierOptions{OffloadAfter: time.Millisecond, ManifestEvery: 10 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.CreateTopic(ctx, "orders", 2, nil); err != nil {
		t.Fatal(err)
	}
	p, err := e.Partition("orders", 1)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		done := make(chan engine.Appended, 1)
		b := batch.Append(nil, batch.NoProducer, []batch.Record{{Timestamp: int64(i), Key: []byte("k"), Value: fmt.Appendf(nil, "record-%d", i)}})
		p.Append(b, -1, func(a engine.Appended) { done <- a })
		if a := <-done; a.Err != nil {
			t.Fatal(a.Err)
		}
	}
	for deadline := time.Now().Add(time.Minute); p.TieredEnd() < 20 || e.Stats().Untold > 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("not offloaded")
		}
	}
	if err := e.Close(ctx); err != nil {
		t.Fatal(err)
	}
	return data
}

func brokerRun(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(context.Background(), Process{Args: append([]string{"broker"}, args...), Getenv: func(string) string { return "" }, Stdout: &out, Stderr: &errs})
	return code, out.String(), errs.String()
}

func TestBroker_InspectVerifyDumpRestore(t *testing.T) {
	data := brokerData(t)
	code, out, errs := brokerRun(t, "inspect", "--data", data)
	if code != exitOK || !strings.Contains(out, "stopped cleanly") || !strings.Contains(out, "orders") {
		t.Errorf("inspect: %d\n%s%s", code, out, errs)
	}
	code, out, errs = brokerRun(t, "verify", "--data", data, "-o", "json")
	var v engine.Verification
	if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitOK || v.Objects == 0 || v.ProblemCount > 0 {
		t.Errorf("verify: %d, %v\n%s%s", code, err, out, errs)
	}
	_, want, _ := brokerRun(t, "dump", "orders", "1", "--data", data)
	if strings.Count(want, "\n") != 20 || !strings.Contains(want, `"record-19"`) {
		t.Errorf("dump:\n%s", want)
	}
	code, out, _ = brokerRun(t, "dump", "orders", "1", "--data", data, "--from", "7", "-n", "2", "-o", "json")
	if code != exitOK || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"offset":7`) {
		t.Errorf("dump from 7: %d\n%s", code, out)
	}
	if code, _, errs := brokerRun(t, "dump", "nobody", "0", "--data", data); code != exitFindings || !strings.Contains(errs, "unknown topic") {
		t.Errorf("dump of no topic: %d %s", code, errs)
	}
	fresh := t.TempDir()
	store := "file://" + filepath.Join(data, "objects")
	code, out, errs = brokerRun(t, "restore", "--data", fresh, "--object-store", store)
	if code != exitOK || !strings.Contains(out, "1 topics, 2 partitions") {
		t.Fatalf("restore: %d\n%s%s", code, out, errs)
	}
	if _, got, errs := brokerRun(t, "dump", "orders", "1", "--data", fresh, "--object-store", store); got != want {
		t.Errorf("after the restore:\n%s%s", got, errs)
	}
}

func TestBroker_VerifyFindsDamage(t *testing.T) {
	data := brokerData(t)
	flip := func(path string, at int) {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var object string
	err := filepath.Walk(filepath.Join(data, "objects", "objects"), func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() {
			object = path
		}
		return err
	})
	if err != nil || object == "" {
		t.Fatal(err, object)
	}
	flip(object, 40)
	code, out, _ := brokerRun(t, "verify", "--data", data)
	if code != exitFindings || !strings.Contains(out, "damaged: object objects/") {
		t.Errorf("a flipped bit in an object: %d\n%s", code, out)
	}
	flip(object, 40)
	logs, err := filepath.Glob(filepath.Join(data, "broker", "log", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range logs { // one of them holds the first batch
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte("record-0")); at >= 0 {
			flip(name, at)
			found = true
			break
		}
	}
	code, out, _ = brokerRun(t, "verify", "--data", data)
	if !found || code != exitFindings || !strings.Contains(out, "damaged: log") {
		t.Errorf("a flipped bit in the log (found %t): %d\n%s", found, code, out)
	}
}
