package sessionstore

// Longest is for how long a store keeps what was revoked, where the nodes that call Sweep ask for different times, as they do while a fleet gets another
// push.Options.TokenTTL: the longest of them, and after the last who asked for it for as long again, since its tokens are good until then. Times are microseconds of
// the store's clock.
type Longest struct {
	Keep int64
	Said int64 // when a node last asked for that; up to an eighth of it ago, so that it is seldom written
}

// Say notes what a node asks for, and tells whether there is something to store.
func (l *Longest) Say(keep, now int64) (changed bool) {
	since := now - l.Said
	if keep < l.Keep && since <= l.Keep+l.Keep/8 || keep == l.Keep && since <= keep/8 {
		return false
	}
	*l = Longest{keep, now}
	return true
}
