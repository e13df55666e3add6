package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/streamkeeper-io/streamkeeper/test/server"
)

// store is an S3 server, and a client of it that knows nothing of the broker.
type store struct {
	*server.Gateway
	client *minio.Client
}

// startStore keeps the server's connections and writes no log of requests: both would slow bare GETs down.
func startStore(ctx context.Context, binary, dir string) (*store, error) {
	g, err := server.StartGateway(ctx, binary, dir, "--quiet", "--keep-alive")
	if err != nil {
		return nil, err
	}
	s := &store{Gateway: g}
	s.client, err = minio.New(g.Address, &minio.Options{
		Creds: credentials.NewStaticV4(server.AccessKey, server.SecretKey, ""), Region: "us-east-1", BucketLookup: minio.BucketLookupPath,
	})
	if err != nil {
		g.Close()
		return nil, err
	}
	return s, nil
}

// object is one that holds records.
type object struct {
	name string
	size int64
}

// objects are those that hold records, by size.
func (s *store) objects(ctx context.Context) ([]object, error) {
	var all []object
	for info := range s.client.ListObjectsIter(ctx, server.Bucket, minio.ListObjectsOptions{Prefix: "objects/", Recursive: true}) {
		if info.Err != nil {
			return nil, info.Err
		}
		all = append(all, object{info.Key, info.Size})
	}
	slices.SortFunc(all, func(a, b object) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// pull is a number of connections that GET objects.
type pull struct {
	connections int
	rate        float64 // bytes a second, all connections together; 0 = as fast as they come
	piece       int64   // bytes of a GET; 0 = whole objects
}

func (p pull) String() string {
	if p.piece == 0 {
		return fmt.Sprintf("%d connections, whole objects", p.connections)
	}
	return fmt.Sprintf("%d connections, %d MiB a GET", p.connections, p.piece/mib)
}

// part is one GET to do.
type part struct {
	object
	from, to int64
}

// run GETs the objects once, or again and again until ctx ends where there is a rate, and returns bytes a second.
func (p pull) run(ctx context.Context, s *store, objects []object) (float64, error) {
	parts := p.parts(objects)
	var next, got atomic.Int64
	began := time.Now()
	errs := make([]error, p.connections)
	var wg sync.WaitGroup
	for i := range p.connections {
		wg.Go(func() {
			buf := make([]byte, 256*kib)
			for {
				n := int(next.Add(1)) - 1
				if p.rate == 0 && n >= len(parts) || ctx.Err() != nil {
					return
				}
				if errs[i] = p.get(ctx, s, parts[n%len(parts)], buf, began, &got); errs[i] != nil {
					return
				}
			}
		})
	}
	wg.Wait()
	err := errors.Join(errs...)
	if p.rate > 0 && ctx.Err() != nil {
		err = nil // that is how it ends
	}
	return float64(got.Load()) / time.Since(began).Seconds(), err
}

func (p pull) parts(objects []object) (all []part) {
	for _, o := range objects {
		step := p.piece
		if step == 0 {
			step = o.size
		}
		for from := int64(0); from < o.size; from += step {
			all = append(all, part{o, from, min(from+step, o.size)})
		}
	}
	return all
}

func (p pull) get(ctx context.Context, s *store, part part, buf []byte, began time.Time, got *atomic.Int64) error {
	body, err := s.open(ctx, part)
	if err != nil {
		return err
	}
	defer body.Close()
	for {
		n, err := body.Read(buf)
		all := got.Add(int64(n))
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("get %s: %w", part.name, err)
		}
		if p.rate > 0 {
			if err := sleepUntil(ctx, began.Add(time.Duration(float64(all)/p.rate*float64(time.Second)))); err != nil {
				return err
			}
		}
	}
}

// open starts one GET of a part.
func (s *store) open(ctx context.Context, p part) (io.ReadCloser, error) {
	var o minio.GetObjectOptions
	if p.from > 0 || p.to < p.size {
		if err := o.SetRange(p.from, p.to-1); err != nil {
			return nil, err
		}
	}
	body, _, _, err := (&minio.Core{Client: s.client}).GetObject(ctx, server.Bucket, p.name, o)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", p.name, err)
	}
	return body, nil
}

func sleepUntil(ctx context.Context, at time.Time) error {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
