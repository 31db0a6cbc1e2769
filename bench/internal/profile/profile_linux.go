// Package profile reads CPU profiles with go tool pprof.
package profile

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
)

// Function is a line of the table: the part of all samples in which a function itself was running, system calls included.
type Function struct {
	Name string
	Flat float64 // 0 to 1
}

// Listed is how many functions a table has.
const Listed = 25

// Top returns the table of pprof's -top for a profile, without what is of one run only. flags filter the samples, but the parts stay
// those of all.
func Top(ctx context.Context, file string, flags ...string) (text string, err error) {
	args := append([]string{"tool", "pprof", "-top", "-nodecount", strconv.Itoa(Listed)}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, file)...)
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("go tool pprof: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	var kept strings.Builder
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "File: ") && !strings.HasPrefix(line, "Build ID: ") && !strings.HasPrefix(line, "Time: ") {
			kept.WriteString(line)
		}
	}
	return kept.String(), nil
}

// Parse reads the functions of a table, in its order.
func Parse(text string) (functions []Function) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		const part, name = 1, 5 // after flat; and flat%, sum%, cum, cum%
		if len(fields) <= name || !strings.HasSuffix(fields[part], "%") {
			continue
		}
		percent, err := strconv.ParseFloat(strings.TrimSuffix(fields[part], "%"), 64)
		if err != nil { // the line of titles
			continue
		}
		functions = append(functions, Function{strings.TrimSuffix(strings.Join(fields[name:], " "), " (inline)"), percent / 100})
	}
	return functions
}

// Syscall tells whether a function is where all system calls of Go are made.
func (f Function) Syscall() bool { return strings.HasSuffix(f.Name, ".Syscall6") }
