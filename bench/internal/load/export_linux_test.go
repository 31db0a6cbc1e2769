package load

// Seen is what a scanner found.
type Seen struct {
	At     int64
	Number uint32
	ID     string // the id that it resumes with after the event
}

// Scan feeds parts to a scanner and returns what it found.
func Scan(many bool, parts ...[]byte) (events []Seen, head string, id string) {
	s := &scanner{many: many, scratch: new([]byte)}
	r := &recorder{s: s}
	for _, p := range parts {
		s.feed(append([]byte(nil), p...), r)
	}
	s.release()
	return r.events, r.head, string(s.id)
}

type recorder struct {
	s      *scanner
	events []Seen
	head   string
}

func (r *recorder) opened(head []byte) { r.head = string(head) }

func (r *recorder) got(at int64, number uint32) {
	r.events = append(r.events, Seen{at, number, string(r.s.id)})
}
