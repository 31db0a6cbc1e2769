package peer

import (
	"net"
	"net/http"
)

// Started is a server that listens.
type Started struct {
	Server
	addr string
	stop func()
}

// Listen serves a handler on a free port of this machine, with the defaults of net/http.
func Listen(s Server, h http.Handler) (*Started, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	web := &http.Server{Handler: h}
	go web.Serve(l)
	return &Started{Server: s, addr: l.Addr().String(), stop: func() { s.Close(); web.Close() }}, nil
}
