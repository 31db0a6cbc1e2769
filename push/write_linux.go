package push

import (
	"syscall"
	"unsafe"
)

// writeSocket is write(2) on a socket that doesn't block. The scheduler isn't told, as it is by syscall.Write: there is nothing to wait for, and
// for a thousand writes in a row it would ask a thousand times whether somebody else should run here meanwhile.
func writeSocket(fd int, p []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}
