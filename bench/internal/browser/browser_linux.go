// Package browser has Chromium read an event stream: what is understood by our own decoder isn't always understood by a browser's.
package browser

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

var names = []string{"chromium", "chromium-browser", "google-chrome"}

// There tells whether there is one.
func There() bool {
	_, err := find()
	return err == nil
}

func find() (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("not installed: one of " + strings.Join(names, ", ") + " is needed")
}

// timeout is for a browser to start and read.
const timeout = 30 * time.Second

// quiet is how long the page waits for more when it has had something.
const quiet = time.Second

// page opens the stream, tells when it is open, counts messages whose data comes whole, and tells how many there were.
const page = `<!doctype html><title>bench</title><script>
let got = 0, late
const source = new EventSource(%q)
const tell = () => { source.close(); fetch("/bench-done?got=" + got, {method: "POST"}) }
source.onopen = () => fetch("/bench-open", {method: "POST"})
source.onmessage = e => {
	if (!e.data.startsWith("<article ") || !e.data.endsWith("</article>")) return
	got++
	clearTimeout(late)
	if (got === %d) tell(); else late = setTimeout(tell, %d)
}
</script>`

// Read opens a page with an EventSource for a path of a server, through a proxy that passes bytes on as they are: the page and the stream
// must have one origin. It calls publish when the stream is open, and returns how many HTML fragments the page got of those it was to get.
func Read(ctx context.Context, server, path string, want int, publish func(context.Context) error) (got int, err error) {
	program, err := find()
	if err != nil {
		return 0, err
	}
	target, err := url.Parse(server)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("it told nothing for %v", timeout))
	defer cancel()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	opened, done := make(chan struct{}, 1), make(chan int, 1)
	web := &http.Server{Handler: handler(target, path, want, opened, done)}
	go web.Serve(listener)
	defer web.Close()
	stop, err := start(program, "http://"+listener.Addr().String()+"/bench-page")
	if err != nil {
		return 0, err
	}
	defer stop()
	select {
	case <-opened:
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
	if err := publish(ctx); err != nil {
		return 0, err
	}
	select {
	case got := <-done:
		return got, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

func handler(target *url.URL, path string, want int, opened chan<- struct{}, done chan<- int) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /bench-page", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, page, path, want, quiet.Milliseconds())
	})
	mux.HandleFunc("POST /bench-open", func(http.ResponseWriter, *http.Request) {
		select {
		case opened <- struct{}{}:
		default: // it opened again
		}
	})
	mux.HandleFunc("POST /bench-done", func(_ http.ResponseWriter, r *http.Request) {
		n, _ := strconv.Atoi(r.URL.Query().Get("got"))
		select {
		case done <- n:
		default:
		}
	})
	mux.Handle("/", &httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport:     &http.Transport{DisableCompression: true}, // what the browser asks for is passed on
		FlushInterval: -1,
	})
	return mux
}

// start starts a browser with a profile of its own. stop ends it and waits.
func start(program, url string) (stop func(), err error) {
	dir, err := os.MkdirTemp("", "bench-browser-*")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--user-data-dir="+dir, url)
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) // its children's time counts as ours, not as that of other programs
	if err := cmd.Start(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return func() {
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		cmd.Wait()
		for {
			if _, err := unix.Wait4(-cmd.Process.Pid, nil, 0, nil); err != nil && err != unix.EINTR {
				break // there are no more
			}
		}
		os.RemoveAll(dir)
	}, nil
}
