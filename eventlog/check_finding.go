package eventlog

import (
	"fmt"
	"time"
)

// Level says how bad a Finding is.
type Level string

// The levels of a Finding.
const (
	LevelOK      Level = "ok"      // nothing to do
	LevelWarning Level = "warning" // a risk that may be meant, or slower than it could be
	LevelError   Level = "error"   // events get lost, or the log doesn't work
)

// Finding is one thing that the Check of a backend has looked at.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`         // what was found
	Do    string `json:"do,omitempty"` // what to change, "" with LevelOK
}

// FoundOK returns a Finding of LevelOK.
func FoundOK(what string) Finding { return Finding{Level: LevelOK, What: what} }

// FoundWarning returns a Finding of LevelWarning.
func FoundWarning(what, do string) Finding { return Finding{Level: LevelWarning, What: what, Do: do} }

// FoundError returns a Finding of LevelError.
func FoundError(what, do string) Finding { return Finding{Level: LevelError, What: what, Do: do} }

const (
	clockWarning = time.Second // ages, and the time of an offset, are off by as much
	clockError   = time.Minute // retention and windows aren't what they say
)

// CheckClock judges the clock of a server that said its time between two moments of this machine. What it can't know for sure it doesn't hold
// against the server.
func CheckClock(server, asked, answered time.Time) Finding {
	doubt := answered.Sub(asked) / 2
	distance := server.Sub(asked.Add(doubt))
	what := fmt.Sprintf("the server's clock is %v from this machine's, give or take %v", distance.Round(time.Millisecond), doubt.Round(10*time.Microsecond))
	const do = "run NTP on both: offsets and ages follow the server's clock"
	switch sure := distance.Abs() - doubt; {
	case sure > clockError:
		return FoundError(what, do)
	case sure > clockWarning:
		return FoundWarning(what, do)
	}
	return FoundOK(what)
}
