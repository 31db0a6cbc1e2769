//go:build !linux || !amd64

package oracle

import (
	"errors"
	"time"
)

const canSetClock = false

func setClock(time.Duration) error {
	return errors.New("a clock that is behind takes machine code, and there is none for this machine")
}
