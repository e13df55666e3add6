package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

// disk is what the disk gives without any broker.
type disk struct {
	rate float64        // bytes a second, written in 1 MiB pieces, each followed by fdatasync
	sync load.Quantiles // 4 KiB written over written blocks, then fdatasync
}

// rawDisk measures the disk below dir.
func rawDisk(dir string, syncs int) (d disk, err error) {
	name := filepath.Join(dir, "raw")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return d, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(name)) }()
	const pieces = 256
	piece := make([]byte, mib)
	began := time.Now()
	for range pieces {
		if err := writeSynced(f, piece, -1); err != nil {
			return d, err
		}
	}
	d.rate = pieces * mib / time.Since(began).Seconds()
	for i := range syncs {
		at := time.Now()
		if err := writeSynced(f, piece[:4*kib], int64(i*4*kib)%(pieces*mib)); err != nil {
			return d, err
		}
		d.sync.Add(time.Since(at))
	}
	return d, nil
}

// writeSynced writes at an offset, or at the end where it is negative.
func writeSynced(f *os.File, b []byte, at int64) (err error) {
	if at < 0 {
		_, err = f.Write(b)
	} else {
		_, err = f.WriteAt(b, at)
	}
	if err != nil {
		return err
	}
	return syscall.Fdatasync(int(f.Fd()))
}
