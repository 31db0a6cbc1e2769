package eventlog_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
)

func TestCheckTopic(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		topic string
		ok    bool
	}{
		"plain":                      {"orders", true},
		"with a path and spaces":     {"user/42 of ünïcödé ✓", true},
		"what would be a field":      {"data: x", true},
		"as long as may be":          {strings.Repeat("t", eventlog.MaxTopicBytes), true},
		"longer":                     {strings.Repeat("t", eventlog.MaxTopicBytes+1), false},
		"as long in runes":           {strings.Repeat("✓", eventlog.MaxTopicBytes/3+1), false},
		"empty":                      {"", false},
		"LF":                         {"a\nb", false},
		"CR at the end":              {"a\r", false},
		"NUL":                        {"\x00", false},
		"escape":                     {"\x1b[31m", false},
		"DEL":                        {"a\x7f", false},
		"control of the second page": {"a\u0085", false},
		"not UTF-8":                  {"a\xff", false},
		"half a surrogate pair":      {"\xed\xa0\x80", false},
	} {
		err := eventlog.CheckTopic(tt.topic)
		if (err == nil) != tt.ok || err != nil && !errors.Is(err, eventlog.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEventErrorNamesTheEvent(t *testing.T) {
	t.Parallel()
	log := newMemory(t, nil)
	topic := strings.Repeat("t", 200)
	_, err := log.Append(t.Context(), event("a", "x"), event("b", "x"), event(topic, "\xff"))
	var at *eventlog.EventError
	if !errors.As(err, &at) || !errors.Is(err, eventlog.ErrInvalid) || at.Index != 2 || at.Topic != topic[:64] {
		t.Fatalf("%#v", err)
	}
	if text := err.Error(); !strings.Contains(text, "event 2") || !strings.Contains(text, at.Topic) || strings.Contains(text, topic) {
		t.Errorf("the error says %q", text)
	}
}
