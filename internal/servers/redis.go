//go:build unix

package servers

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// RedisServer is a Redis or Valkey server without persistence, unless its arguments say otherwise.
type RedisServer struct {
	*Server
	Addr string
}

// Redis starts a Redis of the system, with further arguments of redis-server.
func Redis(args ...string) (*RedisServer, error) {
	path, err := find("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	return startRedis("redis", []string{path}, args)
}

// Valkey starts the Valkey that ci/valkey.sh has unpacked into the user's cache, or else one that is installed.
func Valkey(args ...string) (*RedisServer, error) {
	root, command, err := unpacked("valkey", "usr/bin/valkey-server")
	if err != nil {
		return nil, err
	}
	if root == "" {
		path, err := exec.LookPath("valkey-server")
		if err != nil {
			return nil, errors.New("there is no Valkey: run ci/valkey.sh, which unpacks one into your cache")
		}
		command = []string{path}
	}
	return startRedis("valkey", command, args)
}

// Redis8 starts the Redis 8 that ci/redis8.sh has unpacked into the user's cache, or else the installed one if it is as new.
func Redis8(args ...string) (*RedisServer, error) {
	root, command, err := unpacked("redis8", "usr/bin/redis-server")
	if err != nil {
		return nil, err
	}
	if root == "" {
		path, err := exec.LookPath("redis-server")
		if err == nil {
			err = isRedis8(path)
		}
		if err != nil {
			return nil, fmt.Errorf("there is no Redis 8: run ci/redis8.sh, which unpacks one into your cache: %w", err)
		}
		command = []string{path}
	}
	return startRedis("redis8", command, args)
}

func isRedis8(path string) error {
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return err
	}
	_, version, _ := strings.Cut(string(out), " v=")
	if major, _, _ := strings.Cut(version, "."); len(major) == 1 && major < "8" {
		return fmt.Errorf("%s is version %s", path, major)
	}
	return nil
}

func startRedis(name string, command, args []string) (*RedisServer, error) {
	s, err := newServer(name, options{})
	if err != nil {
		return nil, err
	}
	all := slices.Concat(command[1:], []string{"--port", strconv.Itoa(s.Port), "--bind", "127.0.0.1", "--dir", s.Dir, "--save", "", "--appendonly", "no",
		"--daemonize", "no", "--repl-diskless-sync-delay", "0"}, args)
	r := &RedisServer{s, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))}
	s.command = func() *exec.Cmd {
		cmd := s.program(command[0], all...)
		if len(command) > 1 {
			cmd.SysProcAttr.Credential = nil // its folder may be one that only this user can read
		}
		return cmd
	}
	s.stop = syscall.SIGTERM
	s.ready = r.pong
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return r, nil
}

// pong tells whether the server has loaded its data. One that wants a password has.
func (r *RedisServer) pong() error {
	answer, err := r.ask("PING")
	if err != nil {
		return err
	}
	if strings.HasPrefix(answer, "-LOADING") {
		return errors.New(answer)
	}
	return nil
}

// ask sends a command and returns the first line of the answer.
func (r *RedisServer) ask(words ...string) (string, error) {
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return "", err
	}
	text := fmt.Sprintf("*%d\r\n", len(words))
	for _, word := range words {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(word), word)
	}
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	return strings.TrimSpace(line), err
}

// Do sends a command whose answer is one line, and returns an error if that is one.
func (r *RedisServer) Do(words ...string) (string, error) {
	answer, err := r.ask(words...)
	if err == nil && strings.HasPrefix(answer, "-") {
		err = errors.New(answer[1:])
	}
	return answer, err
}

// RedisCluster is a Cluster of three masters.
type RedisCluster struct {
	Nodes []*RedisServer
}

// clusterSlots is how many slots a Cluster has.
const clusterSlots = 16384

