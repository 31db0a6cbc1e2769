//go:build unix

package servers

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Server is one that runs.
type Server struct {
	Port int
	Dir  string // its data and socket

	name    string
	command func() *exec.Cmd
	ready   func() error
	stop    syscall.Signal

	mu   sync.Mutex // guards what follows
	cmd  *exec.Cmd
	done chan struct{}
	log  *lockedBuffer
}

// startTime is how long a server may take to answer: an empty one does in a second, on a busy machine in a few.
const startTime = 60 * time.Second

// Option changes how a server is started.
type Option func(*options)

type options struct{ parent string }

// In puts the server's data into a folder of its own within another one, instead of the system's for temporary files. The server is a
// private one then, whatever the environment names.
func In(dir string) Option { return func(o *options) { o.parent = dir } }

func optionsOf(all []Option) (o options) {
	for _, set := range all {
		set(&o)
	}
	return o
}

// given is the server that the environment names, if it may be that one.
func (o options) given(variable string) string {
	if o.parent != "" {
		return ""
	}
	return os.Getenv(variable)
}

func newServer(name string, o options) (*Server, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(o.parent, "buffkit-"+name+"-")
	if err != nil {
		return nil, err
	}
	s := &Server{Port: port, Dir: dir, name: name}
	if id, ok := unprivileged(); ok {
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			return nil, err
		}
	}
	return s, os.Chmod(dir, 0o700)
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// unprivileged returns whom to run as if this is root.
func unprivileged() (*syscall.Credential, bool) {
	if os.Geteuid() != 0 {
		return nil, false
	}
	for _, name := range []string{"nobody", "daemon"} {
		if u, err := user.Lookup(name); err == nil {
			uid, err1 := strconv.Atoi(u.Uid)
			gid, err2 := strconv.Atoi(u.Gid)
			if err1 == nil && err2 == nil {
				return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, true
			}
		}
	}
	return nil, false
}

// program makes a command that runs without rights, in the server's folder.
func (s *Server) program(path string, args ...string) *exec.Cmd {
	cmd := exec.Command(path, args...)
	cmd.Dir = s.Dir
	cmd.Env = append(os.Environ(), "HOME="+s.Dir, "TMPDIR="+s.Dir, "LC_ALL=C")
	cmd.SysProcAttr = processAttributes()
	if id, ok := unprivileged(); ok {
		cmd.SysProcAttr.Credential = id
	}
	return cmd
}

func (s *Server) run(path string, args ...string) error {
	out, err := s.program(path, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", filepath.Base(path), err, out)
	}
	return nil
}

// Start starts a server that was stopped, with the data it had, and waits until it answers.
func (s *Server) Start() error {
	s.mu.Lock()
	s.cmd, s.done, s.log = s.command(), make(chan struct{}), &lockedBuffer{}
	s.cmd.Stdout, s.cmd.Stderr = s.log, s.log
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(startTime)
	for {
		err := s.ready()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-done:
			return fmt.Errorf("%s ended at once:\n%s", s.name, s.log)
		case <-deadline:
			return errors.Join(fmt.Errorf("%s doesn't answer after %v: %w\n%s", s.name, startTime, err, s.log), s.Halt())
		}
	}
}

// Halt stops the server in order and keeps its data.
func (s *Server) Halt() error { return s.end(s.stop) }

// Kill stops the server as a crash does, and keeps its data.
func (s *Server) Kill() error { return s.end(syscall.SIGKILL) }

func (s *Server) end(signal syscall.Signal) error {
	s.mu.Lock()
	cmd, done := s.cmd, s.done
	s.mu.Unlock()
	if cmd == nil || cmd.Process == nil {
		return nil
	}
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-done:
		return nil
	case <-time.After(startTime):
		_ = cmd.Process.Kill()
		<-done
		return fmt.Errorf("%s didn't end on %v", s.name, signal)
	}
}

// Stop stops the server and removes its data.
func (s *Server) Stop() error { return errors.Join(s.Halt(), os.RemoveAll(s.Dir)) }

// Log is what the server has printed since it was started.
func (s *Server) Log() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

// find returns a program that may be off the PATH. Of several the newest version's, by the order of their paths.
func find(name, debianPackage string, patterns ...string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err == nil && len(found) > 0 {
			slices.Sort(found)
			return found[len(found)-1], nil
		}
	}
	return "", fmt.Errorf("%s isn't here. On Debian and Ubuntu: sudo apt-get update && sudo apt-get install -y %s", name, debianPackage)
}

// unpacked returns where ci/unstable.sh has put what it fetched under a name, and the command line that starts a program of it. The root is "" if it
// isn't there.
func unpacked(name, program string) (root string, command []string, err error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", nil, err
	}
	root = filepath.Join(cache, "buffkit", name, "root")
	path := filepath.Join(root, program)
	if _, err := os.Stat(path); err != nil {
		return "", nil, nil
	}
	libraries, err := filepath.Glob(filepath.Join(root, "usr/lib/*-linux-gnu"))
	if err != nil || len(libraries) != 1 {
		return "", nil, fmt.Errorf("%s is damaged: remove it and run ci/%s.sh", root, name)
	}
	loaders, err := filepath.Glob(filepath.Join(libraries[0], "ld-linux*"))
	if err != nil || len(loaders) == 0 {
		return "", nil, fmt.Errorf("%s is damaged: remove it and run ci/%s.sh", root, name)
	}
	// Its C library is newer than the system's, so it comes with its own loader.
	own := libraries[0] + ":" + filepath.Join(libraries[0], name, "private")
	return root, []string{loaders[0], "--library-path", own, path}, nil
}

type lockedBuffer struct {
	mu  sync.Mutex // guards what follows
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// answers connects to the port.
func (s *Server) answers() error {
	conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)), time.Second)
	if err != nil {
		return err
	}
	return conn.Close()
}
