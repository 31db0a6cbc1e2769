package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/eventlog"
)

// ErrBadPattern is wrapped by the errors of ParsePattern.
var ErrBadPattern = errors.New("access: bad topic pattern")

const (
	wildcard       = "*"
	reservedPrefix = "~" // package push keeps the topics of users and sessions under it
)

// Pattern names topics: "orders" is that topic, "orders/*" every topic below orders/, "*" every topic. A reserved topic,
// one that starts with "~", is never named. The zero Pattern names nothing.
type Pattern struct {
	prefix string // for an exact pattern, the topic
	open   bool   // ends in the wildcard
}

// ParsePattern reads a pattern. A "*" stands alone or after a final "/".
func ParsePattern(text string) (Pattern, error) {
	prefix, open := strings.CutSuffix(text, wildcard)
	switch {
	case strings.HasPrefix(text, reservedPrefix):
		return Pattern{}, fmt.Errorf("%w %.64q: topics that start with %q are reserved and can't be granted",
			ErrBadPattern, text, reservedPrefix)
	case strings.Contains(prefix, wildcard), open && prefix != "" && !strings.HasSuffix(prefix, "/"):
		return Pattern{}, fmt.Errorf(`%w %.64q: a "*" stands alone or after a final "/", as in "orders/*"`, ErrBadPattern, text)
	case text == wildcard:
		return Pattern{open: true}, nil
	}
	if err := eventlog.CheckTopic(prefix); err != nil {
		return Pattern{}, fmt.Errorf("%w %.64q: %v", ErrBadPattern, text, err)
	}
	return Pattern{prefix, open}, nil
}

// Match tells whether the pattern names the topic.
func (p Pattern) Match(topic string) bool {
	switch {
	case topic == "" || strings.HasPrefix(topic, reservedPrefix):
		return false
	case p.open:
		return len(topic) > len(p.prefix) && strings.HasPrefix(topic, p.prefix)
	}
	return topic == p.prefix
}

// String returns the text that ParsePattern reads.
func (p Pattern) String() string {
	if p.open {
		return p.prefix + wildcard
	}
	return p.prefix
}

// MarshalText implements encoding.TextMarshaler.
func (p Pattern) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (p *Pattern) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePattern(string(text))
	return err
}
