package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/streamkeeper-io/streamkeeper/engine"
	"github.com/streamkeeper-io/streamkeeper/engine/batch"
)

// offline runs a command over the data of a broker that does not run.
func offline(p Process, place *brokerPlace, run func(context.Context, *engine.Offline, []string) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) (err error) {
		o, err := place.options(p)
		if err != nil {
			return err
		}
		x, err := engine.OpenOffline(o)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, x.Close()) }()
		return run(c.Context(), x, args)
	}
}

func brokerInspectCommand(p Process) *cobra.Command {
	var place brokerPlace
	var output string
	c := &cobra.Command{Use: "inspect", Short: "Say what a data folder holds", RunE: offline(p, &place, func(_ context.Context, x *engine.Offline, _ []string) error {
		return brokerInspect(p, x, output)
	})}
	place.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func brokerInspect(p Process, x *engine.Offline, output string) error {
	in, err := x.Inspect()
	if err != nil {
		return err
	}
	if output == "json" {
		return json.NewEncoder(p.Stdout).Encode(in)
	}
	fmt.Fprintf(p.Stdout, "%s, cluster %s, %s\n%d log segments with %d bytes; %d objects with %d bytes, %d to be deleted\n\n",
		in.Format, in.Cluster, stopped(in.Clean), in.Segments, in.LogBytes, in.Objects, in.Stored, in.Orphans)
	w := tabwriter.NewWriter(p.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "TOPIC\tPARTITION\tLOG START\tNEXT\tLOCAL FROM\tIN STORE TO\tSTORED BYTES\tRUNS\tEPOCH")
	for _, c := range in.Parts {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\t%s\t%d\t%d\t%s\n", c.Topic, c.Partition, c.LogStart, c.Next,
			orDash(c.LocalFrom), orDash(c.ColdEnd), c.ColdBytes, c.ColdRuns, orDash(int64(c.LeaderEpoch)))
	}
	return w.Flush()
}

// stopped says how much the numbers can be trusted.
func stopped(clean bool) string {
	if clean {
		return "stopped cleanly"
	}
	return "not stopped cleanly: the end of the log shows after the next start"
}

func orDash(n int64) string {
	if n < 0 {
		return "-"
	}
	return strconv.FormatInt(n, 10)
}

func brokerVerifyCommand(p Process) *cobra.Command {
	var place brokerPlace
	var output string
	c := &cobra.Command{
		Use: "verify", Short: "Check every checksum of log, index and objects; exit 1 when something is damaged",
		RunE: offline(p, &place, func(ctx context.Context, x *engine.Offline, _ []string) error { return brokerVerify(ctx, p, x, output) }),
	}
	place.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json")
	return c
}

func brokerVerify(ctx context.Context, p Process, x *engine.Offline, output string) error {
	last := time.Time{}
	v, err := x.Verify(ctx, func(doing string, done, total int) {
		if now := time.Now(); now.Sub(last) > time.Second || done == total {
			last = now
			p.progress("checking %s: %d of %d", doing, done, total)
		}
	})
	if err != nil {
		return err
	}
	if output == "json" {
		if err := json.NewEncoder(p.Stdout).Encode(v); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(p.Stdout, "%d index rows, %d batches in the log, %d objects with %d bytes; %s\n", v.IndexRows, v.LogBatches, v.Objects, v.ObjectBytes, stopped(v.Clean))
		for _, problem := range v.Problems {
			fmt.Fprintln(p.Stdout, "damaged: "+problem)
		}
	}
	if v.ProblemCount > 0 {
		return fmt.Errorf("%d problems; a damaged object or batch is never served: restore the file or the object from a backup", v.ProblemCount)
	}
	return nil
}

func brokerDumpCommand(p Process) *cobra.Command {
	var place brokerPlace
	var output string
	var from int64
	var most int
	var batches bool
	c := &cobra.Command{
		Use: "dump TOPIC PARTITION", Short: "Print the records of a partition, from log and store", Args: cobra.ExactArgs(2),
		RunE: offline(p, &place, func(ctx context.Context, x *engine.Offline, args []string) error {
			partition, err := strconv.ParseInt(args[1], 10, 32)
			if err != nil {
				return usage(fmt.Errorf("partition %q is no number", args[1]))
			}
			d := dumper{p: p, json: json.NewEncoder(p.Stdout), asJSON: output == "json", batches: batches, from: from, left: most}
			if err := x.Dump(ctx, args[0], int32(partition), from, d.batch); !errors.Is(err, errDumped) {
				return err
			}
			return nil
		}),
	}
	place.flags(c)
	c.Flags().StringVarP(&output, "output", "o", "text", "text or json (one object a line)")
	c.Flags().Int64Var(&from, "from", 0, "first offset")
	c.Flags().IntVarP(&most, "max", "n", 0, "how many to print at most; 0 = all")
	c.Flags().BoolVar(&batches, "batches", false, "print batch headers instead of records")
	return c
}

