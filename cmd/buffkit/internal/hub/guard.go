package hub

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/rs/cors"
)

// guard stands before the routes: whose pages may call the hub, and under which names.
func (h *Hub) guard(next http.Handler) (http.Handler, error) {
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(h.answer(func(_ http.ResponseWriter, r *http.Request) error {
		return newProblem(http.StatusForbidden, "cross_origin",
			"pages of %.128q may not publish here; allow it with serve --allow-origin", r.Header.Get("Origin"))
	}))
	for _, origin := range h.opts.AllowOrigins {
		if err := checkOrigin(origin); err != nil {
			return nil, err
		}
		if err := csrf.AddTrustedOrigin(origin); err != nil {
			return nil, fmt.Errorf("origin %q: %w", origin, err)
		}
	}
	next = csrf.Handler(next)
	if len(h.opts.AllowOrigins) > 0 {
		next = cors.New(cors.Options{
			AllowedOrigins: h.opts.AllowOrigins,
			AllowedMethods: []string{http.MethodGet, http.MethodPost},
			AllowedHeaders: []string{"Authorization", "Content-Type", "Cache-Control", "Idempotency-Key", "Last-Event-ID",
				"Buffkit-Session", "Buffkit-Client"},
			ExposedHeaders:   []string{"Buffkit-Session", "Retry-After"},
			AllowCredentials: true,
		}).Handler(next)
	}
	if h.keys == nil {
		next = h.onlyLoopbackNames(next)
	}
	return next, nil
}

// checkOrigin refuses what a browser never sends as Origin, which would allow nothing, and "*", which would allow all.
func checkOrigin(origin string) error {
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" || origin != u.Scheme+"://"+u.Host || strings.Contains(origin, "*") ||
		origin != strings.ToLower(origin) || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("origin %q: give scheme and host as a browser sends them, one origin each: https://app.example.com", origin)
	}
	return nil
}

// onlyLoopbackNames keeps web pages out of a hub without access control: a page's own name can be made to lead to
// 127.0.0.1 (DNS rebinding), and is then the same origin to a browser.
func (h *Hub) onlyLoopbackNames(next http.Handler) http.Handler {
	refuse := h.answer(func(_ http.ResponseWriter, r *http.Request) error {
		return newProblem(http.StatusMisdirectedRequest, "misdirected",
			"with --insecure the hub answers to localhost and loopback addresses only, not to %.128q", r.Host)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if loopbackName(r.Host) {
			next.ServeHTTP(w, r)
			return
		}
		refuse.ServeHTTP(w, r)
	})
}

func loopbackName(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(hostport, "["), "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
