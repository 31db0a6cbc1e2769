package push_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/buffkit/buffkit/push"
)

// frame is one frame of a stream, exactly as docs/wire.md lets a server write it.
type frame struct {
	comment, retry, id, name, data string
	hasData                        bool
}

// parseFrames reads what a server wrote. It is stricter than a client: only what docs/wire.md, section 2, has us write is taken.
func parseFrames(text string) ([]frame, error) {
	var all []frame
	if text != "" && !strings.HasSuffix(text, "\n\n") {
		return nil, fmt.Errorf("the text doesn't end with a frame: %q", tail(text))
	}
	if strings.ContainsAny(text, "\r\x00") {
		return nil, fmt.Errorf("CR or NUL in %q", text)
	}
	for block := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		if block == "" {
			continue
		}
		f, err := parseFrame(block)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func parseFrame(block string) (f frame, err error) {
	const fields = "comment retry id event data"
	last := -1
	for line := range strings.SplitSeq(block, "\n") {
		field, value, ok := strings.Cut(line, ": ")
		if !ok {
			return f, fmt.Errorf("no field and value in line %q of %q", line, block)
		}
		if field == "" {
			field = "comment"
		}
		at := strings.Index(fields, field)
		if at < 0 || at < last || at == last && field != "data" {
			return f, fmt.Errorf("field %q is unknown, twice or out of order in %q", field, block)
		}
		last = at
		switch field {
		case "comment":
			f.comment = value
		case "retry":
			f.retry = value
			if _, err := strconv.ParseUint(value, 10, 63); err != nil {
				return f, fmt.Errorf("retry in %q: %w", block, err)
			}
		case "id":
			f.id = value
		case "event":
			f.name = value
		case "data":
			if f.hasData {
				value = f.data + "\n" + value
			}
			f.data, f.hasData = value, true
		}
	}
	return f, nil
}

func tail(text string) string { return text[max(0, len(text)-80):] }

// control is the data of any control event.
type control struct {
	State     string     `json:"state"`
	Replay    int        `json:"replay"`
	Gaps      []push.Gap `json:"gaps"`
	Session   string     `json:"session"`
	Heartbeat int64      `json:"heartbeat"`
	Code      string     `json:"code"`
	Message   string     `json:"message"`
	Retry     int64      `json:"retry"`
}

func (f frame) control() (c control) {
	if err := json.Unmarshal([]byte(f.data), &c); err != nil {
		panic(fmt.Sprintf("%q: %v", f.data, err))
	}
	return c
}

// String is short, for comparisons: "a1" or "name=a1" for an event, "~a1" for one without an id, as in a snapshot, "open:resumed:3",
// "open:gap:0:a=trimmed,b=slow", "gap:a=slow", "ping", "bye:draining", "place" for an id without an event. Gaps of the broker's own
// topics aren't shown.
func (f frame) String() string {
	switch f.name {
	case "buffkit.open":
		c := f.control()
		text := "open:" + c.State
		if c.State != "fresh" {
			text += ":" + strconv.Itoa(c.Replay)
		}
		if len(c.Gaps) > 0 {
			text += ":" + gapsText(c.Gaps)
		}
		return text
	case "buffkit.gap":
		return "gap:" + gapsText(f.control().Gaps)
	case "buffkit.ping":
		return "ping"
	case "buffkit.bye":
		return "bye:" + f.control().Code
	}
	switch {
	case f.comment != "":
		return ": " + f.comment
	case !f.hasData && f.id != "":
		return "place"
	}
	text := f.data
	if f.name != "" {
		text = f.name + "=" + text
	}
	if f.id == "" {
		text = "~" + text
	}
	return text
}

func gapsText(gaps []push.Gap) string {
	var texts []string
	for _, g := range gaps {
		if !strings.HasPrefix(g.Topic, "~") {
			texts = append(texts, g.Topic+"="+string(g.Reason))
		}
	}
	return strings.Join(texts, ",")
}
