package integration

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// proxy is a program in front of a site.
type proxy struct {
	name, addr string
	folder     string // it may write there
	file       string // of its configuration, in folder
	command    []string
	reload     func(*testing.T) // what its users do when they have changed the configuration
	cmd        *exec.Cmd
}

// freeAddr returns an address that nothing listens on, nor will.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", net.JoinHostPort(ownHost(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return listener.Addr().String()
}

// launch writes the configuration and starts the program; it ends with the test.
func (p *proxy) launch(t *testing.T, conf string) {
	t.Helper()
	p.write(t, p.file, conf)
	p.start(t)
	t.Cleanup(p.kill)
}

func (p *proxy) write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(p.folder, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *proxy) start(t *testing.T) {
	t.Helper()
	p.cmd = p.run(t, p.command...)
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	poll(t, p.name+" listening", func() bool {
		conn, err := net.Dial("tcp", p.addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
}

// run prepares a command that keeps what it writes to the proxy's folder.
func (p *proxy) run(t *testing.T, command ...string) *exec.Cmd {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = p.folder
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // kill reaches its workers
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "HOME=") && !strings.HasPrefix(v, "XDG_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+p.folder)
	return cmd
}

// kill ends it and its workers as a power cut does.
func (p *proxy) kill() {
	syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	p.cmd.Wait() // or somebody has
}

// stop ends it as a service manager does.
func (p *proxy) stop(t *testing.T) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	stuck := time.AfterFunc(patience, p.kill)
	p.cmd.Wait()
	if !stuck.Stop() {
		t.Fatalf("%s doesn't end by SIGTERM within %v", p.name, patience)
	}
}

func (p *proxy) signal(t *testing.T, signal syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}
