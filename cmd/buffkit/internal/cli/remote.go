package cli

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

const defaultURL = "http://" + defaultAddr

// remote is the hub that publish and subscribe talk to.
type remote struct {
	url, token string
}

func (r *remote) define(cmd *cobra.Command) {
	cmd.Flags().StringVar(&r.url, "url", "", "the hub (default $BUFFKIT_URL, else "+defaultURL+")")
	cmd.Flags().StringVar(&r.token, "token", "", "access token (default $BUFFKIT_TOKEN, which doesn't show up in ps)")
}

// events returns the URL of /events with the query. A base path in front of it is kept, so that a proxy may add one.
func (r *remote) events(query url.Values) (string, error) {
	text := cmp.Or(r.url, os.Getenv("BUFFKIT_URL"), defaultURL)
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return "", usagef("the hub's URL %.128q isn't one: give scheme, host and port, as in %s", text, defaultURL)
	}
	if u.RawQuery != "" || u.Fragment != "" {
		return "", usagef("the hub's URL %.128q has a query: give only the address, and topics with --topic", u.Redacted())
	}
	if !strings.HasSuffix(strings.TrimSuffix(u.Path, "/"), "/events") {
		u = u.JoinPath("events")
	}
	u.RawQuery = query.Encode()
	return u.String(), nil
}

// reason is an error of the network without the request, which the user knows.
func reason(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return err
}

// header returns what every request carries.
func (r *remote) header() (http.Header, error) {
	header := http.Header{}
	if token := cmp.Or(r.token, strings.TrimSpace(os.Getenv("BUFFKIT_TOKEN"))); token != "" {
		if strings.ContainsFunc(token, func(c rune) bool { return c <= ' ' || c > '~' }) {
			return nil, usagef("the access token has characters that no token has: check --token and $BUFFKIT_TOKEN")
		}
		header.Set("Authorization", "Bearer "+token)
	}
	return header, nil
}
