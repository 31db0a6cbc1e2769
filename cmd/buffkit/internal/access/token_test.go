package access_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/golang-jwt/jwt/v5"
)

func patterns(t *testing.T, texts ...string) []access.Pattern {
	t.Helper()
	var all []access.Pattern
	for _, text := range texts {
		p, err := access.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

func keys(t *testing.T, secrets ...string) *access.Keys {
	t.Helper()
	k, err := access.ParseKeys(strings.Join(secrets, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func sign(t *testing.T, k *access.Keys, g access.Grant) string {
	t.Helper()
	token, err := k.Sign(g)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func inAnHour() time.Time { return time.Now().Add(time.Hour).Truncate(time.Second) }

func TestATokenCarriesItsGrant(t *testing.T) {
	t.Parallel()
	k := keys(t, access.NewSecret())
	g := access.Grant{User: "ann", Subscribe: patterns(t, "orders/*", "news"), Publish: patterns(t, "orders/*"), Expires: inAnHour()}
	got, err := k.Verify(sign(t, k, g))
	if err != nil {
		t.Fatal(err)
	}
	if got.User != g.User || !got.Expires.Equal(g.Expires) ||
		!slices.Equal(got.Subscribe, g.Subscribe) || !slices.Equal(got.Publish, g.Publish) {
		t.Errorf("got %+v, want %+v", got, g)
	}
	if !got.MayRead("news") || !got.MayRead("orders/7") || got.MayRead("orders") || got.MayPublish("news") {
		t.Errorf("the grant doesn't hold: %+v", got)
	}
}

func TestATokenOfAnotherLanguageIsAccepted(t *testing.T) {
	t.Parallel()
	secret := access.NewSecret()
	// What a JWT library anywhere makes of the documented claims: no kid, the audience as a text or a list.
	for _, aud := range []any{access.Audience, []string{"other", access.Audience}} {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"sub": "ann", "aud": aud, "exp": inAnHour().Unix(),
			"buffkit": map[string]any{"subscribe": []string{"news"}},
		})
		signed, err := token.SignedString([]byte(secret))
		if err != nil {
			t.Fatal(err)
		}
		g, err := keys(t, access.NewSecret(), secret).Verify(signed)
		if err != nil || g.User != "ann" || !g.MayRead("news") || g.MayPublish("news") {
			t.Errorf("aud %v: got %+v, %v", aud, g, err)
		}
	}
}

func TestATokenIsRefused(t *testing.T) {
	t.Parallel()
	secret := access.NewSecret()
	k := keys(t, secret)
	good := sign(t, k, access.Grant{User: "ann", Subscribe: patterns(t, "*"), Expires: inAnHour()})
	part := strings.Split(good, ".")
	signed := func(method jwt.SigningMethod, key any, c jwt.MapClaims, header map[string]any) string {
		token := jwt.NewWithClaims(method, c)
		for name, value := range header {
			token.Header[name] = value
		}
		text, err := token.SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	claims := func(change func(jwt.MapClaims)) jwt.MapClaims {
		c := jwt.MapClaims{
			"sub": "ann", "aud": access.Audience, "exp": inAnHour().Unix(),
			"buffkit": map[string]any{"subscribe": []string{"news"}},
		}
		if change != nil {
			change(c)
		}
		return c
	}
	hs256 := func(change func(jwt.MapClaims)) string {
		return signed(jwt.SigningMethodHS256, []byte(secret), claims(change), nil)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	session, err := k.Derive("session")
	if err != nil {
		t.Fatal(err)
	}
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

	tests := []struct {
		name, token string
		want        error
	}{
		{"empty", "", access.ErrInvalid},
		{"garbage", "garbage", access.ErrInvalid},
		{"dots", strings.Repeat(".", 5000), access.ErrInvalid},
		{"too long", strings.Repeat("a", access.MaxTokenBytes+1), access.ErrInvalid},
		{"signed with another secret", sign(t, keys(t, access.NewSecret()), access.Grant{Expires: inAnHour()}), access.ErrInvalid},
		{"other claims under a good signature", part[0] + "." + raw(`{"aud":"buffkit-access","exp":9999999999}`) + "." + part[2], access.ErrInvalid},
		{"cut short", good[:len(good)-2], access.ErrInvalid},
		{"spelt in another way", good[:len(good)-1] + string(nextDigit(good[len(good)-1])), access.ErrInvalid},
		{"algorithm none", signed(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, claims(nil), nil), access.ErrInvalid},
		{"algorithm HS512", signed(jwt.SigningMethodHS512, []byte(secret), claims(nil), nil), access.ErrInvalid},
		{"algorithm RS256", signed(jwt.SigningMethodRS256, rsaKey, claims(nil), nil), access.ErrInvalid},
		{"unknown kid", signed(jwt.SigningMethodHS256, []byte(secret), claims(nil), map[string]any{"kid": "00000000"}), access.ErrInvalid},
		{"kid that is no text", signed(jwt.SigningMethodHS256, []byte(secret), claims(nil), map[string]any{"kid": 7}), access.ErrInvalid},
		{"expired", hs256(func(c jwt.MapClaims) { c["exp"] = time.Now().Add(-time.Second).Unix() }), access.ErrExpired},
		{"without an end", hs256(func(c jwt.MapClaims) { delete(c, "exp") }), access.ErrInvalid},
		{"not valid yet", hs256(func(c jwt.MapClaims) { c["nbf"] = inAnHour().Unix() }), access.ErrInvalid},
		{"for another purpose", hs256(func(c jwt.MapClaims) { c["aud"] = "buffkit-session" }), access.ErrForeign},
		{"without a purpose", hs256(func(c jwt.MapClaims) { delete(c, "aud") }), access.ErrInvalid},
		{"of a session", signed(jwt.SigningMethodHS256, session[0].Secret, claims(nil), nil), access.ErrInvalid},
		{"reserved topic", hs256(func(c jwt.MapClaims) { c["buffkit"] = map[string]any{"subscribe": []string{"~user/bob"}} }), access.ErrInvalid},
		{"pattern that isn't one", hs256(func(c jwt.MapClaims) { c["buffkit"] = map[string]any{"subscribe": []string{"a*"}} }), access.ErrInvalid},
		{"grant that isn't one", hs256(func(c jwt.MapClaims) { c["buffkit"] = "everything" }), access.ErrInvalid},
		{"user with a line end", hs256(func(c jwt.MapClaims) { c["sub"] = "ann\n" }), access.ErrInvalid},
		{"endless user", hs256(func(c jwt.MapClaims) { c["sub"] = strings.Repeat("a", access.MaxUserBytes+1) }), access.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if g, err := k.Verify(tt.token); !errors.Is(err, tt.want) {
				t.Errorf("got %+v, %v; want %v", g, err, tt.want)
			}
		})
	}
}

// nextDigit is the base64 digit after one that ends a signature: only bits that don't count differ.
func nextDigit(digit byte) byte {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return digits[strings.IndexByte(digits, digit)+1]
}

func TestASecretIsRotated(t *testing.T) {
	t.Parallel()
	older, newer := access.NewSecret(), access.NewSecret()
	before := keys(t, older)
	both := keys(t, "# since spring", newer, "", older)
	after := keys(t, newer)
	g := access.Grant{User: "ann", Expires: inAnHour()}

	if _, err := both.Verify(sign(t, before, g)); err != nil {
		t.Errorf("a token of the old secret during the rotation: %v", err)
	}
	if _, err := after.Verify(sign(t, both, g)); err != nil {
		t.Errorf("a token made during the rotation, after it: %v", err)
	}
	if _, err := after.Verify(sign(t, before, g)); !errors.Is(err, access.ErrInvalid) {
		t.Errorf("a token of the old secret after the rotation: %v; want ErrInvalid", err)
	}
}

func TestASecretThatProtectsNothingIsRefused(t *testing.T) {
	t.Parallel()
	secret := access.NewSecret()
	for name, text := range map[string]string{
		"none": "", "only a comment": "# " + secret, "short": "hunter2", "repeated": secret + "\n" + secret,
	} {
		if _, err := access.ParseKeys(text); !errors.Is(err, access.ErrBadSecret) {
			t.Errorf("%s: %v; want ErrBadSecret", name, err)
		}
	}
}

func TestDerivedKeysTellNothingOfEachOther(t *testing.T) {
	t.Parallel()
	k := keys(t, access.NewSecret(), access.NewSecret())
	a, err1 := k.Derive("a")
	b, err2 := k.Derive("b")
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if len(a) != 2 || len(b) != 2 || a[0].ID != b[0].ID || a[0].ID == a[1].ID {
		t.Errorf("ids %v, %v: want one for each secret", a, b)
	}
	if slices.Equal(a[0].Secret, b[0].Secret) || slices.Equal(a[0].Secret, a[1].Secret) {
		t.Error("two purposes or two secrets share a key")
	}
}

func TestATokenThatCantBeTakenBackIsNotMade(t *testing.T) {
	t.Parallel()
	k := keys(t, access.NewSecret())
	many := make([]access.Pattern, 1000)
	for i := range many {
		many[i] = patterns(t, "some/longer/prefix/*")[0]
	}
	for name, g := range map[string]access.Grant{
		"no end":       {User: "ann"},
		"bad user":     {User: "a\x00", Expires: inAnHour()},
		"endless list": {Subscribe: many, Expires: inAnHour()},
	} {
		if token, err := k.Sign(g); err == nil {
			t.Errorf("%s: made %.40s…", name, token)
		}
	}
}

func TestWhereARequestCarriesItsToken(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, header, query, cookie, want string }{
		{"header", "Bearer h", "", "", "h"},
		{"header in small letters", "bearer h", "", "", "h"},
		{"header before the others", "Bearer h", "q", "c", "h"},
		{"query before cookie", "", "q", "c", "q"},
		{"cookie", "", "", "c", "c"},
		{"header of another scheme", "Basic abc", "q", "", "q"},
		{"nowhere", "", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("GET", "/events?access_token="+tt.query, nil)
			if tt.header != "" {
				r.Header.Set("Authorization", tt.header)
			}
			if tt.cookie != "" {
				r.Header.Set("Cookie", access.Cookie+"="+tt.cookie)
			}
			if got := access.FromRequest(r); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func FuzzVerify(f *testing.F) {
	k, err := access.ParseKeys(access.NewSecret())
	if err != nil {
		f.Fatal(err)
	}
	f.Add("a.b.c")
	f.Add("eyJhbGciOiJub25lIn0.eyJhdWQiOiJidWZma2l0LWFjY2VzcyJ9.")
	f.Fuzz(func(t *testing.T, token string) {
		if g, err := k.Verify(token); err == nil {
			t.Fatalf("a token that nobody signed grants %+v", g)
		}
	})
}
