package main

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/streamkeeper-io/streamkeeper/test/load"
)

const (
	rawPiece = mib
	rawFile  = 64 * rawPiece // that single writes go over
)

// rawRate is the bytes a second that the disk below dir takes without any broker: as many as a run writes, in pieces of
// 1 MiB, each followed by fdatasync. A short burst would flatter it.
func rawRate(dir string, bytes int64) (rate float64, err error) {
	err = withFile(dir, func(f *os.File) error {
		piece := make([]byte, rawPiece)
		began := time.Now()
		for range bytes / rawPiece {
			if err := writeSynced(f, piece, -1); err != nil {
				return err
			}
		}
		rate = float64(bytes/rawPiece*rawPiece) / time.Since(began).Seconds()
		return nil
	})
	return rate, err
}

// rawSync times n writes of 4 KiB over blocks that were written before, each followed by fdatasync.
func rawSync(dir string, n int) (q load.Quantiles, err error) {
	err = withFile(dir, func(f *os.File) error {
		if err := writeSynced(f, make([]byte, rawFile), -1); err != nil {
			return err
		}
		piece := make([]byte, 4*kib)
		for i := range n {
			at := time.Now()
			if err := writeSynced(f, piece, int64(i*4*kib)%rawFile); err != nil {
				return err
			}
			q.Add(time.Since(at))
		}
		return nil
	})
	return q, err
}

// withFile lends an empty file.
func withFile(dir string, use func(*os.File) error) error {
	name := filepath.Join(dir, "raw")
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return err
	}
	return errors.Join(use(f), f.Close(), os.Remove(name))
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
