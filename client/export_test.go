package client

// Beyond tells whether one cursor is beyond another, and whether both are cursors.
func Beyond(a, b string) (beyond, ok bool) {
	at, ok1 := parseCursor(a)
	seen, ok2 := parseCursor(b)
	return ok1 && ok2 && at.beyond(seen), ok1 && ok2
}
