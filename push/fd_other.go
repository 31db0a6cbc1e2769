//go:build !unix

package push

import (
	"errors"
	"net"
)

func duplicate(*net.TCPConn) (int, error) { return 0, errors.ErrUnsupported }
func adopt(int) (net.Conn, error)         { return nil, errors.ErrUnsupported }
func writeFD(int32, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func closeFD(int32)                       {}
func isAgain(error) bool                  { return false }
