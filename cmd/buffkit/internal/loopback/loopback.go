// Package loopback tells which names lead to this machine alone, whoever asks.
package loopback

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Only keeps web pages out of a server without access control: a page's own name can be made to lead to 127.0.0.1 (DNS
// rebinding), and is then the same origin to a browser. Requests whose Host IsName doesn't know go to refuse.
func Only(next, refuse http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if IsName(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		refuse.ServeHTTP(w, r)
	})
}

// IsName tells whether a host, with or without a port, is localhost, a name below it, or a loopback address. Names that
// happen to lead to one aren't.
func IsName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Listens tells whether a listener can be reached from this machine alone.
func Listens(ln net.Listener) bool {
	addr, ok := ln.Addr().(*net.TCPAddr)
	return ok && addr.IP.IsLoopback()
}
