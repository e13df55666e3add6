//go:build !linux

package commitlog

import "errors"

const haveVector = false

func writeVector(uintptr, [][]byte, int64) error { return errors.ErrUnsupported }
