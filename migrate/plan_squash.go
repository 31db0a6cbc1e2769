package migrate

import "fmt"

// checkSquash refuses a squash on a database that has a part of what it stands for. Where its own version is applied nothing of it would run,
// and what is lacking would never come; where it isn't all of it would run upon what is there.
func (p *planner) checkSquash(mig *migration) bool {
	r := p.book.get(mig.ref)
	applied := r != nil && r.state == Applied
	of, lacking := p.book.lacking(mig)
	if applied && len(lacking) == 0 || !applied && !p.book.hasOlder(mig) {
		return true
	}
	hint := fmt.Sprintf("bring this database up to %s with the release that still had their files, then run this one; or undo them all: down --to %s:0", mig.ref, mig.ref.Source)
	if applied {
		hint = fmt.Sprintf("apply those with the release that still had their files (up --allow-out-of-order), then run this one; "+
			"if the schema is as if they were applied: buffkit migrate repair %s --checksum", mig.ref)
	}
	p.fail(ErrSquash, mig.ref, mig.path, fmt.Sprintf("it stands for %s, of which this database has %d; it lacks %s", count(of, "migration"), of-len(lacking),
		someRefs(lacking)), hint)
	return false
}

// lacking returns how many versions a squash stands for, and those of them that a database doesn't have.
//
// It has a version if there is a row for it, and all of them if the row of the squash's own version has the squash's checksum: there the squash has
// run. A squash that is replaced by another one is in the list of that one, followed by its own list, which ends with its own version again. A
// row with its checksum has what stands between the two.
func (b *book) lacking(mig *migration) (of int, lacking []Ref) {
	refs, last := make([]Ref, len(mig.squashes)), map[Ref]int{}
	for i, old := range mig.squashes {
		refs[i] = Ref{Source: mig.ref.Source, Version: old.Version}
		last[key(refs[i])] = i
	}
	if r := b.get(mig.ref); r != nil && r.state == Applied && r.checksum == mig.checksum {
		return len(last), nil
	}
	has := map[Ref]bool{}
	for i, ref := range refs {
		r := b.get(ref)
		if r == nil || r.state != Applied {
			continue
		}
		has[key(ref)] = true
		if sum := mig.squashes[i].Checksum; sum != "" && sum == shortSum(r.checksum) {
			for _, within := range refs[i:last[key(ref)]] {
				has[key(within)] = true
			}
		}
	}
	for i, ref := range refs {
		if !has[key(ref)] && last[key(ref)] == i {
			lacking = append(lacking, ref)
		}
	}
	return len(last), lacking
}

// hasOlder tells whether the ledger knows a migration that a squash stands for, besides the one of its own version.
func (b *book) hasOlder(mig *migration) bool {
	for _, old := range mig.squashes {
		ref := Ref{Source: mig.ref.Source, Version: old.Version}
		if key(ref) != key(mig.ref) && b.get(ref) != nil {
			return true
		}
	}
	return false
}

func someRefs(refs []Ref) string {
	names := make([]string, len(refs))
	for i, r := range refs {
		names[i] = r.String()
	}
	return some(names)
}
