//go:build !linux

package broker

import "syscall"

// tcpStateOf knows nothing here: there is no portable TCP_INFO.
func tcpStateOf(syscall.RawConn) (tcpState, bool) { return tcpState{}, false }
