package lint

import (
	"slices"
	"strings"

	"github.com/buffkit/buffkit/migrate/internal/spelling"
	"github.com/buffkit/buffkit/migrate/lexer"
)

// allow is a comment that says that a rule doesn't apply.
type allow struct {
	rule, reason string
	token        lexer.Token
	wide         bool // for the whole script
	used         bool
}

// appendAllow reads a comment: -- lint:allow rule reason.
func appendAllow(list []allow, t lexer.Token, wide bool) []allow {
	text, ok := strings.CutPrefix(t.Text, "--")
	if !ok {
		return list
	}
	text = strings.TrimSpace(text)
	const word = "lint:allow"
	if len(text) < len(word) || !strings.EqualFold(text[:len(word)], word) {
		return list
	}
	text = text[len(word):]
	if text != "" && text[0] != ' ' && text[0] != '\t' {
		return list
	}
	rule, reason, _ := strings.Cut(strings.TrimSpace(text), " ")
	return append(list, allow{rule: rule, reason: strings.TrimSpace(reason), token: t, wide: wide})
}

// allowed tells whether a comment allows a rule at a statement, which is nil for what is about the script.
func (c *checker) allowed(rule string, at *script, s *stmt) bool {
	if strings.HasPrefix(rule, "allow-") {
		return false
	}
	found := false
	take := func(list []*allow) {
		for _, a := range list {
			if a.rule == rule && a.reason != "" {
				a.used, found = true, true
			}
		}
	}
	take(at.allows)
	if s != nil {
		take(at.narrow[s.number])
	}
	return found
}

// takeAllows keeps the comments of a statement.
func (c *checker) takeAllows(s *stmt) {
	for i := range s.allows {
		a := &s.allows[i]
		if a.wide {
			c.script.allows = append(c.script.allows, a)
		} else {
			c.script.narrow[s.number] = append(c.script.narrow[s.number], a)
		}
	}
}

var (
	allowReason = rule{Rule: Rule{
		ID: "allow-reason", Category: Meta, Severity: Error, Down: true, Dialects: everywhere,
		Title: "lint:allow without a rule or a reason",
		Why:   "Who reads the exception a year later has to know whether it still holds. Without a reason it has no effect.",
		Safe:  "-- lint:allow drop-column nothing has read it since release 12",
	}, check: func(c *checker, s *stmt) {
		for _, a := range s.allows {
			switch {
			case a.rule == "":
				c.report(s, a.token, "lint:allow names no rule", "")
			case a.reason == "":
				c.report(s, a.token, "lint:allow gives no reason, so it has no effect", "-- lint:allow "+a.rule+" and here why it doesn't apply")
			}
		}
	}}

	allowUnknown = rule{Rule: Rule{
		ID: "allow-unknown", Category: Meta, Severity: Error, Down: true, Dialects: everywhere,
		Title: "lint:allow for a rule that doesn't exist",
		Why:   "A misspelled exception doesn't work, and one for a rule that was removed misleads.",
		Safe:  "-- lint:allow drop-column nothing has read it since release 12",
	}, check: func(c *checker, s *stmt) {
		for _, a := range s.allows {
			if a.rule != "" && !c.known(a.rule) {
				c.report(s, a.token, "there is no rule "+a.rule+c.didYouMean(a.rule), "-- lint:allow RULE reason; the rules are listed in docs/lint.md")
			}
		}
	}, end: func(c *checker) {
		for _, a := range c.script.shared {
			if !c.known(a.rule) {
				c.reportAt(a.token, "there is no rule "+a.rule+c.didYouMean(a.rule), "-- lint:allow RULE reason; the rules are listed in docs/lint.md")
			}
		}
	}}

	allowUnused = rule{Rule: Rule{
		ID: "allow-unused", Category: Meta, Severity: Info, Down: true, Dialects: everywhere,
		Title: "lint:allow that allows nothing",
		Why:   "An exception that is no longer needed would hide the next mistake.",
		Safe:  "-- take the line out",
	}, done: func(c *checker) {
		for _, s := range c.scripts {
			if c.script = s; s.applied {
				continue
			}
			for _, list := range s.narrow {
				c.unused(list)
			}
			c.unused(s.allows)
		}
	}}
)

func (c *checker) unused(list []*allow) {
	for _, a := range list {
		if !a.used && a.reason != "" && c.looksFor(a.rule) && !c.script.fromShared(a) {
			c.reportAt(a.token, "nothing here breaks the rule "+a.rule, "-- take the line out")
		}
	}
}

// looksFor tells whether a rule is looked for: it may be for another database, turned off, or the runner's business.
func (c *checker) looksFor(id string) bool {
	spared := c.opts.Runner.LockTimeout && id == lockTimeoutID || c.opts.Runner.ForeignKeysOff && strings.HasPrefix(id, sqliteRebuildID)
	return !spared && slices.ContainsFunc(c.rules, func(r *rule) bool { return r.ID == id })
}

// Rules that Options.Runner makes needless.
const (
	lockTimeoutID   = "lock-timeout"
	sqliteRebuildID = "sqlite-rebuild" // and sqlite-rebuild-check
)

// fromShared tells whether the comment stands above both sections of a file: it may be meant for the other one.
func (s *script) fromShared(a *allow) bool {
	for _, other := range s.shared {
		if other == a {
			return true
		}
	}
	return false
}

// didYouMean suggests the rule whose ID is nearest.
func (c *checker) didYouMean(id string) string {
	best, distance := "", 4 // more edits than that is another word
	for _, other := range c.ids {
		if n := spelling.Edits(id, other); n < distance {
			best, distance = other, n
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}
