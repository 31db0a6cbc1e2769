package eventlog_test

import (
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

func TestCheckClockHoldsNothingInDoubtAgainstTheServer(t *testing.T) {
	t.Parallel()
	asked := time.Now()
	tests := []struct {
		name          string
		ahead, answer time.Duration // of the server's clock, and what it took to answer
		want          eventlog.Level
		says          string
	}{
		{"the same time", 0, 0, eventlog.LevelOK, "0s"},
		{"half a second behind", -500 * time.Millisecond, 0, eventlog.LevelOK, "-500ms"},
		{"two seconds ahead", 2 * time.Second, 2 * time.Millisecond, eventlog.LevelWarning, "2s from this machine's, give or take 1ms"},
		{"two seconds behind", -2 * time.Second, 0, eventlog.LevelWarning, "-2s"},
		{"two seconds ahead, and four to answer", 2 * time.Second, 4 * time.Second, eventlog.LevelOK, "give or take 2s"},
		{"an hour ahead", time.Hour, 0, eventlog.LevelError, "1h0m0s"},
		{"an hour behind", -time.Hour, time.Second, eventlog.LevelError, "-1h0m0s"},
	}
	for _, tt := range tests {
		found := eventlog.CheckClock(asked.Add(tt.answer/2+tt.ahead), asked, asked.Add(tt.answer))
		if found.Level != tt.want || !strings.Contains(found.What, tt.says) || (found.Do == "") != (tt.want == eventlog.LevelOK) {
			t.Errorf("%s: %+v, want %s", tt.name, found, tt.want)
		}
	}
}
