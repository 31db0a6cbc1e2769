package access

import (
	"net/http"
	"strings"
)

// Where a request may carry its access token.
const (
	Cookie = "buffkit_access" // for browsers: EventSource sends it by itself
	Param  = "access_token"   // for an EventSource without a cookie; shows up in the logs of everything on the way
)

// FromRequest returns the request's access token: the one of "Authorization: Bearer", else of ?access_token=, else of the
// cookie; "" if it has none.
func FromRequest(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	if token := r.URL.Query().Get(Param); token != "" {
		return token
	}
	if cookie, err := r.Cookie(Cookie); err == nil {
		return cookie.Value
	}
	return ""
}
