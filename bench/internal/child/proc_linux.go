package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a server, with all its processes, has taken from the machine.
type Usage struct {
	Memory  int64         // bytes of resident memory; what several processes share counts once
	CPU     time.Duration // user and system time since the start
	Sockets int           // and other open descriptors
}

// Usage reads it from /proc and the processes' clocks.
func (c *Child) Usage() (u Usage, err error) {
	for _, pid := range c.pids {
		one, err := usageOf(pid, len(c.pids) > 1)
		if err != nil {
			return u, fmt.Errorf("the server is gone: %w%s", err, c.said())
		}
		u.Memory += one.Memory
		u.CPU += one.CPU
		u.Sockets += one.Sockets
	}
	return u, nil
}

// Self is the usage of this process.
func Self() (Usage, error) { return usageOf(os.Getpid(), false) }

// Machine is what all programs together have taken of the processors since the start of the machine, and what the host took away.
// Interrupts aren't in it: on the loopback they are our own.
func Machine() (time.Duration, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := bytes.Cut(text, []byte("\n"))
	fields := bytes.Fields(line)
	var sum time.Duration
	for _, i := range []int{1, 2, 3, 8} { // user, nice, system, steal; 0 is the name
		if i >= len(fields) {
			return 0, fmt.Errorf("/proc/stat begins with %q", line)
		}
		n, err := strconv.Atoi(string(fields[i]))
		if err != nil {
			return 0, err
		}
		sum += time.Duration(n) * tick
	}
	return sum, nil
}

// Ours is what this process and those that it has started and that have ended took of it.
func Ours() (sum time.Duration, err error) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if err := unix.Getrusage(who, &u); err != nil {
			return 0, err
		}
		sum += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	return sum, nil
}

// tick is the unit of times in /proc: USER_HZ is 100 on all architectures that Go has.
const tick = 10 * time.Millisecond

func usageOf(pid int, shares bool) (u Usage, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	var ts unix.Timespec
	if err := unix.ClockGettime(cpuClock(pid), &ts); err != nil {
		return u, fmt.Errorf("processor time of %d: %w", pid, err)
	}
	u.CPU = time.Duration(ts.Nano())
	if shares {
		u.Memory, err = kilobytes(dir+"/smaps_rollup", "Pss:")
	} else {
		u.Memory, err = kilobytes(dir+"/status", "VmRSS:")
	}
	if err != nil {
		return u, err
	}
	fds, err := os.ReadDir(dir + "/fd")
	u.Sockets = len(fds)
	return u, err
}

// cpuClock is the clock of a process's user and system time, as clock_getcpuclockid(3) makes it: /proc has the same in steps of 10 ms,
// which is too coarse for a short window.
func cpuClock(pid int) int32 {
	const bits, scheduler = 3, 2
	return int32(^pid<<bits | scheduler)
}

// kilobytes finds "name   123 kB" in a file, as bytes.
func kilobytes(file, name string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) == 3 && string(fields[0]) == name {
			n, err := strconv.ParseInt(string(fields[1]), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, name)
}
