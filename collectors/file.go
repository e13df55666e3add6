package collectors

import (
	"fmt"
	"io"
	"os"
	"time"
)

// File is a file that is read again when it changed. The zero File was never read.
type File[T any] struct {
	Says T     // when it could be read last
	Err  error // why that is not now

	changed time.Time
	size    int64
}

// Again is the file as it is now, parsed. One of more than most bytes cannot be read.
func (f File[T]) Again(name string, most int, parse func(text []byte) (T, error)) File[T] {
	info, err := os.Stat(name)
	if err != nil {
		f.Err = err
		return f
	}
	if f.changed.Equal(info.ModTime()) && f.size == info.Size() {
		return f
	}
	f.changed, f.size = info.ModTime(), info.Size()
	text, err := readUpTo(name, int64(most)+1)
	if err != nil {
		f.Err = err
		return f
	}
	if len(text) > most {
		f.Err = fmt.Errorf("the file is over %d bytes", most)
		return f
	}
	says, err := parse(text)
	if f.Err = err; err == nil {
		f.Says = says
	}
	return f
}

func readUpTo(name string, most int64) ([]byte, error) {
	in, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return io.ReadAll(io.LimitReader(in, most))
}
