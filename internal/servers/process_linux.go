package servers

import "syscall"

// processAttributes lets the server end with the tests, even when they are killed.
func processAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
}
