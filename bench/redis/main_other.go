//go:build !linux

// Command redis compares the log on Redis with another. It needs Linux, like bench.
package main

func main() {}
