package oracle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/buffkit/buffkit/push/pushtest"
)

// member is a node as the test sees it: the process, its address, and the network between it and the server. Who breaks it takes busy first.
type member struct {
	name   string
	addr   string
	config nodeConfig
	proxy  *pushtest.Proxy
	busy   sync.Mutex

	mu    sync.Mutex // guards what follows
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}
	log   tailBuffer
}

// start starts the process. It may take a while until it serves.
func (m *member) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	text, err := json.Marshal(m.config)
	if err != nil {
		return err
	}
	m.cmd, m.done = exec.Command(os.Args[0]), make(chan struct{})
	m.cmd.Env = append(os.Environ(), nodeVar+"="+string(text))
	m.cmd.Stdout, m.cmd.Stderr = &m.log, &m.log
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := m.cmd.Start(); err != nil {
		return err
	}
	go func(cmd *exec.Cmd, done chan struct{}) {
		_ = cmd.Wait()
		close(done)
	}(m.cmd, m.done)
	return nil
}

// signal sends a signal to the process.
func (m *member) signal(s syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("%s: %v: %w", m.name, s, err)
	}
	return nil
}

const stopWithin = 30 * time.Second // a drain, an Append on its way, a server that doesn't answer

// end ends the process by a signal and waits for it.
func (m *member) end(s syscall.Signal) error {
	if err := m.signal(s); err != nil {
		return err
	}
	m.mu.Lock()
	done := m.done
	m.mu.Unlock()
	select {
	case <-done:
		return nil
	case <-time.After(stopWithin):
		err := fmt.Errorf("%s didn't end on %v within %v", m.name, s, stopWithin)
		if s != syscall.SIGKILL {
			err = errors.Join(err, m.end(syscall.SIGKILL))
		}
		return err
	}
}

func (m *member) healthy(ctx context.Context, c *http.Client) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.addr+"/healthz", nil)
	if err != nil {
		return err
	}
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", m.name, text)
	}
	return nil
}

// fleet is all nodes.
type fleet struct {
	members []*member
	http    *http.Client // for publishers
}

const publishPatience = publishWithin + 5*time.Second

// newFleet makes nodes, each behind a proxy to the server at target. They end with the test.
func newFleet(t *testing.T, size int, target string, configOf func(i int, proxy string) nodeConfig) *fleet {
	t.Helper()
	f := &fleet{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}, Timeout: publishPatience}}
	t.Cleanup(f.http.CloseIdleConnections)
	for i := range size {
		m := &member{name: fmt.Sprint("node ", i+1), addr: freeAddr(t), proxy: pushtest.NewProxy(t, target)}
		m.config = configOf(i, m.proxy.Addr)
		m.config.Listen = m.addr
		f.members = append(f.members, m)
		if err := m.start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.end(syscall.SIGKILL); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("the last of what %s has printed:\n%s", m.name, &m.log)
			}
		})
	}
	return f
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// leadTo leads what nodes connect to from now on to another server.
func leadTo(addr string, members ...*member) {
	for _, m := range members {
		m.proxy.SetTarget(addr)
	}
}

// settled waits until all nodes serve and follow the log.
func (f *fleet) settled(ctx context.Context) error {
	for _, m := range f.members {
		if err := again(ctx, func() error { return m.healthy(ctx, f.http) }); err != nil {
			return fmt.Errorf("%s doesn't come back: %w", m.name, err)
		}
	}
	return nil
}

// clocks makes sure that each node's clock is as far behind as it was told, by the dates of its answers.
func (f *fleet) clocks() error {
	for _, m := range f.members {
		asked := time.Now()
		resp, err := f.http.Get("http://" + m.addr + "/healthz")
		if err != nil {
			return err
		}
		resp.Body.Close()
		said, err := http.ParseTime(resp.Header.Get("Date"))
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		if at := said.Add(m.config.Behind); at.Before(asked.Truncate(time.Second)) || at.After(time.Now()) {
			return fmt.Errorf("%s says that it is %v, and it is %v; its clock should be behind by %v", m.name, said, asked, m.config.Behind)
		}
	}
	return nil
}

// setClock tells a node how far its clock shall be behind.
func (f *fleet) setClock(m *member, behind time.Duration) error {
	resp, err := f.http.PostForm("http://"+m.addr+"/clock", url.Values{"behind": {behind.String()}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s sets no clock: %s", m.name, resp.Status)
	}
	return nil
}

// publish asks a node. An error of the network leaves the outcome open, unless the node wasn't reached.
func (f *fleet) publish(ctx context.Context, m *member, o order) answer {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.addr+"/publish", bytes.NewReader(text))
	if err != nil {
		panic(err)
	}
	a := answer{Outcome: unknown}
	resp, err := f.http.Do(req)
	if err == nil {
		defer resp.Body.Close()
		err = json.NewDecoder(resp.Body).Decode(&a)
	}
	if err != nil {
		a = answer{Outcome: unknown, Error: err.Error()}
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		a.Outcome = failed
	}
	if o.Tx && !o.Commit { // whoever didn't answer didn't commit
		a.Outcome = rolledBack
	}
	return a
}

// tailBuffer keeps the last of what is written to it.
type tailBuffer struct {
	mu   sync.Mutex // guards what follows
	text []byte
}

const tailBytes = 8 << 10

func (b *tailBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	if len(b.text) > 2*tailBytes {
		b.text = append([]byte(nil), b.text[len(b.text)-tailBytes:]...)
	}
	return len(p), nil
}

func (b *tailBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}
