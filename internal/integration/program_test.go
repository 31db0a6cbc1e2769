package integration

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// binary is the program buffkit, built once, with the race detector if the tests have it.
var binary struct {
	once   sync.Once
	folder string
	err    error
}

func buffkit(t *testing.T) string {
	t.Helper()
	b := &binary
	b.once.Do(func() {
		if b.folder, b.err = os.MkdirTemp("", "buffkit-integration-"); b.err != nil {
			return
		}
		args := []string{"build", "-o", b.folder}
		if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, "github.com/buffkit/buffkit/cmd/buffkit")...).CombinedOutput()
		if err != nil {
			b.err = fmt.Errorf("go build: %w\n%s", err, out)
		}
	})
	if b.err != nil {
		t.Fatal(b.err)
	}
	return filepath.Join(b.folder, "buffkit")
}

func removeBinary() {
	if binary.folder != "" {
		os.RemoveAll(binary.folder)
	}
}

// program is a run of buffkit.
type program struct {
	out, err tape[string] // lines
	in       io.WriteCloser
	cmd      *exec.Cmd
	exited   chan error
}

func run(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.Command(buffkit(t), args...), exited: make(chan error, 1)}
	in, err1 := p.cmd.StdinPipe()
	out, err2 := p.cmd.StdoutPipe()
	stderr, err3 := p.cmd.StderrPipe()
	for _, err := range []error{err1, err2, err3} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.in = in
	var reading sync.WaitGroup
	read := func(from io.Reader, to *tape[string]) {
		for lines := bufio.NewScanner(from); lines.Scan(); {
			to.add(lines.Text())
		}
	}
	reading.Go(func() { read(out, &p.out) })
	reading.Go(func() { read(stderr, &p.err) })
	go func() {
		reading.Wait()
		p.exited <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill(syscall.SIGKILL)
		if t.Failed() {
			t.Logf("buffkit %s said:\n%s", strings.Join(args, " "), lines(p.err.all()))
		}
	})
	return p
}

// kill sends a signal and returns how the program ended.
func (p *program) kill(signal syscall.Signal) error {
	p.cmd.Process.Signal(signal)
	return p.wait()
}

func (p *program) wait() error {
	err := <-p.exited
	p.exited <- err
	return err
}

// awaitLine waits for a line with a text in it and returns the line.
func awaitLine(t *testing.T, from *tape[string], text string) (found string) {
	t.Helper()
	from.await(t, fmt.Sprintf("a line with %q", text), func(lines []string) bool {
		i := slices.IndexFunc(lines, func(line string) bool { return strings.Contains(line, text) })
		if i >= 0 {
			found = lines[i]
		}
		return i >= 0
	})
	return found
}
