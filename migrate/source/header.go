package source

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/internal/spelling"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// Header is what the comments at the top of a script say.
type Header struct {
	Depends       []Ref
	NoTransaction bool
	Allow         []Allow
	Env           []string // empty: everywhere
	Repeatable    bool     // it runs again when it changes
	RequiresApp   string   // the oldest version of the app that works with it; empty: any
	Squashes      []Squashed
}

// Squashed is a migration that another one stands for.
type Squashed struct {
	Version  Version
	Checksum string // the first 12 hexadecimal digits of the old one's; empty if it had none
}

// Allow is a rule of the linter that doesn't apply.
type Allow struct {
	Rule   string
	Reason string
	Pos    lexer.Position
}

// merge returns the header of both.
func (h Header) merge(other Header) Header {
	return Header{
		Depends:       append(h.Depends[:len(h.Depends):len(h.Depends)], other.Depends...),
		NoTransaction: h.NoTransaction || other.NoTransaction,
		Allow:         append(h.Allow[:len(h.Allow):len(h.Allow)], other.Allow...),
		Env:           append(h.Env[:len(h.Env):len(h.Env)], other.Env...),
		Repeatable:    h.Repeatable || other.Repeatable,
		RequiresApp:   cmp.Or(other.RequiresApp, h.RequiresApp),
		Squashes:      append(h.Squashes[:len(h.Squashes):len(h.Squashes)], other.Squashes...),
	}
}

// nearMiss are spellings of other tools, or nearly ours, that would be lost silently as comments.
var nearMiss = map[string]string{
	"no transaction": "no-transaction", "notransaction": "no-transaction", "no_transaction": "no-transaction",
	"disable-transaction": "no-transaction", "+goose no transaction": "no-transaction", "atlas:txmode none": "no-transaction",
	"depend": "depends:", "depends-on": "depends:", "depends_on": "depends:", "dependencies": "depends:",
	"requires_app": "requires-app:", "require-app": "requires-app:", "min-app-version": "requires-app:", "repeat": "repeatable",
	"lint: allow": "lint:allow", "lint:ignore": "lint:allow", "environment": "env:", "envs": "env:",
}

// add takes a line comment that may be a header. It returns a fault's message and hint.
func (h *Header) add(token lexer.Token) (msg, hint string) {
	text, ok := strings.CutPrefix(token.Text, "--")
	if !ok {
		return "", ""
	}
	text = strings.TrimSpace(text)
	lower := strings.ToLower(text)
	key, _, hasValue := strings.Cut(lower, ":")
	switch {
	case lower == "no-transaction":
		h.NoTransaction = true
	case lower == "repeatable":
		h.Repeatable = true
	case hasValue && key == "requires-app":
		return h.addApp(strings.TrimSpace(text[len("requires-app:"):]))
	case hasValue && key == "depends":
		return h.addDepends(text[len("depends:"):])
	case hasValue && key == "env":
		return h.addEnv(text[len("env:"):])
	case hasValue && key == "squashes":
		return h.addSquashes(text[len("squashes:"):])
	case lower == "lint:allow" || strings.HasPrefix(lower, "lint:allow "):
		return h.addAllow(text[len("lint:allow"):], token.Pos)
	case nearMiss[lower] != "":
		return "this isn't a header", "write it as -- " + nearMiss[lower]
	case hasValue && nearMiss[key] != "":
		return "this isn't a header", "write it as -- " + nearMiss[key] + " …"
	default:
		if word := meant(lower); word != "" {
			return "this isn't a header, but nearly one", "write it as -- " + word + ", or put other words around it"
		}
	}
	return "", ""
}

// meant returns the header that a comment is but for a letter or two, or for its colon. It returns "" for what is a comment.
func meant(text string) string {
	if key, _, ok := strings.Cut(text, ":"); ok && !strings.Contains(key, " ") {
		for word, header := range map[string]string{
			"depends": "depends: …", "requires-app": "requires-app: …", "squashes": "squashes: …", "environment": "env: …",
		} {
			if nearly(key, word) {
				return header
			}
		}
		return ""
	}
	word, value, _ := strings.Cut(text, " ")
	switch {
	case nearly(text, "no-transaction"):
		return "no-transaction"
	case nearly(text, "repeatable"):
		return "repeatable"
	case word == "env" && slices.Contains(environments, strings.TrimSpace(value)):
		return "env: …"
	case word == "requires-app" && isHeader((*Header).addApp, value):
		return "requires-app: …"
	case word == "depends" && isHeader((*Header).addDepends, value):
		return "depends: …"
	}
	return ""
}

