package peer

import (
	"net"
	"net/http"
)

// started is a server that listens.
type started struct {
	server
	addr string
	stop func()
}

// listen serves a handler on a free port of this machine, with the defaults of net/http.
func listen(s server, h http.Handler) (*started, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	web := &http.Server{Handler: h}
	go web.Serve(l)
	return &started{server: s, addr: l.Addr().String(), stop: func() { s.close(); web.Close() }}, nil
}