// NewRedisCluster starts three nodes of Redis and gives each a third of the slots.
func NewRedisCluster() (*RedisCluster, error) {
	c := &RedisCluster{}
	for range 3 {
		bus, err := freePort()
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		node, err := Redis("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-port", strconv.Itoa(bus), "--cluster-node-timeout", "2000")
		if err != nil {
			return nil, errors.Join(err, c.Stop())
		}
		c.Nodes = append(c.Nodes, node)
		if _, err := c.Nodes[0].Do("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.Port), strconv.Itoa(bus)); err != nil {
			return nil, errors.Join(err, c.Stop())
		}
	}
	if err := c.share(); err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return c, nil
}

func (c *RedisCluster) share() error {
	for i, node := range c.Nodes {
		first, end := i*clusterSlots/3, (i+1)*clusterSlots/3
		if _, err := node.Do("CLUSTER", "ADDSLOTSRANGE", strconv.Itoa(first), strconv.Itoa(end-1)); err != nil {
			return err
		}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(startTime); ; <-tick.C {
		missing := slices.IndexFunc(c.Nodes, func(n *RedisServer) bool { return !n.clusterIsWhole() })
		switch {
		case missing < 0:
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("the Redis Cluster isn't whole after %v:\n%s", startTime, c.Nodes[missing].Log())
		}
	}
}

// clusterIsWhole tells whether the node knows of a master for every slot, and of its peers.
func (r *RedisServer) clusterIsWhole() bool {
	info, err := r.Info("CLUSTER", "INFO")
	return err == nil && info["cluster_state"] == "ok" && info["cluster_known_nodes"] == "3" && info["cluster_size"] == "3"
}

// Info sends a command that answers with lines of name:value.
func (r *RedisServer) Info(words ...string) (map[string]string, error) {
	conn, err := net.DialTimeout("tcp", r.Addr, time.Second)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := fmt.Fprintf(conn, "%s\r\n", strings.Join(words, " ")); err != nil {
		return nil, err
	}
	reader := bufio.NewReader(conn)
	var left int
	if _, err := fmt.Fscanf(reader, "$%d\r\n", &left); err != nil {
		return nil, err
	}
	info := map[string]string{}
	for left > 0 {
		line, err := reader.ReadString('\n')
		if err != nil {
			return nil, err
		}
		left -= len(line)
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			info[name] = value
		}
	}
	return info, nil
}

// Addrs returns the addresses of the nodes.
func (c *RedisCluster) Addrs() []string {
	var addrs []string
	for _, node := range c.Nodes {
		addrs = append(addrs, node.Addr)
	}
	return addrs
}

// Stop stops the nodes and removes their data.
func (c *RedisCluster) Stop() error {
	var errs []error
	for _, node := range c.Nodes {
		errs = append(errs, node.Stop())
	}
	return errors.Join(errs...)
}

// RedisSentinel starts a Sentinel that watches a master under a name and needs nobody's agreement for a failover.
func RedisSentinel(name string, master *RedisServer) (*RedisServer, error) {
	path, err := find("redis-server", "redis-server")
	if err != nil {
		return nil, err
	}
	s, err := newServer("sentinel", options{})
	if err != nil {
		return nil, err
	}
	config := filepath.Join(s.Dir, "sentinel.conf")
	text := fmt.Sprintf("port %d\nbind 127.0.0.1\ndir %s\nsentinel monitor %s 127.0.0.1 %d 1\nsentinel down-after-milliseconds %s 500\nsentinel failover-timeout %s 5000\n",
		s.Port, s.Dir, name, master.Port, name, name)
	if err := os.WriteFile(config, []byte(text), 0o644); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	if id, ok := unprivileged(); ok { // it writes what it learns into this file
		if err := os.Chown(config, int(id.Uid), int(id.Gid)); err != nil {
			return nil, errors.Join(err, os.RemoveAll(s.Dir))
		}
	}
	r := &RedisServer{s, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))}
	s.command = func() *exec.Cmd { return s.program(path, config, "--sentinel") }
	s.stop = syscall.SIGTERM
	s.ready = r.pong
	if err := s.Start(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.Dir))
	}
	return r, nil
}
