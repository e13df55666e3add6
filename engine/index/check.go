package index

import (
	"encoding/binary"
	"fmt"
)

// Check reads and decodes every row; Pebble checks its blocks' sums on the way.
func (d *DB) Check() (rows int64, err error) {
	err = d.scan(nil, func(k, v []byte) error {
		rows++
		var err error
		switch k[0] {
		case 's':
			_, err = decodeSegment(binary.BigEndian.Uint64(k[1:]), v)
		case 'l':
			_, err = decodeChunk(int64(binary.BigEndian.Uint64(k[5:])), v, nil)
		case 'p':
			_, err = decodeStream(v)
		case 'q':
			_, err = decodeProducer(0, v)
		}
		if err != nil {
			return fmt.Errorf("index row %x: %w", k, err)
		}
		return nil
	})
	return rows, err
}

// Places calls fn for each batch that the index finds in the log, by stream.
func (d *DB) Places(fn func(stream uint32, segment uint64, b Batch) error) error {
	return d.scan([]byte{'l'}, func(k, v []byte) error {
		c, err := decodeChunk(int64(binary.BigEndian.Uint64(k[4:])), v, nil)
		if err != nil {
			return err
		}
		for _, b := range c.batches {
			if err := fn(binary.BigEndian.Uint32(k), c.segment, b); err != nil {
				return err
			}
		}
		return nil
	})
}
