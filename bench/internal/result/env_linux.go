// Package result keeps what was measured, and makes tables of it. Figures of different machines or commits never stand in
// one table.
package result

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Env is where and of what something was measured. Two figures may be compared if their Envs are equal.
type Env struct {
	Commit  string `json:"commit"`  // with "+" if there were changes that aren't committed
	Machine string `json:"machine"` // a few digits that tell machines of the same kind apart
	CPU     string `json:"cpu"`
	Cores   int    `json:"cores"`
	Memory  string `json:"memory"`
	Kernel  string `json:"kernel"`
	Go      string `json:"go"`
}

// measured is all that figures are of: not the figures themselves.
var measured = []string{":/", ":(top,exclude)bench/RESULTS.md", ":(top,exclude)bench/results", ":(top,exclude)bench/plots"}

// Here returns the Env of this process, with the last commit of the checkout that it stands in that changed more than results: results can be
// committed, and a run goes on where it was.
func Here() (Env, error) {
	e := Env{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: "unknown"}
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return e, fmt.Errorf("uname: %w", err)
	}
	e.Kernel = unix.ByteSliceToString(u.Release[:])
	if name := fieldOf("/proc/cpuinfo", "model name"); name != "" {
		e.CPU = name
	}
	kilobytes, _ := strconv.Atoi(strings.TrimSuffix(fieldOf("/proc/meminfo", "MemTotal"), " kB"))
	e.Memory = fmt.Sprintf("%d GB", (kilobytes+1<<19)>>20)
	id, _ := os.ReadFile("/etc/machine-id") // without one, machines of the same kind look the same
	sum := sha256.Sum256(append(id, e.CPU+e.Memory...))
	e.Machine = hex.EncodeToString(sum[:3])
	commit, err := git(append([]string{"log", "-1", "--abbrev=12", "--format=%h", "--"}, measured...)...)
	if err != nil {
		return e, err
	}
	changes, err := git(append([]string{"status", "--porcelain", "--"}, measured...)...)
	if err != nil {
		return e, err
	}
	if e.Commit = commit; changes != "" {
		e.Commit += "+"
	}
	return e, nil
}

func git(args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	var errors bytes.Buffer
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w: %s: run it in a checkout, for the figures need the commit they are of",
			args[0], err, bytes.TrimSpace(errors.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}

// fieldOf finds "name : value" in a file.
func fieldOf(file, name string) string {
	text, _ := os.ReadFile(file)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Reusable tells whether figures of this Env may be kept for the next run: what isn't committed may have changed since.
func (e Env) Reusable() bool { return !strings.HasSuffix(e.Commit, "+") }

func (e Env) String() string {
	if e.Machine == "" {
		return e.Commit
	}
	return fmt.Sprintf("commit %s; %s, %d cores, %s (machine %s); Linux %s, %s",
		e.Commit, e.CPU, e.Cores, e.Memory, e.Machine, e.Kernel, e.Go)
}
