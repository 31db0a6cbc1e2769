package access

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// MinSecretBytes is the shortest secret accepted: HMAC-SHA256 needs a key as long as its hash (RFC 7518, section 3.2).
const MinSecretBytes = 32

// ErrBadSecret is wrapped by the errors of ParseKeys.
var ErrBadSecret = errors.New("access: bad secret")

// Keys sign and verify access tokens. The methods may be called at the same time.
type Keys struct {
	keys []key // the first signs, all verify
}

type key struct {
	id     string
	secret []byte
}

// NewSecret returns a new random secret: one line of text.
func NewSecret() string {
	secret := make([]byte, MinSecretBytes)
	_, _ = rand.Read(secret) // never fails: crypto/rand ends the program instead
	return base64.RawURLEncoding.EncodeToString(secret)
}

// ParseKeys reads secrets, one a line. The first signs and all verify, so a secret is rotated by putting a new one above it.
// Empty lines and those that start with "#" are skipped.
func ParseKeys(text string) (*Keys, error) {
	var k Keys
	n := 0
	for line := range strings.Lines(text) {
		n++
		secret := strings.TrimSpace(line)
		if secret == "" || strings.HasPrefix(secret, "#") {
			continue
		}
		if len(secret) < MinSecretBytes {
			return nil, fmt.Errorf("%w: line %d has %d bytes, at least %d are needed", ErrBadSecret, n, len(secret), MinSecretBytes)
		}
		next := key{keyID(secret), []byte(secret)}
		if k.find(next.id) != nil {
			return nil, fmt.Errorf("%w: line %d repeats an earlier one", ErrBadSecret, n)
		}
		k.keys = append(k.keys, next)
	}
	if len(k.keys) == 0 {
		return nil, fmt.Errorf("%w: there is none", ErrBadSecret)
	}
	return &k, nil
}

// keyID names a secret without giving anything of it away.
func keyID(secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte("buffkit key id"))
	return hex.EncodeToString(mac.Sum(nil)[:4]) // a handful of secrets need to be told apart, no more
}

func (k *Keys) find(id string) *key {
	for i := range k.keys {
		if k.keys[i].id == id {
			return &k.keys[i]
		}
	}
	return nil
}

// Derived is a key for one other purpose, made of a secret so that neither tells the other.
type Derived struct {
	ID     string
	Secret []byte
}

// Derive returns a key for the purpose from each secret, in their order.
func (k *Keys) Derive(purpose string) ([]Derived, error) {
	derived := make([]Derived, len(k.keys))
	for i, from := range k.keys {
		secret, err := hkdf.Key(sha256.New, from.secret, nil, purpose, sha256.Size)
		if err != nil {
			return nil, fmt.Errorf("derive a key for %q: %w", purpose, err)
		}
		derived[i] = Derived{from.id, secret}
	}
	return derived, nil
}
