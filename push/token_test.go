package push_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

var (
	key1 = push.Key{ID: "1", Secret: bytes.Repeat([]byte{1}, push.MinSecretBytes)}
	key2 = push.Key{ID: "2", Secret: bytes.Repeat([]byte{2}, push.MinSecretBytes)}
)

func TestTokenSaysWhatItWasSignedWith(t *testing.T) {
	t.Parallel()
	for _, user := range []string{"", "ada", "a/b c;\"<é", strings.Repeat("<", 240)} {
		at := eventlog.NewCursor(1<<40-1, 1<<63)
		for partition := range uint32(43) { // as many as a cursor can hold
			at = at.With(partition, 1<<63+eventlog.Offset(partition))
		}
		ring := push.NewKeyring([]push.Key{key1}, time.Hour)
		token, session := ring.Mint(user, 7, at)
		got, err := ring.Open(token)
		if err != nil || got.Session != session || got.User != user || got.Generation != 7 || got.Cursor.String() != at.String() {
			t.Errorf("user %q: got %+v, %v", user, got, err)
		}
		if len(token) > 4096-100 {
			t.Errorf("user %q: the token has %d bytes, which no cookie can carry", user, len(token))
		}
	}
}

func TestTokenOfEachKeyIsTaken(t *testing.T) {
	t.Parallel()
	old, _ := push.NewKeyring([]push.Key{key1}, time.Hour).Mint("ada", 1, eventlog.Cursor{})
	tests := []struct {
		name string
		keys []push.Key
		want error
	}{
		{"that signs", []push.Key{key1}, nil},
		{"that has signed", []push.Key{key2, key1}, nil},
		{"but not of one that was taken away", []push.Key{key2}, push.ErrTokenInvalid},
		{"but not of another with its ID", []push.Key{{ID: key1.ID, Secret: key2.Secret}}, push.ErrTokenInvalid},
		{"but not of a process that has ended", nil, push.ErrTokenInvalid},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := push.NewKeyring(test.keys, time.Hour).Open(old); !errors.Is(err, test.want) {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
}

func TestTokenExpires(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		ring := push.NewKeyring([]push.Key{key1}, time.Hour)
		token, _ := ring.Mint("", 0, eventlog.Cursor{})
		<-time.After(time.Hour - 2*time.Second)
		if _, err := ring.Open(token); err != nil {
			t.Errorf("before its time: %v", err)
		}
		<-time.After(2 * time.Second)
		if _, err := ring.Open(token); !errors.Is(err, push.ErrTokenExpired) || errors.Is(err, push.ErrTokenInvalid) {
			t.Errorf("after its time: %v", err)
		}
	})
}

// Whoever lowers it wants no old token to be good for longer, and the nodes of a fleet are restarted one after the other.
func TestTokenExpiresByTheTTLOfWhoReadsIt(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		long, short := push.NewKeyring([]push.Key{key1}, time.Hour), push.NewKeyring([]push.Key{key1}, time.Minute)
		token, _ := long.Mint("ada", 0, eventlog.Cursor{})
		brief, _ := short.Mint("ada", 0, eventlog.Cursor{})
		<-time.After(time.Minute - 2*time.Second)
		for _, token := range []string{token, brief} {
			if _, err := short.Open(token); err != nil {
				t.Errorf("before its time: %v", err)
			}
		}
		<-time.After(2 * time.Second)
		if _, err := short.Open(token); !errors.Is(err, push.ErrTokenExpired) {
			t.Errorf("after the time of who reads it: %v", err)
		}
		if _, err := long.Open(brief); !errors.Is(err, push.ErrTokenExpired) {
			t.Errorf("after the time of who signed it: %v", err)
		}
		if _, err := long.Open(token); err != nil {
			t.Errorf("before the time of both: %v", err)
		}
	})
}

