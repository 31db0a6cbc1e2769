package push

import (
	"encoding/json"
	"time"

	"github.com/buffkit/buffkit/eventlog"
)

// Keyring signs and verifies session tokens.
type Keyring struct{ ring *keyring }

// Ticket is what a token says.
type Ticket struct {
	Session, User string
	Generation    uint32
	Cursor        eventlog.Cursor
}

func NewKeyring(keys []Key, ttl time.Duration) Keyring { return Keyring{newKeyring(keys, ttl)} }

// Mint signs a token of a new session.
func (k Keyring) Mint(user string, generation uint32, at eventlog.Cursor) (token, session string) {
	id := newSessionID()
	token, err := k.ring.mint(id, user, generation, at)
	if err != nil {
		panic(err)
	}
	return token, id.String()
}

func (k Keyring) Open(token string) (Ticket, error) {
	t, err := k.ring.open(token)
	return Ticket{t.session.String(), t.user, t.generation, t.cursor}, err
}

const MaxReplays = maxReplays

// SessionRecords counts the sessions that are held, the revoked included.
func (b *Broker) SessionRecords() (n int) {
	for range b.sessions.byID.all() {
		n++
	}
	return n
}

// Followers counts the streams in the index of a topic, which may be one of the broker's own.
func (b *Broker) Followers(topic string) (n int) {
	b.streams.mu.RLock()
	defer b.streams.mu.RUnlock()
	for _, f := range b.streams.followers[topic] {
		n += f.a.refs
	}
	return n
}

// Sweep ends sessions as the broker does every second.
func (b *Broker) Sweep() { b.sessions.sweep(b.abandoned) }

// AbandonSession makes a session that was connected once.
func (b *Broker) AbandonSession(user string) {
	s := b.sessions.start(user)
	s.proved(eventlog.NewCursor(1, 1))
	b.sessions.detach(s)
}

// ScanClaims reads claims in the form of mint, and UnmarshalClaims any.
func ScanClaims(text string) (any, bool) {
	c, ok := scanClaims(text)
	return c, ok
}

// UnmarshalClaims is what ScanClaims saves.
func UnmarshalClaims(text string) (any, error) {
	var c claims
	err := json.Unmarshal([]byte(text), &c)
	return c, err
}
