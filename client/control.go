package client

import (
	"encoding/json"
	"time"

	"github.com/buffkit/buffkit/sse"
)

const (
	controlPrefix = "buffkit."

	openName = "buffkit.open"
	gapName  = "buffkit.gap"
	pingName = "buffkit.ping"
	byeName  = "buffkit.bye"
)

// control takes in a control event. What it doesn't know, or can't read, it ignores. It returns an ending for a bye.
func (f *follower) control(e sse.Event) *ending {
	switch e.Name {
	case openName:
		var open struct {
			State     State  `json:"state"`
			Replay    int    `json:"replay"`
			Gaps      []Gap  `json:"gaps"`
			Session   string `json:"session"`
			Heartbeat int64  `json:"heartbeat"`
		}
		if json.Unmarshal(e.Data, &open) != nil {
			return nil
		}
		f.place.trusted = true
		f.place.lost(open.Gaps)
		f.heartbeat = milliseconds(open.Heartbeat)
		if f.opts.OnOpen != nil {
			f.opts.OnOpen(Open{open.State, open.Replay, open.Gaps, open.Session, f.heartbeat})
		}
	case gapName:
		var gap struct {
			Gaps []Gap `json:"gaps"`
		}
		if json.Unmarshal(e.Data, &gap) != nil {
			return nil
		}
		f.place.lost(gap.Gaps)
		if f.opts.OnGap != nil {
			f.opts.OnGap(gap.Gaps)
		}
	case pingName:
		f.backoff.success()
	case byeName:
		bye, _ := parseBye(e.Data)
		if isTokenCode(bye.Code) {
			f.token = ""
		}
		return &ending{err: &ByeError{bye.Code, bye.Message}, told: milliseconds(bye.Retry)}
	}
	return nil
}

// bye is the data of buffkit.bye, and the body of a refusal by status.
type bye struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Retry   int64  `json:"retry"` // milliseconds
}

func parseBye(data []byte) (b bye, ok bool) {
	err := json.Unmarshal(data, &b)
	return b, err == nil
}

// maxTold bounds every time that a server tells. A longer one is a mistake, or meant to keep clients away for good, for which
// there is 204.
const maxTold = 24 * time.Hour

func milliseconds(n int64) time.Duration {
	return time.Duration(min(max(n, 0), maxTold.Milliseconds())) * time.Millisecond
}
