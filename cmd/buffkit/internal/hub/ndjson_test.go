package hub_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/buffkit/buffkit/cmd/buffkit/internal/hub"
	"github.com/buffkit/buffkit/push"
)

func TestABatchIsALineAnEvent(t *testing.T) {
	t.Parallel()
	body := "{\"data\":\"one\"}\n" +
		"\r\n" +
		" {\"data\":\"two\\nlines\",\"event\":\"e\",\"key\":\"k\",\"topic\":\"other\",\"idempotency_key\":\"mine\"}\r\n" +
		"{\"data\":\"\\ud83d\\ude00 \\\\ud800 \ufffd\"}"
	about := push.Event{Topic: "news", Name: "headline", IdempotencyKey: "req"}
	events, lines, err := hub.ParseBatch([]byte(body), about)
	if err != nil {
		t.Fatal(err)
	}
	want := []push.Event{
		{Topic: "news", Name: "headline", Data: []byte("one"), IdempotencyKey: "req/1"},
		{Topic: "other", Name: "e", Key: "k", Data: []byte("two\nlines"), IdempotencyKey: "mine"},
		{Topic: "news", Name: "headline", Data: []byte("😀 \\ud800 \ufffd"), IdempotencyKey: "req/3"},
	}
	if !reflect.DeepEqual(events, want) {
		t.Errorf("got  %q\nwant %q", events, want)
	}
	if !reflect.DeepEqual(lines, []int{1, 3, 4}) {
		t.Errorf("lines %v", lines)
	}
}

func TestABadLineIsNamed(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, line, want string }{
		{"text", `hello`, "isn't a JSON object"},
		{"array", `["hello"]`, "isn't a JSON object"},
		{"null", `null`, "isn't a JSON object"},
		{"cut short", `{"data":"hel`, "isn't a JSON object"},
		{"two objects", `{"data":"a"}{"data":"b"}`, "isn't a JSON object"},
		{"byte order mark", "\ufeff" + `{"data":"a"}`, "isn't a JSON object"},
		{"not UTF-8", "{\"data\":\"\xff\"}", "isn't UTF-8"},
		{"no data", `{"event":"a"}`, `has no "data"`},
		{"data of the wrong case", `{"Data":"a"}`, `unknown member "Data"`},
		{"data null", `{"data":null}`, `"data" isn't a string`},
		{"data an object", `{"data":{"a":1}}`, `"data" isn't a string`},
		{"key a number", `{"data":"a","key":7}`, `"key" isn't a string`},
		{"misspelt member", `{"data":"a","evnt":"b"}`, `unknown member "evnt"`},
		{"half a surrogate pair", `{"data":"\ud83d"}`, "surrogate"},
		{"surrogates in the wrong order", `{"data":"\ude00\ud83d"}`, "surrogate"},
		{"a surrogate and something else", `{"data":"\ud83d\u0041"}`, "surrogate"},
		{"half a pair in a key", `{"data":"a","key":"\udfff"}`, `"key" has half a surrogate`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			body := "{\"data\":\"fine\"}\n\n" + tt.line + "\n"
			_, _, err := hub.ParseBatch([]byte(body), push.Event{Topic: "news"})
			if err == nil || !strings.Contains(err.Error(), "line 3: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want line 3 and %q", err, tt.want)
			}
		})
	}
}

func TestABatchWithoutEventsOrTopicIsRefused(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"":             "empty",
		"\n \r\n":      "empty",
		`{"data":"a"}`: "no topic",
		strings.Repeat("{\"data\":\"\",\"topic\":\"t\"}\n", 10_001): "at most 10000 events",
	} {
		if _, _, err := hub.ParseBatch([]byte(body), push.Event{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40q: got %v, want %q", body, err, want)
		}
	}
}

func FuzzBatch(f *testing.F) {
	for _, seed := range []string{
		"{\"data\":\"a\"}\n{\"data\":\"b\",\"event\":\"e\",\"key\":\"k\",\"topic\":\"t\",\"idempotency_key\":\"i\"}\n",
		`{"data":"\ud83d\ude00"}`, `{"data":"\ud83d"}`, `{"data":"\\ud83d\u0000"}`, "{\"data\":\"\xff\"}", "null\n[]\n{}", "\n\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		events, lines, err := hub.ParseBatch(body, push.Event{Topic: "news", IdempotencyKey: "req"})
		if err != nil {
			return
		}
		all := bytes.Split(body, []byte("\n"))
		for i, event := range events {
			// Another way to read the same line, which replaces what can't be told: there must have been nothing to replace.
			var plain map[string]string
			if err := json.Unmarshal(all[lines[i]-1], &plain); err != nil {
				t.Fatalf("line %d was accepted: %v", lines[i], err)
			}
			if plain["data"] != string(event.Data) {
				t.Fatalf("line %d: data %q became %q", lines[i], plain["data"], event.Data)
			}
			for _, text := range []string{event.Topic, event.Name, event.Key, event.IdempotencyKey, string(event.Data)} {
				if !utf8.ValidString(text) {
					t.Fatalf("line %d: %q isn't UTF-8", lines[i], text)
				}
			}
			if got, want := bytes.Count(all[lines[i]-1], []byte("\ufffd"))+replacements(all[lines[i]-1]), countIn(plain); got < want {
				t.Fatalf("line %d: characters were replaced: %q", lines[i], plain)
			}
			if event.IdempotencyKey == "" && plain["idempotency_key"] == "" {
				t.Fatalf("line %d has no idempotency key, want %s", lines[i], fmt.Sprintf("req/%d", i+1))
			}
		}
	})
}

// replacements counts how often a line spells U+FFFD as an escape.
func replacements(line []byte) int { return bytes.Count(bytes.ToLower(line), []byte(`\ufffd`)) }

func countIn(texts map[string]string) int {
	n := 0
	for name, text := range texts {
		n += strings.Count(name+text, "\ufffd")
	}
	return n
}
