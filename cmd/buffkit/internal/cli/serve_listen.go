package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
)

// checkAddr looks whether --addr is one, and with --insecure whether nobody can reach it from another machine.
func (f *serveFlags) checkAddr(ctx context.Context) error {
	host, _, err := f.hostPort()
	if err != nil || !f.insecure {
		return err
	}
	return f.checkLoopback(ctx, host)
}

func (f *serveFlags) hostPort() (host, port string, err error) {
	host, port, err = net.SplitHostPort(f.addr)
	if err != nil {
		return "", "", usagef("--addr %.128q: give HOST:PORT, as in localhost:8080 or :8080", f.addr)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return "", "", usagef("--addr %.128q: %.32q isn't a port: give 0 to 65535", f.addr, port)
	} else if n == 0 {
		port = "0"
	}
	return host, port, nil
}

// listen listens on --addr, with --insecure only if nobody can reach it from another machine.
func (f *serveFlags) listen(ctx context.Context) (net.Listener, error) {
	host, port, err := f.hostPort()
	if err != nil {
		return nil, err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, port))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("port %s is taken: stop what listens on %s, or choose another with --addr (port 0 picks a free one)", port, f.addr)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("port %s is for administrators only: choose one over 1023 with --addr", port)
	case err != nil:
		return nil, fmt.Errorf("--addr %s: %w", f.addr, err)
	}
	if addr := tcpAddr(listener); f.insecure && !addr.IP.IsLoopback() { // the name may have changed its mind
		listener.Close()
		return nil, f.notLoopback(addr.IP)
	}
	return listener, nil
}

// checkLoopback looks at every address that the host leads to.
func (f *serveFlags) checkLoopback(ctx context.Context, host string) error {
	if host == "" {
		return f.notLoopback(net.IPv6unspecified)
	}
	addrs, err := net.DefaultResolver.LookupIPAddr(ctx, host)
	if err != nil {
		return fmt.Errorf("--addr: %w", err)
	}
	for _, addr := range addrs {
		if !addr.IP.IsLoopback() {
			return f.notLoopback(addr.IP)
		}
	}
	return nil
}

func (f *serveFlags) notLoopback(ip net.IP) error {
	where := "every network of this machine"
	if !ip.IsUnspecified() {
		where = ip.String()
	}
	return usagef("--insecure is for loopback addresses, and --addr %s is %s: listen on localhost, or make a secret with\n"+
		"  buffkit token --new-secret --secret-file buffkit.secret\nand serve with --secret-file buffkit.secret", f.addr, where)
}

func tcpAddr(listener net.Listener) *net.TCPAddr { return listener.Addr().(*net.TCPAddr) }

// announce prints where the hub can be reached: the one line of the standard output.
func (a *app) announce(f *serveFlags, listener net.Listener) error {
	addr := tcpAddr(listener)
	host := addr.IP.String()
	if addr.IP.IsUnspecified() {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, strconv.Itoa(addr.Port))
	if f.json {
		return printJSON(a.stdout, struct {
			URL  string `json:"url"`
			Addr string `json:"addr"`
		}{url, addr.String()})
	}
	if addr.IP.IsUnspecified() {
		url += " (and every other address of this machine)"
	}
	_, err := fmt.Fprintf(a.stdout, "buffkit serves %s\n", url)
	return err
}
