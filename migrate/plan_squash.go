package migrate

import "fmt"

// checkSquash refuses a squash on a database that has a part of what it stands for.
func (p *planner) checkSquash(mig *migration) bool {
	have, of := 0, 0
	for _, old := range mig.squashes {
		ref := Ref{Source: mig.ref.Source, Version: old.Version}
		if key(ref) == key(mig.ref) {
			continue
		}
		of++
		if p.book.get(ref) != nil {
			have++
		}
	}
	if have == 0 {
		return true
	}
	p.fail(ErrSquash, mig.ref, mig.path, fmt.Sprintf("it stands for %d migrations, of which this database has %d", of+1, have),
		fmt.Sprintf("bring this database up to %s with the release that still had their files, then run this one; or undo them all: down --to %s:0", mig.ref, mig.ref.Source))
	return false
}
