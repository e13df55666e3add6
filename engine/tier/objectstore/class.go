package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// ErrExists reports that a put-if-absent found the name taken.
var ErrExists = errors.New("object exists already")

// Class says what kind of answer a store call got. Diagnosis tells a throttling
// store from a dead one by it, so each failure belongs to exactly one class.
type Class string

// The classes of a store call.
const (
	ClassOK        Class = "ok"
	ClassThrottled Class = "throttled" // 429, SlowDown, RequestLimitExceeded: the store asks for less
	ClassDenied    Class = "denied"    // 401, 403, signature, KMS: the store refuses us
	ClassDown      Class = "down"      // other 5xx, connect, DNS, TLS, deadline, torn body
	ClassNotFound  Class = "not_found" // 404 for the object
	ClassOther     Class = "other"     // everything else, such as a full disk or a bad request
)

// Error is a failed store call with its class.
type Error struct {
	Class  Class
	Status int    // HTTP status, 0 if none came back
	Code   string // the store's own error code, such as SlowDown; may be empty
	Err    error
}

// Error returns the cause's text with the status, if there was one.
func (e *Error) Error() string {
	if e.Status != 0 && e.Code != "" {
		return fmt.Sprintf("store answered %d %s: %v", e.Status, e.Code, e.Err)
	}
	return e.Err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Classify returns the class of a store call's error. A nil error is ClassOK,
// an unknown error from outside the store (network, deadline) is ClassDown.
func Classify(err error) Class {
	if err == nil {
		return ClassOK
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Class
	}
	switch {
	case errors.Is(err, ErrExists):
		return ClassOther
	case errors.Is(err, context.Canceled):
		return ClassOther
	case errors.Is(err, fs.ErrNotExist):
		return ClassNotFound
	case errors.Is(err, fs.ErrPermission):
		return ClassDenied
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EROFS):
		return ClassOther
	}
	return ClassDown
}

// Status returns the HTTP status an error carries, 0 if none.
func Status(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}
