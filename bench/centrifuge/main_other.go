//go:build !linux

// Command centrifuge is a server under test. It needs Linux, like bench.
package main

func main() {}