// environments are names that environments often have.
var environments = []string{"production", "prod", "live", "staging", "stage", "preview", "test", "testing", "ci", "qa", "development", "dev", "local", "demo"}

func isHeader(add func(*Header, string) (msg, hint string), value string) bool {
	msg, _ := add(new(Header), strings.TrimSpace(value))
	return msg == ""
}

// nearly tells whether a is b but for two characters at most.
func nearly(a, b string) bool { return spelling.Edits(a, b) <= 2 }

func (h *Header) addDepends(list string) (msg, hint string) {
	for _, item := range fields(list) {
		ref, err := ParseRef(item)
		if err != nil {
			return "depends: " + item + " names no migration", "write source:version, or the version alone, with commas between several"
		}
		h.Depends = append(h.Depends, ref)
	}
	if len(h.Depends) == 0 {
		return "depends: names nothing", "write source:version, or the version alone, with commas between several"
	}
	return "", ""
}

func (h *Header) addEnv(list string) (msg, hint string) {
	names := fields(list)
	if len(names) == 0 {
		return "env: names nothing", "write the environments' names, with commas between several, or take the line out"
	}
	h.Env = append(h.Env, names...)
	return "", ""
}

func (h *Header) addApp(version string) (msg, hint string) {
	if _, err := ParseAppVersion(version); err != nil {
		return fmt.Sprintf("requires-app: %q is no version", version), "write numbers with dots between, as in -- requires-app: 1.4.0"
	}
	h.RequiresApp = version
	return "", ""
}

func (h *Header) addSquashes(list string) (msg, hint string) {
	for _, item := range fields(list) {
		number, sum, _ := strings.Cut(item, "@")
		version, err := ParseVersion(number)
		if err != nil {
			return "squashes: " + item + " is no version", "leave the line as buffkit migrate squash has written it"
		}
		h.Squashes = append(h.Squashes, Squashed{version, sum})
	}
	return "", ""
}

func (h *Header) addAllow(text string, pos lexer.Position) (msg, hint string) {
	rule, reason, _ := strings.Cut(strings.TrimSpace(text), " ")
	reason = strings.TrimSpace(reason)
	if rule == "" || reason == "" {
		return "lint:allow needs a rule and a reason", "write -- lint:allow RULE why it doesn't apply here"
	}
	h.Allow = append(h.Allow, Allow{rule, reason, pos})
	return "", ""
}

// headerWords are in every header that is for a whole script.
var headerWords = regexp.MustCompile(`(?i)--[ \t]*(no-transaction|repeatable|depends:|env:|requires-app:|squashes:)`)

// wholeScript tells whether something in it is for a whole script.
func (h *Header) wholeScript() bool {
	return h.NoTransaction || h.Repeatable || h.RequiresApp != "" || h.Depends != nil || h.Env != nil || h.Squashes != nil
}

// late returns an error for a header of a whole script that stands below its first statement, or within it.
func late(s lexer.Statement, begun bool) error {
	if !headerWords.MatchString(s.Text) {
		return nil
	}
	for token := range s.TextTokens() {
		begun = begun || !token.Kind.Trivia()
		if !begun || token.Kind != lexer.LineComment || token.Pos.Column != 1 {
			continue
		}
		var h Header
		if msg, _ := h.add(token); msg == "" && !h.wholeScript() {
			continue
		}
		return &lexer.Error{Pos: token.Pos, Msg: "this header stands below the first statement, where it has no effect",
			Hint: "move it to the top of the file or section", Line: token.Text, Column: 1, Err: ErrHeader}
	}
	return nil
}

// Parse takes a line of a header without what makes it a comment, for files that aren't SQL. known is false for one that is no header.
func (h *Header) Parse(line string) (known bool, err error) {
	before := *h
	msg, hint := h.add(lexer.Token{Kind: lexer.LineComment, Text: "-- " + line})
	if msg != "" {
		return false, fmt.Errorf("%s: %s", msg, hint)
	}
	return !reflect.DeepEqual(before, *h), nil
}

// fields splits at commas and white space.
func fields(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' })
}
