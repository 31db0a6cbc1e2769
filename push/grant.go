package push

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// AuthorizeFunc decides what a request may read, and as whom. Calls overlap. An error refuses the stream: ErrUnauthorized,
// ErrForbidden and a *Refusal are told to the client and ErrStop ends it for ever; of any other error the client learns only
// that the server is at fault, and the error goes to the log.
type AuthorizeFunc func(r *http.Request) (Grant, error)

// Grant is what one request may read, and as whom.
type Grant struct {
	// User is who reads, "" for nobody in particular. SendUser reaches all streams of a user, and a session is resumed only
	// by its user.
	User string
	// Topics are those that the stream follows. RequestedTopics says what the client asked for; what it gets is decided here.
	Topics []string
	// Slow says what becomes of the stream when its client can't keep up.
	Slow SlowPolicy
	// Expires ends the stream then, with a goodbye; the client reconnects and is authorized anew. Zero: never.
	Expires time.Time
}

// SlowPolicy says what becomes of a client that can't keep up. Whatever it is, nobody waits for the client: a write that
// doesn't finish within Options.WriteTimeout cuts it, and it can resume.
type SlowPolicy int

const (
	// Cut sends every event. A client that is cut resumes where it was.
	Cut SlowPolicy = iota
	// Conflate sends of the events that are due together only the newest of each topic and Key. Events without a
	// Key are all sent.
	Conflate
	// SkipToLatest moves a stream that lies more than Limits.MaxBehind events behind on to the newest event: it is told a gap
	// with the reason slow, and Snapshot heals it.
	SkipToLatest
)

// Public grants the topics to everybody: those of them that the request asks for, all if it asks for none. To ask for
// another topic is refused with ErrForbidden.
func Public(topics ...string) AuthorizeFunc {
	return func(r *http.Request) (Grant, error) {
		asked := RequestedTopics(r)
		if len(asked) == 0 {
			return Grant{Topics: topics}, nil
		}
		for _, topic := range asked {
			if !slices.Contains(topics, topic) {
				return Grant{}, fmt.Errorf("topic %q: %w", topic, ErrForbidden)
			}
		}
		return Grant{Topics: asked}, nil
	}
}

// RequestedTopics returns the values of ?topic=, each once, in their order.
func RequestedTopics(r *http.Request) []string {
	return distinct(r.URL.Query()["topic"])
}

func distinct(topics []string) []string {
	seen := make(map[string]bool, len(topics))
	return slices.DeleteFunc(slices.Clone(topics), func(topic string) bool {
		if seen[topic] {
			return true
		}
		seen[topic] = true
		return false
	})
}

// Reserved topics start with reservedPrefix, so that no grant and no publisher can name them. They are ordinary topics of the log:
// what is sent to a user or a session is kept and replayed like everything else.
const (
	reservedPrefix = "~"
	topicAll       = "~all"
	topicCanary    = "~canary"
	topicUser      = "~user/"
	topicSession   = "~session/"
)

// checkTopic says what is wrong with a name for a topic of the app.
func checkTopic(topic string) error {
	if strings.HasPrefix(topic, reservedPrefix) {
		return fmt.Errorf("%w: %.64q: names that start with %q are reserved; use SendAll, SendUser or SendSession",
			ErrBadTopic, topic, reservedPrefix)
	}
	if err := eventlog.CheckTopic(topic); err != nil {
		return fmt.Errorf("%w: %v", ErrBadTopic, err)
	}
	return nil
}

func (g *Grant) check(limits Limits) error {
	if err := eventlog.CheckTopic(topicUser + g.User); err != nil {
		return fmt.Errorf("push: Grant.User is part of a topic: %w", err)
	}
	g.Topics = distinct(g.Topics)
	if len(g.Topics) > limits.MaxTopics {
		return fmt.Errorf("%w: %d, at most %d", ErrTooManyTopics, len(g.Topics), limits.MaxTopics)
	}
	for _, topic := range g.Topics {
		if err := checkTopic(topic); err != nil {
			return err
		}
	}
	return nil
}
