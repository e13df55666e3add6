package cli

import "syscall"

// killWithParent makes children end when this process is killed: a drill must not leave brokers behind.
func killWithParent(a *syscall.SysProcAttr) { a.Pdeathsig = syscall.SIGKILL }
