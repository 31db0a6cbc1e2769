package adopt

import (
	"path"
	"regexp"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
	"github.com/buffkit/buffkit/migrate/source"
)

// The names that the tools take for migrations: the first group is the version, the second the name.
var (
	numbered  = regexp.MustCompile(`^([0-9]+)_(.*)\.(sql|go)$`)                                       // goose, tern
	leading   = regexp.MustCompile(`^([0-9]+)(.*)\.sql$`)                                             // dbmate, sql-migrate
	paired    = regexp.MustCompile(`^([0-9]+)_(.*)\.(down|up)\.(.*)$`)                                // golang-migrate
	popPaired = regexp.MustCompile(`^([0-9]+)_([^.]+)(?:\.([a-z0-9]+))?\.(up|down)\.(sql|fizz)$`)     // pop
	bunPaired = regexp.MustCompile(`^([0-9]{1,14})_([0-9a-z_-]+)\.(?:(tx\.)?(up|down)\.(sql)|(go))$`) // bun
)

// take makes of a file what it is here: none, one or, for tern, two.
func (d *Dir) take(p, text string) ([]*file, error) {
	base := path.Base(p)
	if d.sectioned() && isPaired(base) && !markers[d.tool].MatchString(text) {
		return []*file{{path: p, name: base, version: source.Version(paired.FindStringSubmatch(base)[1])}}, nil // one of ours, beside the tool's
	}
	switch d.tool {
	case Goose:
		return d.takeGoose(p, base)
	case SQLMigrate:
		return d.takeSQLMigrate(p, base, text)
	case Dbmate:
		return d.takeDbmate(p, base)
	case Tern:
		return d.takeTern(p, base, text)
	case GolangMigrate:
		return d.takeGolangMigrate(p, base)
	case Pop:
		return d.takePop(p, base)
	}
	return d.takeBun(p, base)
}

// sectioned tells whether the tool has both directions in one file.
func (d *Dir) sectioned() bool {
	return d.tool == Goose || d.tool == SQLMigrate || d.tool == Dbmate || d.tool == Tern
}

func isPaired(base string) bool {
	return strings.HasSuffix(base, ".sql") && paired.MatchString(base)
}

const inGo = "a migration in Go, which can't be read: register it as a migrate.GoMigration with the same version"

// ignored is for what the tool doesn't read either.
func (d *Dir) ignored(p string) ([]*file, error) {
	if ext := path.Ext(p); ext == ".sql" || ext == ".fizz" {
		d.leave(p, string(d.tool)+" takes no migration from this name, so it is ignored here too")
	}
	return nil, nil
}

// pair is a file of one direction, or of both if ending is "". A dialect's dot stays in the ending.
func (d *Dir) pair(p string, v source.Version, name, ending string, convert func(string) (string, error)) []*file {
	return []*file{{path: p, name: string(v) + "_" + plain(name) + ending + ".sql", version: v, convert: convert}}
}

// plain makes a name that package source takes.
func plain(name string) string {
	name = strings.Trim(strings.ReplaceAll(name, ".", "_"), "_- ")
	if name == "" {
		return "unnamed"
	}
	return name
}

func (d *Dir) takeGoose(p, base string) ([]*file, error) {
	match := numbered.FindStringSubmatch(base)
	switch {
	case match == nil || strings.HasSuffix(base, "_test.go"):
		return d.ignored(p)
	case match[3] == "go":
		d.leave(p, inGo)
		return nil, nil
	}
	return d.pair(p, source.Version(match[1]), match[2], "", func(text string) (string, error) { return gooseSections(p, text) }), nil
}

func (d *Dir) takeSQLMigrate(p, base, text string) ([]*file, error) {
	match := leading.FindStringSubmatch(base)
	switch {
	case match == nil && strings.HasSuffix(base, ".sql") && markers[SQLMigrate].MatchString(text):
		return nil, fault(p, "its name has no number at its beginning, which sql-migrate allows and a version needs",
			"rename it, and its id in gorp_migrations if it is applied: 0001-"+base)
	case match == nil:
		return d.ignored(p)
	}
	return d.pair(p, source.Version(match[1]), match[2], "", func(text string) (string, error) { return sqlMigrateSections(p, text) }), nil
}

func (d *Dir) takeDbmate(p, base string) ([]*file, error) {
	match := leading.FindStringSubmatch(base)
	if match == nil {
		return d.ignored(p)
	}
	return d.pair(p, source.Version(match[1]), match[2], "", nil), nil
}

func (d *Dir) takeTern(p, base, text string) ([]*file, error) {
	match := numbered.FindStringSubmatch(base)
	if match == nil || match[3] != "sql" {
		return d.ignored(p)
	}
	v := source.Version(match[1])
	all := d.pair(p, v, match[2], ".up", func(text string) (string, error) { return ternPart(p, text, true) })
	if strings.Contains(text, ternSeparator) {
		all = append(all, d.pair(p, v, match[2], ".down", func(text string) (string, error) { return ternPart(p, text, false) })...)
	}
	return all, nil
}

func (d *Dir) takeGolangMigrate(p, base string) ([]*file, error) {
	match := paired.FindStringSubmatch(base)
	switch {
	case match == nil:
		return d.ignored(p)
	case match[4] != "sql":
		return nil, fault(p, "golang-migrate takes it for a migration, and it doesn't end in .sql", "end its name in .sql, or move it elsewhere")
	}
	v := source.Version(match[1])
	return d.pair(p, v, d.nameOf(v, match[2]), "."+match[3], d.alone()), nil
}

// nameOf is the name that a version got first: golang-migrate lets up and down have different ones.
func (d *Dir) nameOf(v source.Version, name string) string {
	if first, ok := d.stems[v]; ok {
		return first
	}
	d.stems[v] = name
	return name
}

func (d *Dir) takePop(p, base string) ([]*file, error) {
	match := popPaired.FindStringSubmatch(base)
	switch {
	case match == nil:
		return d.ignored(p)
	case match[5] == "fizz":
		stem := strings.TrimSuffix(base, ".fizz")
		return nil, fault(p, "it is written in fizz, which only pop can read",
			"write as SQL what it does, in "+stem+".sql, and move this one elsewhere; the schema of a database that has it shows what it made")
	}
	ending := "." + match[4]
	if match[3] != "" {
		other, err := dialect.Parse(match[3])
		if err != nil {
			d.leave(p, match[3]+" is no database that is known here")
			return nil, nil
		}
		ending = "." + other.String() + ending
	}
	return d.pair(p, source.Version(match[1]), match[2], ending, func(text string) (string, error) { return noTemplate(p, text, Pop) }), nil
}

func (d *Dir) takeBun(p, base string) ([]*file, error) {
	match := bunPaired.FindStringSubmatch(base)
	switch {
	case match == nil:
		return d.ignored(p)
	case match[6] == "go":
		d.leave(p, inGo)
		return nil, nil
	}
	alone := d.alone()
	if match[3] != "" {
		alone = func(text string) (string, error) { return text, nil }
	}
	return d.pair(p, source.Version(match[1]), match[2], "."+match[4], func(text string) (string, error) { return alone(bunSplit(text)) }), nil
}
