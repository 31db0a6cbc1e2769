package hub

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/buffkit/buffkit/push"
)

// maxBatchEvents bounds a batch: an event takes a few hundred bytes here, however short its line.
const maxBatchEvents = 10_000 // what the log keeps of a topic by default

// keySeparator stands between a batch's idempotency key and the number of the event. It is in no key that anybody gives: net/http
// refuses a header with a control character, and parseLine such a member. Not NUL, which SQL databases don't keep as text.
const keySeparator = "\x1f"

// batch is a body of NDJSON: a line an event.
type batch struct {
	events []push.Event
	lines  []int // of the events, from 1
}

// at says which line of the batch a problem is about.
func (b *batch) at(event int, p *problem) *problem {
	return onLine(b.lines[event], p)
}

func onLine(line int, p *problem) *problem {
	return &problem{p.status, p.Code, fmt.Sprintf("line %d: %s", line, p.Message), line, p.cause}
}

// parseBatch reads a batch. What a line leaves out is taken from about; of its idempotency key each event gets its own,
// numbered from 1. Lines that are empty don't count. It never changes what it reads: a line that can't be told
// exactly, because it isn't UTF-8 or has half a surrogate pair, is an error like every other.
func parseBatch(body []byte, about push.Event) (*batch, error) {
	b := new(batch)
	line := 0
	for text := range bytes.Lines(body) {
		line++
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		if len(b.events) == maxBatchEvents {
			return nil, newProblem(http.StatusRequestEntityTooLarge, "too_large",
				"a batch has at most %d events: send several", maxBatchEvents)
		}
		event, err := parseLine(text, about)
		if err != nil {
			return nil, onLine(line, badRequest("%v", err))
		}
		if event.IdempotencyKey == "" && about.IdempotencyKey != "" {
			event.IdempotencyKey = about.IdempotencyKey + keySeparator + strconv.Itoa(len(b.events)+1)
		}
		b.events = append(b.events, event)
		b.lines = append(b.lines, line)
	}
	if len(b.events) == 0 {
		return nil, badRequest(`the batch is empty: a line is an event, as in {"data":"hello"}`)
	}
	return b, nil
}

var members = []string{"data", "event", "key", "topic", "idempotency_key"}

func parseLine(text []byte, about push.Event) (push.Event, error) {
	if !utf8.Valid(text) {
		return push.Event{}, errors.New("isn't UTF-8")
	}
	if text[0] != '{' {
		return push.Event{}, errors.New(`isn't a JSON object like {"data":"hello"}`)
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return push.Event{}, fmt.Errorf(`isn't a JSON object like {"data":"hello"}: %w`, err)
	}
	if name, ok := repeated(text); ok {
		return push.Event{}, fmt.Errorf("has the member %.64q twice", name)
	}
	event := push.Event{Topic: about.Topic, Name: about.Name, Key: about.Key}
	for _, name := range slices.Sorted(maps.Keys(object)) {
		if !slices.Contains(members, name) {
			return event, fmt.Errorf("has an unknown member %.64q: there are %s", name, strings.Join(members, ", "))
		}
		s, err := stringOf(object[name])
		if err != nil {
			return event, fmt.Errorf("%q %w", name, err)
		}
		switch name {
		case "data":
			event.Data = []byte(s)
		case "event":
			event.Name = s
		case "key":
			event.Key = s
		case "topic":
			event.Topic = s
		case "idempotency_key":
			if strings.ContainsFunc(s, isControl) {
				return event, fmt.Errorf("%q has a control character, which the header couldn't have either", name)
			}
			event.IdempotencyKey = s
		}
	}
	if _, ok := object["data"]; !ok {
		return event, errors.New(`has no "data"`)
	}
	if event.Topic == "" {
		return event, errors.New(`has no topic: name it as "topic", or for all lines as /events?topic=news`)
	}
	return event, checkName(event.Name)
}

// repeated returns a member that a valid JSON object has twice. Package encoding/json would take the last without a word.
func repeated(object []byte) (string, bool) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // {
	seen := make(map[string]bool, len(members))
	for d.More() {
		token, err := d.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return "", false // it isn't valid
		}
		if seen[name] {
			return name, true
		}
		seen[name] = true
		var value json.RawMessage
		if d.Decode(&value) != nil {
			return "", false
		}
	}
	return "", false
}

// isControl tells what the value of a header can't have.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

func stringOf(value json.RawMessage) (string, error) {
	if value[0] != '"' {
		return "", errors.New("isn't a string: put JSON into one, as text")
	}
	if halfSurrogate(value) {
		return "", errors.New("has half a surrogate pair, which is no character")
	}
	var s string
	err := json.Unmarshal(value, &s)
	return s, err
}

// halfSurrogate tells whether a valid JSON string has an escaped UTF-16 surrogate without its other half. Package
// encoding/json would put U+FFFD in its place.
func halfSurrogate(value []byte) bool {
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			continue
		}
		i++ // to what is escaped
		if value[i] != 'u' {
			continue
		}
		r := hex4(value[i+1:])
		i += 4
		if !utf16.IsSurrogate(r) {
			continue
		}
		rest := value[i+1:]
		if !bytes.HasPrefix(rest, []byte(`\u`)) || utf16.DecodeRune(r, hex4(rest[2:])) == utf8.RuneError {
			return true
		}
		i += 6
	}
	return false
}

func hex4(digits []byte) rune {
	n, _ := strconv.ParseUint(string(digits[:4]), 16, 16) // valid JSON has four digits there
	return rune(n)
}
