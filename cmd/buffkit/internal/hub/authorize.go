package hub

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/access"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

// grant returns what the request may do.
func (h *Hub) grant(r *http.Request) (access.Grant, error) {
	if h.keys == nil {
		return access.Everything, nil
	}
	token := access.FromRequest(r)
	if token == "" {
		return access.Grant{}, fmt.Errorf(`%w: send an access token as "Authorization: Bearer …", ?%s= or the cookie %s`,
			push.ErrUnauthorized, access.Param, access.Cookie)
	}
	return h.keys.Verify(token)
}

// mayRead returns who reads, and the topics asked for if all of them are granted.
func (h *Hub) mayRead(r *http.Request) (access.Grant, []string, error) {
	grant, err := h.grant(r)
	if err != nil {
		return grant, nil, err
	}
	if _, err := url.ParseQuery(r.URL.RawQuery); err != nil { // a topic or a cursor that is passed over would be a silent loss
		return grant, nil, badRequest("the query can't be read: %v", err)
	}
	topics := push.RequestedTopics(r)
	if len(topics) == 0 {
		return grant, nil, newProblem(http.StatusBadRequest, "no_topic", "name at least one topic, as in %s?topic=news", r.URL.Path)
	}
	for _, topic := range topics {
		if err := checkTopic(topic); err != nil {
			return grant, nil, err
		}
		if !grant.MayRead(topic) {
			return grant, nil, fmt.Errorf("%w: the access token doesn't name topic %.64q under subscribe", push.ErrForbidden, topic)
		}
	}
	return grant, topics, nil
}

func mayPublish(grant access.Grant, topic string) error {
	if err := checkTopic(topic); err != nil {
		return err
	}
	if !grant.MayPublish(topic) {
		return newProblem(http.StatusForbidden, "forbidden", "the access token doesn't name topic %.64q under publish", topic)
	}
	return nil
}

// checkTopic comes before the grant is asked, so that a name which can't be granted isn't answered with "get another token".
func checkTopic(topic string) error {
	if strings.HasPrefix(topic, "~") {
		return fmt.Errorf(`%w: %.64q: names that start with "~" are reserved`, push.ErrBadTopic, topic)
	}
	if err := eventlog.CheckTopic(topic); err != nil {
		return fmt.Errorf("%w: %v", push.ErrBadTopic, err)
	}
	return nil
}

// authorizeStream is the broker's AuthorizeFunc. What isn't one of the broker's own refusals becomes one, and
// so does a topic's name that isn't one: the broker wouldn't say what is wrong with it.
func (h *Hub) authorizeStream(r *http.Request) (push.Grant, error) {
	grant, topics, err := h.mayRead(r)
	if query := r.URL.Query(); err == nil && (query.Has("after") || query.Has("since")) { // it would begin elsewhere than was meant
		err = badRequest("a stream takes ?cursor=; ?after= and ?since= are for /history, whose next is a cursor")
	}
	if err == nil {
		return push.Grant{User: grant.User, Topics: topics, Expires: grant.Expires}, nil
	}
	if errors.Is(err, push.ErrUnauthorized) || errors.Is(err, push.ErrForbidden) {
		return push.Grant{}, err
	}
	if p := told(err); p != nil {
		return push.Grant{}, &push.Refusal{Code: p.Code, Message: p.Message, Status: p.status, Retry: h.refusedRetry()}
	}
	return push.Grant{}, err
}

// refusedRetry is how long a client waits that will be refused again unless somebody acts: five times the usual, as the
// broker's own refusals, and not all at the same moment.
func (h *Hub) refusedRetry() time.Duration {
	retry := 5 * or(h.opts.Push.Retry, push.DefaultRetry)
	return retry/2 + rand.N(retry)
}
