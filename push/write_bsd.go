//go:build unix && !linux

package push

import "syscall"

// writeSocket is write(2) on a socket that doesn't block.
func writeSocket(fd int, p []byte) (int, error) { return syscall.Write(fd, p) }
