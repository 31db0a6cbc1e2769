// Package child runs the servers under test in processes of their own, and reads from /proc what they cost.
package child

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/buffkit/buffkit/bench/internal/peer"
)

// Child is a running server.
type Child struct {
	Addr netip.AddrPort
	pids []int

	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	errors *tail
	mu     sync.Mutex // held from an order to its answer
}

const (
	startTimeout = 30 * time.Second // mercure's store takes a second; a busy machine may take ten times as long
	stopTimeout  = 5 * time.Second
)

// Start starts a peer and waits until it listens. Those that aren't programs of
// their own are this one, whose command is "serve".
func Start(p peer.Peer, opts peer.Options) (*Child, error) {
	program, err := "", error(nil)
	if p.Prepare != nil {
		program, err = p.Prepare()
	}
	if program == "" && err == nil {
		program, err = os.Executable()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.Name, err)
	}
	text, err := json.Marshal(opts)
	if err != nil {
		return nil, err
	}
	c := &Child{cmd: exec.Command(program, "serve", p.Name, string(text)), errors: &tail{}}
	c.cmd.Stderr = c.errors
	c.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // an interrupt from the terminal is for the driver, which stops us in order
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(bufio.NewReader(out))
	var ready peer.Ready
	late := time.AfterFunc(startTimeout, c.kill)
	err = c.out.Decode(&ready)
	late.Stop()
	if err == nil {
		c.Addr, err = netip.ParseAddrPort(ready.Addr)
		c.pids = ready.PIDs
	}
	if err != nil {
		c.kill()
		c.cmd.Wait()
		return nil, fmt.Errorf("start %s: %w%s", p.Name, err, c.said())
	}
	return c, nil
}

// Order has an order carried out and waits for the answer. If the context ends first, the server is killed: it can't be told to
// stop in the middle of a publish that hangs.
func (c *Child) Order(ctx context.Context, o peer.Order) (a peer.Answer, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	stop := context.AfterFunc(ctx, c.kill)
	defer stop()
	err = json.NewEncoder(c.in).Encode(o)
	if err == nil {
		err = c.out.Decode(&a)
	}
	if ctx.Err() != nil {
		return a, fmt.Errorf("%s: %w", o.Do, context.Cause(ctx))
	}
	if err != nil {
		return a, fmt.Errorf("%s: %w%s", o.Do, err, c.said())
	}
	if a.Error != "" {
		return a, errors.New(a.Error)
	}
	return a, nil
}

// Stop ends the server. It doesn't wait for an order that is being carried out.
func (c *Child) Stop() {
	c.in.Close()
	late := time.AfterFunc(stopTimeout, c.kill)
	if !c.mu.TryLock() {
		c.kill()
		c.mu.Lock()
	}
	c.cmd.Wait()
	late.Stop()
	c.mu.Unlock()
}

func (c *Child) kill() { syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL) }

// said is what the server wrote to standard error, for an error's text.
func (c *Child) said() string {
	if text := c.errors.String(); text != "" {
		return "; it said:\n" + text
	}
	return ""
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - tailBytes; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.buf, []byte("?"))))
}
