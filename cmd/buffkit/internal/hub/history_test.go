package hub_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
)

func TestAQueryThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	for _, query := range []string{"topic=a&topic=%zz", "topic=a&cursor=%zz", "topic=a&after=%zz", "topic=a;topic=b"} {
		b.do("GET", "/events?"+query, "").want(t, 400, "bad_request", "query")
		b.do("GET", "/history?"+query, "").want(t, 400, "bad_request", "query")
	}
}

func TestHistoryIsReadByThePage(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, nil)
	before := time.Now()
	var want []string
	for i := range 45 {
		data := fmt.Sprintf("<b>%d</b>\nline", i)
		want = append(want, data)
		b.do("POST", "/events?topic="+[]string{"a", "b"}[i%2]+"&event=e&key=k", data)
	}
	b.publish("c", "of another topic")

	var got []string
	pages, after := 0, ""
	for {
		p := b.history("topic=a&topic=b&limit=20&after=" + after)
		if len(p.Events) == 0 {
			break
		}
		pages++
		got = append(got, p.data()...)
		for _, e := range p.Events {
			if e.Event != "e" || e.Key != "k" || e.ID == "" || e.Time.Before(before.Add(-time.Second)) || e.Time.After(time.Now().Add(time.Second)) {
				t.Errorf("event %+v", e)
			}
		}
		after = p.Next
	}
	if pages != 3 || !slices.Equal(got, want) {
		t.Errorf("%d pages, %q", pages, got)
	}
	if p := b.history("topic=a&after=" + after); p.Events == nil || p.Next != after || p.Gaps != nil {
		t.Errorf("the page behind the last one is %+v", p)
	}
}

func TestAPageOfHugeEventsStaysSmall(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, &eventlog.MemoryOptions{Retention: eventlog.Retention{Bytes: -1}})
	for range 40 {
		b.publish("a", strings.Repeat("x", 100_000))
	}
	if p := b.history("topic=a&limit=1000"); len(p.Events) != 16 {
		t.Errorf("%d events of 100 kB in one page", len(p.Events))
	}
}

func TestHistoryTellsGaps(t *testing.T) {
	t.Parallel()
	b := start(t, false, nil, &eventlog.MemoryOptions{Retention: eventlog.Retention{Count: 2}})
	first := b.publish("a", "1")
	for _, data := range []string{"2", "3", "4"} {
		b.publish("a", data)
	}
	b.publish("b", "5")
	epoch, _, _ := strings.Cut(first, ".")
	tests := []struct {
		name, after string
		reason      string
		data        []string
	}{
		{"what is kept", "", "", []string{"3", "4", "5"}},
		{"trimmed", first, "trimmed", []string{"5"}},
		{"another log", "zzzz.1", "other_log", nil},
		{"the future", epoch + ".zzzzzzzzzzz", "rolled_back", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := b.history("topic=a&topic=b&after=" + tt.after)
			if !slices.Equal(p.data(), tt.data) {
				t.Errorf("got %q, want %q", p.data(), tt.data)
			}
			if (tt.reason == "") != (p.Gaps == nil) || p.Gaps != nil && (p.Gaps[0].Topic != "a" || p.Gaps[0].Reason != tt.reason) {
				t.Errorf("gaps %+v, want %q", p.Gaps, tt.reason)
			}
			if p := b.history("topic=a&topic=b&after=" + p.Next); p.Gaps != nil || len(p.Events) > 0 {
				t.Errorf("next leads to %+v", p)
			}
		})
	}
}

func TestAQuestionToHistoryThatIsNone(t *testing.T) {
	t.Parallel()
	b := start(t, false, &hub.Options{Push: push.Options{Limits: push.Limits{MaxTopics: 2}}}, nil)
	tests := []struct{ query, code, text string }{
		{"", "no_topic", "/history?topic=news"},
		{"topic=~all", "bad_request", "reserved"},
		{"topic=a&topic=b&topic=c", "too_many_topics", "at most 2"},
		{"topic=a&after=garbage", "bad_cursor", "?after="},
		{"topic=a&after=" + strings.Repeat("1", 2000), "bad_cursor", "2000 bytes"},
		{"topic=a&since=", "bad_request", "2006-01-02T15:04:05Z"},
		{"topic=a&since=yesterday", "bad_request", "2006-01-02T15:04:05Z"},
		{"topic=a&since=2026-11-21T22:52:50+01:00", "bad_request", "%2B"},
		{"topic=a&since=2026-11-21T22:52:50Z&after=1.0", "bad_request", "not both"},
		{"topic=a&cursor=1.0", "bad_request", "?after="},
		{"topic=a&after=1.0&after=1.1", "bad_request", "?after= once"},
		{"topic=a&since=2026-11-21T22:52:50Z&since=2026-11-21T22:52:51Z", "bad_request", "?since= once"},
		{"topic=a&limit=1&limit=2", "bad_request", "?limit= once"},
		{"topic=a&limit=0", "bad_request", "1 to 1000"},
		{"topic=a&limit=1001", "bad_request", "1 to 1000"},
		{"topic=a&limit=many", "bad_request", "1 to 1000"},
	}
	for _, tt := range tests {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			b.do("GET", "/history?"+tt.query, "").want(t, http.StatusBadRequest, tt.code, tt.text)
		})
	}
}
