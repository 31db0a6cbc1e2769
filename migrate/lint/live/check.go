package live

import (
	"context"
	"fmt"
	"strings"

	"github.com/buffkit/buffkit/migrate"
	"github.com/buffkit/buffkit/migrate/lint"
)

// Check returns a check for migrate.Options: the linter looks at what is pending, with the server's version and the sizes of its tables. A finding
// of at least the severity refuses the plan; lint.Off refuses none. What is below is a warning in the plan, and infos are left out.
//
// What the runner does by itself isn't asked of the scripts: opts.Runner, opts.Version and opts.Rows are set here.
func Check(refuse lint.Severity, opts *lint.Options) migrate.Check {
	var base lint.Options
	if opts != nil {
		base = *opts
	}
	return func(ctx context.Context, c *migrate.Checking) (warnings []string, problems []migrate.Problem, err error) {
		o, err := Options(ctx, c.DB, c.Dialect, &base)
		if err != nil {
			return nil, nil, err
		}
		var all []lint.Migration
		owners := map[string]migrate.Ref{}
		for _, m := range c.Migrations {
			l := lint.Of(m.Migration, m.Options)
			l.Applied = !m.Pending
			all = append(all, l)
			owners[l.Up.Path] = m.Ref
			if l.Down != nil {
				owners[l.Down.Path] = m.Ref
			}
		}
		findings, err := lint.Check(all, c.Dialect, o)
		if err != nil {
			return nil, nil, err
		}
		for _, f := range findings {
			switch {
			case refuse > lint.Off && f.Severity >= refuse:
				problems = append(problems, migrate.Problem{Ref: owners[f.Pos.File], Path: f.Pos.String(), Msg: text(f), Hint: hint(f), Err: migrate.ErrCheck})
			case f.Severity >= lint.Warning:
				warnings = append(warnings, f.Pos.String()+": "+text(f))
			}
		}
		return warnings, problems, nil
	}
}

func text(f lint.Finding) string { return fmt.Sprintf("%s [%s]", f.Message, f.Rule) }

// hint is the safe way, and the way around.
func hint(f lint.Finding) string {
	return "safe: " + strings.ReplaceAll(strings.TrimSpace(f.Fix), "\n", "\n          ") + "\n    or, with a reason: -- lint:allow " + f.Rule + " WHY"
}
