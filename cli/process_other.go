//go:build !linux

package cli

import "syscall"

// killWithParent is Linux' alone; elsewhere children end by the parent's clean stop.
func killWithParent(*syscall.SysProcAttr) {}