// signed is a token with the claims of a good one, changed.
func signed(t testing.TB, method jwt.SigningMethod, secret any, change func(header, claims map[string]any)) string {
	t.Helper()
	claims := jwt.MapClaims{
		"jti": base64.RawURLEncoding.EncodeToString(make([]byte, 16)), "sub": "ada", "aud": "buffkit.session",
		"iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix(), "gen": 3,
	}
	token := jwt.NewWithClaims(method, claims)
	token.Header["kid"] = key1.ID
	if change != nil {
		change(token.Header, claims)
	}
	text, err := token.SignedString(secret)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokenIsRefused(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ring := push.NewKeyring([]push.Key{key1, key2}, time.Hour)
	good, _ := ring.Mint("ada", 3, eventlog.NewCursor(5, 6))
	head, rest, _ := strings.Cut(good, ".")
	body, sum, _ := strings.Cut(rest, ".")
	claim := func(name string, value any) string {
		return signed(t, jwt.SigningMethodHS256, key1.Secret, func(_, claims map[string]any) {
			if claims[name] = value; value == nil {
				delete(claims, name)
			}
		})
	}
	header := func(name string, value any) string {
		return signed(t, jwt.SigningMethodHS256, key1.Secret, func(header, _ map[string]any) { header[name] = value })
	}
	if _, err := ring.Open(claim("sub", "ada")); err != nil {
		t.Fatalf("a token that is like ours: %v", err)
	}
	if _, err := ring.Open(header("cty", "more than ours say")); err != nil {
		t.Fatalf("a token with another header: %v", err)
	}
	flip := func(s string) string { return string(s[0]^1) + s[1:] }
	sameBytes := func(s string) string { // 32 bytes are 43 digits, whose last two bits are no part of them
		const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		last := strings.IndexByte(digits, s[len(s)-1])
		return s[:len(s)-1] + string(digits[last^1])
	}
	tests := []struct{ name, token string }{
		{"empty", ""},
		{"not a token", "hello"},
		{"two parts", head + "." + body},
		{"four parts", good + "." + sum},
		{"no signature", head + "." + body + "."},
		{"another signature", head + "." + body + "." + flip(sum)},
		{"the same signature in other digits", head + "." + body + "." + sameBytes(sum)},
		{"a changed body", head + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"gen":9}`)) + "." + sum},
		{"a changed head", flip(head) + "." + rest},
		{"padding", good + "="},
		{"a line end within", good[:len(good)-5] + "\n" + good[len(good)-5:]},
		{"space around", " " + good + " "},
		{"alg none", signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil)},
		{"alg none over our body", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"1"}`)) + "." + body + "."},
		{"another HMAC of the same secret", signed(t, jwt.SigningMethodHS512, key1.Secret, nil)},
		{"a public key's", signed(t, jwt.SigningMethodRS256, rsaKey, nil)},
		{"the secret of another key", signed(t, jwt.SigningMethodHS256, key2.Secret, nil)},
		{"no key", header("kid", "")},
		{"an unknown key", header("kid", "3")},
		{"a key that isn't text", header("kid", 1)},
		{"another audience", claim("aud", "another.thing")},
		{"no audience", claim("aud", nil)},
		{"no end", claim("exp", nil)},
		{"an end that isn't a time", claim("exp", "tomorrow")},
		{"not valid yet", claim("nbf", time.Now().Add(time.Hour).Unix())},
		{"no time of issue", claim("iat", nil)},
		{"no session", claim("jti", nil)},
		{"a session that isn't one", claim("jti", "abc")},
		{"a session with padding", claim("jti", base64.URLEncoding.EncodeToString(make([]byte, 16)))},
		{"a generation below zero", claim("gen", -1)},
		{"a generation too large", claim("gen", uint64(1)<<32)},
		{"a cursor that isn't one", claim("cur", "x y")},
		{"too long", signed(t, jwt.SigningMethodHS256, key1.Secret, func(_, claims map[string]any) { claims["x"] = strings.Repeat("x", 4096) })},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if _, err := ring.Open(test.token); !errors.Is(err, push.ErrTokenInvalid) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestKeysAreChecked(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		keys []push.Key
		say  string // "" if they are good
	}{
		{"none", nil, ""},
		{"two", []push.Key{key1, key2}, ""},
		{"without an ID", []push.Key{key1, {Secret: key2.Secret}}, "Keys[1]: give the key an ID"},
		{"too short", []push.Key{{ID: "1", Secret: key1.Secret[1:]}}, "Keys[0]: secret of 31 bytes"},
		{"an ID twice", []push.Key{key1, {ID: "1", Secret: key2.Secret}}, `Keys[1]: a second key "1"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, err := push.New(push.Public(), &push.Options{Keys: test.keys})
			if err == nil {
				b.Close()
			}
			if (err == nil) != (test.say == "") || err != nil && !strings.Contains(err.Error(), test.say) {
				t.Errorf("got %v, want %q", err, test.say)
			}
		})
	}
}

// No token makes the broker panic or is taken unless a key of ours has signed it.
func FuzzToken(f *testing.F) {
	ring := push.NewKeyring([]push.Key{key1, key2}, time.Hour)
	good := signed(f, jwt.SigningMethodHS256, key1.Secret, func(_, claims map[string]any) {
		claims["exp"] = 4102444800 // in 2100; a fuzzer's workers are processes, and all must make the same token
	})
	f.Add(good)
	f.Add(signed(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil))
	f.Add(signed(f, jwt.SigningMethodHS512, key1.Secret, nil))
	f.Add("")
	f.Add("..")
	f.Add("eyJhbGciOiJIUzI1NiJ9.e30.")
	f.Fuzz(func(t *testing.T, token string) {
		ticket, err := ring.Open(token)
		switch {
		case err == nil && token != good:
			t.Errorf("%q is taken as %+v", token, ticket)
		case err != nil && token == good:
			t.Errorf("the good token: %v", err)
		case err != nil && !errors.Is(err, push.ErrTokenInvalid) && !errors.Is(err, push.ErrTokenExpired):
			t.Errorf("an error without a name: %v", err)
		}
	})
}

func TestTokenIsNotKnownToAnotherBroker(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		one, other := newBroker(t, push.Public("a"), push.Options{}), newBroker(t, push.Public("a"), push.Options{})
		s := connect(t, one, "/", "Buffkit-Client", "test/1")
		refused := connect(t, other, "/", "Buffkit-Client", "test/1", "Buffkit-Session", s.w.sent.Get("Buffkit-Session"))
		synctest.Wait()
		if got := refused.refusal(); got != "401 token_invalid" {
			t.Errorf("got %s", got)
		}
	})
}

// The short way to read claims finds what encoding/json does, or leaves them to it.
func FuzzScanClaims(f *testing.F) {
	ring := push.NewKeyring([]push.Key{key1}, time.Hour)
	for _, user := range []string{"", "ada", `a"b\`, "ünï <&>"} {
		for _, cursor := range []eventlog.Cursor{{}, eventlog.NewCursor(7, 99)} {
			token, _ := ring.Mint(user, 3, cursor)
			text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
			if err != nil {
				f.Fatal(err)
			}
			if _, ok := push.ScanClaims(string(text)); ok != !strings.ContainsAny(user, `"ü`) {
				f.Errorf("user %q: scanned %v: %s", user, ok, text)
			}
			f.Add(string(text))
		}
	}
	f.Add(`{"aud":["buckit.session"],"exp":1,"iat":2,"jti":"x","gen":-1}`)
	f.Add(`{"aud":["buffkit.session"],"exp":01,"iat":+2,"jti":"x","gen":0,"cur":"a"}}`)
	f.Add(`{"sub":"a","sub":"b","aud":["buffkit.session"],"exp":1,"iat":2,"jti":"x","gen":0}`)
	f.Fuzz(func(t *testing.T, text string) {
		got, ok := push.ScanClaims(text)
		if !ok {
			return
		}
		want, err := push.UnmarshalClaims(text)
		if err != nil {
			t.Fatalf("encoding/json refuses %q: %v", text, err)
		}
		if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
			t.Errorf("%q is\n%s, want\n%s", text, g, w)
		}
	})
}
