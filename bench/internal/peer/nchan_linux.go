package peer

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var nchanPeer = Peer{
	Name: "nchan", Title: "nchan 1.3.6 in nginx", Resumes: true, Pace: 91e3,
	Prepare: prepareNchan,
	request: func(a Asking) string {
		r := "/events?topic=" + strings.Join(a.Topics, ",") + "\r\n"
		if len(a.LastID) > 0 {
			r += "Last-Event-ID: " + string(a.LastID) + "\r\n"
		}
		return r
	},
	start: startNchan,
}

// Where Debian puts the module.
const nchanModule = "/usr/lib/nginx/modules/ngx_nchan_module.so"

// unpacked is where needs.sh unpacks what isn't installed.
func unpacked(path string) string {
	cache, _ := os.UserCacheDir()
	return filepath.Join(cache, "buffkit", "nchan", path)
}

// nchanFiles finds the program and the module.
func nchanFiles() (program, module string, err error) {
	for _, at := range []func(string) string{func(path string) string { return path }, unpacked} {
		program, module = at("/usr/sbin/nginx"), at(nchanModule)
		_, err1 := os.Stat(program)
		_, err2 := os.Stat(module)
		if err = errors.Join(err1, err2); err == nil {
			return program, module, nil
		}
	}
	return "", "", err
}

func prepareNchan() (string, error) {
	if _, _, err := nchanFiles(); err != nil {
		return "", errors.New("not installed: run bench/needs.sh, or apt-get install nginx libnginx-mod-nchan")
	}
	return "", nil
}

// A worker for each processor; all that is kept fits into the shared memory.
const nchanConfig = `
load_module %s;
daemon off;
%s
worker_processes %d;
worker_rlimit_nofile 20000;
pid nginx.pid;
error_log stderr error;
events { worker_connections 19900; }
http {
	access_log off;
	client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
	keepalive_requests 1000000000;
	client_max_body_size 2m;
	nchan_shared_memory_size %dm;
	server {
		listen 127.0.0.1:%d backlog=4096;
		location = /publish {
			nchan_publisher;
			nchan_channel_id $arg_topic;
			nchan_message_buffer_length %d;
			nchan_message_timeout 1h;
		}
		location = /events {
			nchan_subscriber eventsource;
			nchan_channel_id $arg_topic;
			nchan_channel_id_split_delimiter ",";
			nchan_subscriber_first_message newest;
		}
	}
}
`

// nchan publishes by HTTP, since there is no other way: one request after the other on one connection.
type nchan struct {
	cmd  *exec.Cmd
	dir  string
	conn net.Conn
	in   *bufio.Reader
	addr string
	once sync.Once
}

func startNchan(o Options) (*Started, error) {
	program, module, err := nchanFiles()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	n := &nchan{addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}
	if n.dir, err = os.MkdirTemp("", "bench-nchan-*"); err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the folder is ours alone
	}
	memory := 64 + (2*o.Events*(o.Size+nchanMessage)+o.Topics*nchanChannel)>>20
	config := fmt.Sprintf(nchanConfig, module, user, runtime.NumCPU(), memory, port, max(1, o.History))
	if err := os.WriteFile(filepath.Join(n.dir, "nginx.conf"), []byte(config), 0o600); err != nil {
		return nil, err
	}
	n.cmd = exec.Command(program, "-p", n.dir, "-c", "nginx.conf", "-e", "stderr")
	n.cmd.Stderr = os.Stderr
	if err := n.cmd.Start(); err != nil {
		return nil, err
	}
	if err := n.dial(); err != nil {
		n.Close()
		return nil, err
	}
	return &Started{Server: n, addr: n.addr, stop: n.Close}, nil
}

// Bytes of shared memory, generously: for a message besides its text, and for a channel.
const (
	nchanMessage = 500
	nchanChannel = 4 << 10
)

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// dial waits until nginx listens.
func (n *nchan) dial() (err error) {
	for range 100 {
		if n.conn, err = net.Dial("tcp4", n.addr); err == nil {
			n.in = bufio.NewReader(n.conn)
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("nginx doesn't listen: %w", err)
}

// PIDs are those of the master and its workers.
func (n *nchan) PIDs() []int {
	master := n.cmd.Process.Pid
	all := []int{master}
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", master, master))
	for _, word := range strings.Fields(string(text)) {
		if pid, err := strconv.Atoi(word); err == nil {
			all = append(all, pid)
		}
	}
	return all
}

func (n *nchan) Publish(topic int, payload []byte) error {
	_, err := fmt.Fprintf(n.conn, "POST /publish?topic=%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s",
		url.QueryEscape(Topic(topic)), len(payload), payload)
	if err != nil {
		return err
	}
	answer, err := http.ReadResponse(n.in, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, answer.Body)
	if answer.StatusCode >= 300 {
		return fmt.Errorf("nchan answered %s", answer.Status)
	}
	return nil
}

func (n *nchan) Close() {
	n.once.Do(func() {
		n.cmd.Process.Signal(syscall.SIGTERM)
		n.cmd.Wait()
		os.RemoveAll(n.dir)
	})
}
