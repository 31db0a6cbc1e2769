package adopt

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// foldersOf returns the tools whose files a folder may hold.
func foldersOf(fsys fs.FS) (all []Tool, err error) {
	err = fs.WalkDir(fsys, ".", func(p string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(p)[0] == '.' {
			return err
		}
		found, err := fileOf(fsys, p)
		for _, t := range found {
			if !slices.Contains(all, t) {
				all = append(all, t)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("adopt: read the folder: %w", err)
	}
	return all, nil
}

// fileOf returns the tools that a file may be one of.
func fileOf(fsys fs.FS, p string) ([]Tool, error) {
	base, nested := path.Base(p), strings.Contains(p, "/")
	switch path.Ext(base) {
	case ".fizz":
		return []Tool{Pop}, nil
	case ".go":
		if numbered.MatchString(base) && !nested {
			return []Tool{Goose, Bun}, nil
		}
		return nil, nil
	case ".sql":
	default:
		return nil, nil
	}
	text, err := fs.ReadFile(fsys, p)
	if err != nil {
		return nil, err
	}
	for _, t := range Tools() {
		if m := markers[t]; m != nil && m.Match(text) && !nested {
			return []Tool{t}, nil
		}
	}
	switch {
	case nested && popPaired.MatchString(base):
		return []Tool{Pop}, nil
	case nested:
		return nil, nil
	case strings.Contains(base, ".tx."):
		return []Tool{Bun}, nil
	case paired.MatchString(base):
		return pairedTools(base), nil
	case numbered.MatchString(base):
		return []Tool{Tern}, nil
	}
	return nil, nil
}

func pairedTools(base string) (all []Tool) {
	all = append(all, GolangMigrate)
	if popPaired.MatchString(base) {
		all = append(all, Pop)
	}
	if bunPaired.MatchString(base) {
		all = append(all, Bun)
	}
	return all
}