// errDumped ends a dump that printed what was asked for.
var errDumped = errors.New("enough")

// dumper prints batches or their records.
type dumper struct {
	p       Process
	json    *json.Encoder
	asJSON  bool
	batches bool
	from    int64
	left    int // 0 = all
}

func (d *dumper) batch(h batch.Header) error {
	if d.batches {
		return d.print(dumpedBatch{
			Base: h.BaseOffset(), Last: h.LastOffset(), Records: h.RecordCount(), Bytes: h.Size(), Epoch: h.LeaderEpoch(), Codec: h.Codec().String(),
			MaxTimestamp: h.MaxTimestamp(), Producer: h.ProducerID(), ProducerEpoch: h.ProducerEpoch(), Sequence: h.BaseSequence(),
			Transactional: h.IsTransactional(), Control: h.IsControl(),
		})
	}
	var failed error
	err := batch.Records(h, 0, func(r batch.Record) bool {
		if r.Offset < d.from {
			return true
		}
		failed = d.print(newDumpedRecord(h, r))
		return failed == nil
	})
	return errors.Join(err, failed)
}

func (d *dumper) print(v fmt.Stringer) error {
	var err error
	if d.asJSON {
		err = d.json.Encode(v)
	} else {
		_, err = fmt.Fprintln(d.p.Stdout, v)
	}
	if d.left--; err == nil && d.left == 0 {
		return errDumped
	}
	return err
}

type dumpedBatch struct {
	Base          int64  `json:"base_offset"`
	Last          int64  `json:"last_offset"`
	Records       int32  `json:"records"`
	Bytes         int    `json:"bytes"`
	Epoch         int32  `json:"leader_epoch"`
	Codec         string `json:"codec"`
	MaxTimestamp  int64  `json:"max_timestamp"`
	Producer      int64  `json:"producer_id"`
	ProducerEpoch int16  `json:"producer_epoch"`
	Sequence      int32  `json:"base_sequence"`
	Transactional bool   `json:"transactional"`
	Control       bool   `json:"control"`
}

func (b dumpedBatch) String() string {
	return fmt.Sprintf("%d–%d  %d records  %d bytes  epoch %d  %s  max timestamp %d  producer %d/%d seq %d  transactional %t  control %t",
		b.Base, b.Last, b.Records, b.Bytes, b.Epoch, b.Codec, b.MaxTimestamp, b.Producer, b.ProducerEpoch, b.Sequence, b.Transactional, b.Control)
}

// dumpedRecord holds text as such and other bytes in base64, as JSON does.
type dumpedRecord struct {
	Offset    int64  `json:"offset"`
	Timestamp int64  `json:"timestamp"`
	Control   bool   `json:"control,omitempty"`
	Key       any    `json:"key"`
	Value     any    `json:"value"`
	Headers   []pair `json:"headers,omitempty"`
}

type pair struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func newDumpedRecord(h batch.Header, r batch.Record) dumpedRecord {
	d := dumpedRecord{Offset: r.Offset, Timestamp: r.Timestamp, Control: h.IsControl(), Key: readable(r.Key), Value: readable(r.Value)}
	for _, f := range r.Headers {
		d.Headers = append(d.Headers, pair{f.Key, readable(f.Value)})
	}
	return d
}

func readable(b []byte) any {
	switch {
	case b == nil:
		return nil
	case utf8.Valid(b):
		return string(b)
	}
	return map[string][]byte{"base64": b}
}

func (d dumpedRecord) String() string {
	show := func(v any) string {
		if s, ok := v.(string); ok {
			return strconv.Quote(s)
		}
		if v == nil {
			return "null"
		}
		return fmt.Sprintf("%x", v.(map[string][]byte)["base64"])
	}
	s := fmt.Sprintf("%d  %s  %s  %s", d.Offset, time.UnixMilli(d.Timestamp).UTC().Format(time.RFC3339Nano), show(d.Key), show(d.Value))
	for _, h := range d.Headers {
		s += fmt.Sprintf("  %s=%s", h.Key, show(h.Value))
	}
	return s
}
