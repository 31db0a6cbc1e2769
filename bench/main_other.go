//go:build !linux

// Command bench measures buffkit against its peers. It needs Linux.
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "bench: it needs Linux: the load generator is made of epoll, and the servers' memory and time are read from /proc")
	os.Exit(1)
}
