package access

import (
	"fmt"
	"slices"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// MaxUserBytes bounds a user's name, so that the topic which package push keeps for the user is one.
const MaxUserBytes = eventlog.MaxTopicBytes - len("~user/")

// Grant is what an access token allows, and to whom.
type Grant struct {
	User      string    // "" for nobody in particular
	Subscribe []Pattern // topics it may read
	Publish   []Pattern // topics it may publish to
	Expires   time.Time // zero: never
}

// Everything is the grant of a hub without access control.
var Everything = Grant{Subscribe: []Pattern{{open: true}}, Publish: []Pattern{{open: true}}}

// MayRead tells whether the grant allows to read the topic.
func (g Grant) MayRead(topic string) bool { return matchAny(g.Subscribe, topic) }

// MayPublish tells whether the grant allows to publish to the topic.
func (g Grant) MayPublish(topic string) bool { return matchAny(g.Publish, topic) }

func matchAny(patterns []Pattern, topic string) bool {
	return slices.ContainsFunc(patterns, func(p Pattern) bool { return p.Match(topic) })
}

func checkUser(user string) error {
	if len(user) > MaxUserBytes {
		return fmt.Errorf("user %.64q…: %d bytes, at most %d", user, len(user), MaxUserBytes)
	}
	if user == "" {
		return nil
	}
	if err := eventlog.CheckTopic(user); err != nil { // a user becomes part of a topic's name
		return fmt.Errorf("user %.64q: give UTF-8 without control characters", user)
	}
	return nil
}
