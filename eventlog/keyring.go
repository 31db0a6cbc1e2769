package eventlog

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// KeyBytes is the length of a key that seals: AES-256.
const KeyBytes = 32

// ErrSealed is returned when what is stored can't be opened: its key isn't in the ring, or it was changed, or it isn't sealed at all.
var ErrSealed = errors.New("eventlog: can't open a sealed event")

// Key is a secret that seals events.
type Key struct {
	// ID tells keys apart and stands beside what they seal, readable: 1 to 63 bytes of UTF-8. An ID is never given to another secret.
	ID string
	// Secret is KeyBytes bytes at random, as from "openssl rand 32".
	Secret []byte
}

// KeyRing seals what a Store keeps, so that who reads its disk, its backups or its network finds bodies and conflation keys unreadable.
// Topics, offsets, sizes, times and idempotency keys stay readable.
//
// To rotate, first give all nodes a ring that has the new key behind the old one, then one with the new key in front; drop the old key when
// retention has dropped what it sealed. What no key of the ring opens is a gap for its topic, told as trimmed.
//
// Each record is sealed by AES-256-GCM under a key of its own, derived by HKDF-SHA256 from the secret and 16 random bytes, with the topic as
// associated data. So a record can't be moved to another topic, and a secret may seal more than the 2³² records of bare GCM (NIST SP 800-38D, 8.3).
type KeyRing struct {
	seal Key
	open map[string][]byte
	bare bool
}

// KeyRingOptions of NewKeyRing. The zero value, and nil, mean the defaults.
type KeyRingOptions struct {
	// InsecureAcceptUnsealed lets events through that aren't sealed: those from before a log was given its first key. Who can
	// write to the store can then forge events.
	InsecureAcceptUnsealed bool
}

// NewKeyRing returns a ring that seals with the first key and opens with any. Secrets are copied.
func NewKeyRing(keys []Key, opts *KeyRingOptions) (*KeyRing, error) {
	if len(keys) == 0 {
		return nil, errors.New("eventlog: a key ring needs a key")
	}
	ring := &KeyRing{open: make(map[string][]byte, len(keys)), bare: opts != nil && opts.InsecureAcceptUnsealed}
	for _, k := range keys {
		switch {
		case k.ID == "" || len(k.ID) > maxKeyID || !utf8.ValidString(k.ID):
			return nil, fmt.Errorf("eventlog: the id %.80q of a key isn't 1 to %d bytes of UTF-8", k.ID, maxKeyID)
		case len(k.Secret) != KeyBytes:
			return nil, fmt.Errorf("eventlog: the secret of key %q has %d bytes, and must have %d", k.ID, len(k.Secret), KeyBytes)
		case ring.open[k.ID] != nil:
			return nil, fmt.Errorf("eventlog: two keys have the id %q", k.ID)
		}
		ring.open[k.ID] = slices.Clone(k.Secret)
	}
	ring.seal = Key{ID: keys[0].ID, Secret: ring.open[keys[0].ID]}
	return ring, nil
}

// What is sealed is sealedMark, the length of the key's id and the id, the salt, and the ciphertext of the length of the conflation key, that key, and the body.
const (
	sealedMark = 0xff // begins no UTF-8, so no body
	maxKeyID   = 63
	saltBytes  = 16
)

var noNonce = make([]byte, 12) // each derived key seals once

func (r *KeyRing) sealRecord(record *Record) error {
	head := append([]byte{sealedMark, byte(len(r.seal.ID))}, r.seal.ID...)
	salt := make([]byte, saltBytes)
	rand.Read(salt) // never fails: it ends the process instead
	aead, err := recordCipher(r.seal.Secret, salt)
	if err != nil {
		return err
	}
	plain := make([]byte, 0, 1+len(record.Key)+len(record.Body))
	plain = append(append(append(plain, byte(len(record.Key))), record.Key...), record.Body...)
	sealed := slices.Grow(append(head, salt...), len(plain)+aead.Overhead())
	record.Body, record.Key = aead.Seal(sealed, noNonce, plain, []byte(record.Topic)), ""
	return nil
}

// openRecord puts back the body and the key.
func (r *KeyRing) openRecord(record *Record) error {
	body := record.Body
	if len(body) == 0 || body[0] != sealedMark {
		if r.bare {
			return nil
		}
		return fmt.Errorf("%w: it isn't sealed; if it is from before the log had keys, see InsecureAcceptUnsealed", ErrSealed)
	}
	if len(body) < 2 || len(body) < 2+int(body[1])+saltBytes || body[1] > maxKeyID {
		return fmt.Errorf("%w: it is cut off", ErrSealed)
	}
	id, rest := string(body[2:2+int(body[1])]), body[2+int(body[1]):]
	secret, ok := r.open[id]
	if !ok {
		return fmt.Errorf("%w: its key %q isn't in the ring; put it behind the others", ErrSealed, id)
	}
	aead, err := recordCipher(secret, rest[:saltBytes])
	if err != nil {
		return err
	}
	plain, err := aead.Open(nil, noNonce, rest[saltBytes:], []byte(record.Topic))
	if err != nil || len(plain) == 0 || len(plain) < 1+int(plain[0]) {
		return fmt.Errorf("%w: it was changed, or the secret of key %q is another one", ErrSealed, id)
	}
	end := 1 + int(plain[0]) // a byte would overflow
	record.Key, record.Body = string(plain[1:end]), plain[end:]
	return nil
}

func recordCipher(secret, salt []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, secret, salt, "buffkit record 1", KeyBytes)
	if err != nil {
		return nil, fmt.Errorf("eventlog: derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("eventlog: %w", err)
	}
	return cipher.NewGCM(block)
}
