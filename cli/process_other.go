//go:build !linux

package cli

import "syscall"

// killWithParent is Linux' alone; elsewhere children end by the parent's clean stop.
func killWithParent(*syscall.SysProcAttr) {}

// machineCPU is not known here.
func machineCPU() (busy, all float64, ok bool) { return 0, 0, false }
