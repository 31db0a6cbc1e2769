// Package gobench runs Go benchmarks of the root module as a process of their own, and reads what they say.
package gobench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
)

// Result is a line that a benchmark printed.
type Result struct {
	Name    string             // with its sub-benchmarks, without the number of processors
	Metrics map[string]float64 // by unit: ns/op and those of ReportMetric
}

// ErrNone is returned by Run when no benchmark has the name.
var ErrNone = errors.New("no such benchmark")

// rootModule is where the benchmarks are.
const rootModule = "github.com/buffkit/buffkit"

// Run runs the benchmarks of a package, "./push", that a pattern matches, for the time that -benchtime takes.
func Run(ctx context.Context, folder, pattern, time string) ([]Result, error) {
	root, err := goCommand(ctx, "", "list", "-m", "-f", "{{.Dir}}", rootModule)
	if err != nil {
		return nil, err
	}
	text, err := goCommand(ctx, strings.TrimSpace(root), "test", "-run", "^$", "-bench", pattern, "-benchtime", time, folder)
	if err != nil {
		return nil, err
	}
	results := Parse(text)
	if len(results) == 0 {
		return nil, fmt.Errorf("%w: %s in %s", ErrNone, pattern, folder)
	}
	return results, nil
}

func goCommand(ctx context.Context, folder string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = folder
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the benchmark is a child of go test, and must end with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", fmt.Errorf("go %s: %w: %s%s", args[0], err, bytes.TrimSpace(said.Bytes()), bytes.TrimSpace(out.Bytes()))
	}
	return out.String(), nil
}

var processors = regexp.MustCompile(`-\d+$`)

// Parse reads the lines of benchmarks: name, iterations, and pairs of a value and its unit.
func Parse(text string) (results []Result) {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		const name, iterations, first = 0, 1, 2
		if len(fields) < first || !strings.HasPrefix(fields[name], "Benchmark") {
			continue
		}
		if _, err := strconv.Atoi(fields[iterations]); err != nil {
			continue
		}
		r := Result{Name: processors.ReplaceAllString(fields[name], ""), Metrics: map[string]float64{}}
		for i := first; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				r.Metrics[fields[i+1]] = v
			}
		}
		results = append(results, r)
	}
	return results
}
