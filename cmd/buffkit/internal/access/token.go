package access

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the aud claim of every access token.
const Audience = "buffkit-access"

// MaxTokenBytes bounds a token before it is looked at.
const MaxTokenBytes = 8 << 10 // a header of net/http's clients and most proxies

var (
	// ErrInvalid is returned for a token that no secret of ours has signed, or that isn't one.
	ErrInvalid = errors.New("access: invalid token")
	// ErrExpired is returned for a token that is too old.
	ErrExpired = errors.New("access: token expired")
	// ErrForeign is returned for a token that was signed for another purpose.
	ErrForeign = errors.New("access: token for another purpose")
)

const algorithm = "HS256"

type claims struct {
	jwt.RegisteredClaims
	Topics topics `json:"buffkit"`
}

type topics struct {
	Subscribe []Pattern `json:"subscribe,omitempty"`
	Publish   []Pattern `json:"publish,omitempty"`
}

// Sign returns a token for the grant, which must have an end.
func (k *Keys) Sign(g Grant) (string, error) {
	if g.Expires.IsZero() {
		return "", errors.New("access: a token without an end can't be taken back: give Grant.Expires")
	}
	if err := checkUser(g.User); err != nil {
		return "", fmt.Errorf("access: %w", err)
	}
	token := jwt.NewWithClaims(jwt.GetSigningMethod(algorithm), claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Subject:   g.User,
			Audience:  jwt.ClaimStrings{Audience},
			ExpiresAt: jwt.NewNumericDate(g.Expires),
			IssuedAt:  jwt.NewNumericDate(time.Now()),
		},
		Topics: topics{g.Subscribe, g.Publish},
	})
	token.Header["kid"] = k.keys[0].id
	signed, err := token.SignedString(k.keys[0].secret)
	switch {
	case err != nil:
		return "", fmt.Errorf("access: sign: %w", err)
	case len(signed) > MaxTokenBytes:
		return "", fmt.Errorf("access: the token would have %d bytes, at most %d: grant fewer patterns", len(signed), MaxTokenBytes)
	}
	return signed, nil
}

// Verify returns what a token grants. Errors: ErrInvalid, ErrExpired, ErrForeign.
func (k *Keys) Verify(token string) (Grant, error) {
	if len(token) > MaxTokenBytes {
		return Grant{}, fmt.Errorf("%w: %d bytes, at most %d", ErrInvalid, len(token), MaxTokenBytes)
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, k.keyFor, jwt.WithValidMethods([]string{algorithm}),
		jwt.WithAudience(Audience), jwt.WithExpirationRequired(), jwt.WithStrictDecoding())
	switch {
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return Grant{}, fmt.Errorf("%w: its audience isn't %q", ErrForeign, Audience)
	case errors.Is(err, jwt.ErrTokenExpired):
		return Grant{}, fmt.Errorf("%w at %s", ErrExpired, c.ExpiresAt.UTC().Format(time.RFC3339))
	case err != nil:
		return Grant{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	if err := checkUser(c.Subject); err != nil {
		return Grant{}, fmt.Errorf("%w: %v", ErrInvalid, err)
	}
	return Grant{User: c.Subject, Subscribe: c.Topics.Subscribe, Publish: c.Topics.Publish, Expires: c.ExpiresAt.Time}, nil
}

// keyFor returns the secret that the token names, or all for a token that names none.
func (k *Keys) keyFor(token *jwt.Token) (any, error) {
	id, named := token.Header["kid"]
	if !named {
		var all jwt.VerificationKeySet
		for _, key := range k.keys {
			all.Keys = append(all.Keys, key.secret)
		}
		return all, nil
	}
	text, _ := id.(string)
	key := k.find(text)
	if key == nil {
		return nil, fmt.Errorf("no secret with the key id %.64q", text)
	}
	return key.secret, nil
}
