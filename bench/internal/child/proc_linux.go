package child

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"
)

// Usage is what a server, with all its processes, has taken from the machine.
type Usage struct {
	Memory  int64         // bytes of resident memory; what several processes share counts once
	CPU     time.Duration // user and system time since the start
	Sockets int           // and other open descriptors
}

// Usage reads it from /proc.
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

// tick is the unit of times in /proc: USER_HZ is 100 on all architectures that Go has.
const tick = 10 * time.Millisecond

func usageOf(pid int, shares bool) (u Usage, err error) {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return u, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") ")) // the name before it may contain anything
	fields := bytes.Fields(rest)
	const state, utime, stime = 3, 14, 15 // as proc(5) counts
	if len(fields) <= stime-state {
		return u, fmt.Errorf("%s/stat has %d fields", dir, len(fields))
	}
	for _, field := range []int{utime, stime} {
		n, err := strconv.Atoi(string(fields[field-state]))
		if err != nil {
			return u, err
		}
		u.CPU += time.Duration(n) * tick
	}
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
