package source

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/buffkit/buffkit/migrate/dialect"
)

// direction is what a file holds.
type direction uint8

const (
	both direction = iota // in sections
	up
	down
)

// filename is a file's name, taken apart.
type filename struct {
	version   Version
	name      string
	dialect   dialect.Dialect // 0 for every one
	direction direction
}

// FileError is a file that can't be a migration, with what to do about it.
type FileError struct {
	Path string
	Msg  string // what is wrong, one line
	Hint string // what to do, one line
}

// Error returns path: what is wrong; what to do.
func (e *FileError) Error() string { return e.Path + ": " + e.Msg + "; " + e.Hint }

// parseFilename takes the name of a file that ends in .sql, in any case.
func parseFilename(path string) (filename, error) {
	base := path[strings.LastIndexByte(path, '/')+1:]
	stem, ok := strings.CutSuffix(base, ".sql")
	if !ok {
		return filename{}, misnamed(path, base, "the extension isn't .sql in lower case")
	}
	var f filename
	stem, f.direction = cutDirection(stem)
	digits := len(stem) - len(strings.TrimLeft(stem, "0123456789"))
	if digits == 0 {
		return f, misnamed(path, base, "the name doesn't begin with a version, which is digits")
	}
	f.version = Version(stem[:digits])
	rest, ok := strings.CutPrefix(stem[digits:], "_")
	if !ok || rest == "" || rest[0] == '.' || rest[0] == '_' {
		return f, misnamed(path, base, "after the version must come _ and a name")
	}
	name, middle, dotted := strings.Cut(rest, ".")
	f.name = name
	if !dotted {
		return f, nil
	}
	d, err := dialect.Parse(middle)
	if err != nil {
		return f, misnamed(path, base, fmt.Sprintf("%q between dots is no database (postgres, mysql, mariadb, sqlite)", middle))
	}
	f.dialect = d
	return f, nil
}

func cutDirection(stem string) (string, direction) {
	if rest, ok := strings.CutSuffix(stem, ".up"); ok {
		return rest, up
	}
	if rest, ok := strings.CutSuffix(stem, ".down"); ok {
		return rest, down
	}
	return stem, both
}

func misnamed(path, base, msg string) *FileError {
	return &FileError{Path: path, Msg: msg, Hint: "rename it to " + suggest(base)}
}

var (
	// leading is what tools write before the name: V1__, V0001., 20060102150405-, 007. and digits alone.
	leading = regexp.MustCompile(`^[VvUuRrBb]?([0-9]+)[-_. ]*`)
	unusual = regexp.MustCompile(`[^\pL\pN_-]+`)
)

// suggest makes a good name of a bad one.
func suggest(base string) string {
	stem := base[:len(base)-len(".sql")]
	version, ending := "VERSION", ""
	switch lower := strings.ToLower(stem); {
	case strings.HasSuffix(lower, ".up"), strings.HasSuffix(lower, "_up"), strings.HasSuffix(lower, "-up"), lower == "up":
		stem, ending = stem[:len(stem)-len("up")], ".up"
	case strings.HasSuffix(lower, ".down"), strings.HasSuffix(lower, "_down"), strings.HasSuffix(lower, "-down"), lower == "down":
		stem, ending = stem[:len(stem)-len("down")], ".down"
	}
	if stem != "" && (stem[0] == 'U' || stem[0] == 'u') && ending == "" && leading.MatchString(stem) { // Flyway's undo
		ending = ".down"
	}
	if match := leading.FindStringSubmatch(stem); match != nil {
		version, stem = match[1], stem[len(match[0]):]
	}
	parts := strings.Split(strings.Trim(stem, "._-"), ".")
	if last := len(parts) - 1; last > 0 {
		if d, err := dialect.Parse(parts[last]); err == nil {
			parts, ending = parts[:last], "."+d.String()+ending
		}
	}
	name := strings.Trim(unusual.ReplaceAllString(strings.Join(parts, "_"), "_"), "_-")
	if name == "" {
		name = "NAME"
	}
	return version + "_" + name + ending + ".sql"
}
