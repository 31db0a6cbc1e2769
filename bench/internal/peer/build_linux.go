package peer

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
)

const module = "github.com/buffkit/buffkit/bench"

// built returns a Prepare that builds the program in a folder of bench, once. With alone, the folder is a module that isn't in
// the workspace.
func built(name string, alone bool) func() (string, error) {
	return sync.OnceValues(func() (string, error) {
		folder, err := goCommand(".", nil, "list", "-m", "-f", "{{.Dir}}", module)
		if err != nil {
			return "", err
		}
		program := filepath.Join(filepath.Dir(folder), ".cache", "bench", name)
		var env []string
		if alone {
			env = []string{"GOWORK=off"}
		}
		_, err = goCommand(filepath.Join(folder, name), env, "build", "-o", program, ".")
		return program, err
	})
}

func goCommand(folder string, env []string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("not built: go %s in %s: %w: %s", args[0], filepath.Base(folder), err, bytes.TrimSpace(said.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
