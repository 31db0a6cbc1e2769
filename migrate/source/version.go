package source

import (
	"cmp"
	"fmt"
	"strings"
)

// Version is a number as its digits, as they stand in the file's name. It may be longer than any integer: popx has versions of 20
// digits.
type Version string

// Compare compares the numbers: -1, 0 or +1. Leading zeros make no difference.
func (v Version) Compare(other Version) int {
	a, b := strings.TrimLeft(string(v), "0"), strings.TrimLeft(string(other), "0")
	if len(a) != len(b) {
		return cmp.Compare(len(a), len(b))
	}
	return strings.Compare(a, b)
}

// ParseVersion returns an error for what isn't one or more digits.
func ParseVersion(text string) (Version, error) {
	if text == "" || strings.Trim(text, "0123456789") != "" {
		return "", fmt.Errorf("source: %q is no version: use digits", text)
	}
	return Version(text), nil
}

// Ref names a migration. Source is "" for one of the same source.
type Ref struct {
	Source  string
	Version Version
}

// String returns source:version, or the version alone.
func (r Ref) String() string {
	if r.Source == "" {
		return string(r.Version)
	}
	return r.Source + ":" + string(r.Version)
}

// ParseRef reads what String returns. A source's name is of letters, digits and any of "._/-".
func ParseRef(text string) (Ref, error) {
	name, number, found := strings.Cut(text, ":")
	if !found {
		name, number = "", text
	}
	version, err := ParseVersion(number)
	if err != nil || found && !isSourceName(name) {
		return Ref{}, fmt.Errorf("source: %q names no migration: write source:version, or the version alone", text)
	}
	return Ref{name, version}, nil
}

func isSourceName(name string) bool {
	for _, c := range []byte(name) {
		if !isAlphanumeric(c) && !strings.ContainsRune("._/-", rune(c)) {
			return false
		}
	}
	return name != ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
