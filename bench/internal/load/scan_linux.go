package load

import (
	"bytes"
	"strconv"

	"github.com/buffkit/buffkit/bench/internal/event"
)

// scanner takes apart what one connection receives. It is fed whatever a read returned, cut anywhere.
type scanner struct {
	state  scanState
	inLine lineState
	status int    // of the answer, once its headers are complete
	left   int    // bytes of the chunk that are to come; while its size is read, the size so far
	tail   []byte // the begin of what couldn't be understood yet
	id     []byte // of the last event that was complete
	nextID []byte // of the event that isn't
	at     int64  // stamp and number of the event that isn't complete
	number uint32
	full   bool      // whether there is one
	many   bool      // several events may stand in a line
	raw    bool      // bytes after the headers aren't looked at
	gzip   *inflater // of a body that is compressed
	broken error     // why it can't be understood any more

	scratch *[]byte // where a tail is joined with what follows; shared by all that are fed by one goroutine
}

type scanState uint8

const (
	inHeaders   scanState = iota
	inChunkSize           // hexadecimal digits
	inChunkLine           // what may follow them, up to LF
	inChunk
	inChunkEnd // CR LF
	inBody     // an answer without chunks: up to its end
	inRaw      // anything: it is only counted
	ended
)

type lineState uint8

const (
	atLine lineState = iota // at its begin, or all of it is in the tail
	inData                  // somewhere in a data line
	inRest                  // somewhere in a line that doesn't matter
)

const (
	maxHeaders = 16 << 10
	maxChunk   = 1 << 40 // so that its size doesn't overflow
	maxHeld    = 512     // bytes of a line that are kept in the hope for its end
)

// sink gets what the scanner finds.
type sink interface {
	// opened is called with the headers of the answer.
	opened(headers []byte)
	// got is called for each event.
	got(at int64, number uint32)
}

// reset makes it ready for a new connection that resumes: the id is kept, as is the memory.
func (s *scanner) reset() {
	s.release()
	*s = scanner{id: s.id, nextID: s.nextID[:0], many: s.many, raw: s.raw, scratch: s.scratch}
}

// release ends what a connection had begun.
func (s *scanner) release() {
	if s.gzip != nil {
		s.gzip.stop()
		s.gzip = nil
	}
}

// feed takes what was read.
func (s *scanner) feed(p []byte, to sink) {
	for len(p) > 0 {
		switch s.state {
		case inHeaders:
			p = s.headers(p, to)
		case inChunkSize:
			p = s.chunkSize(p)
		case inChunkLine:
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				return
			}
			p = p[end+1:]
			if s.state = inChunk; s.left == 0 {
				s.state = ended
			}
		case inChunk:
			n := min(s.left, len(p))
			s.content(p[:n], to)
			p = p[n:]
			if s.left -= n; s.left == 0 && s.state == inChunk {
				s.state = inChunkEnd
			}
		case inChunkEnd:
			end := bytes.IndexByte(p, '\n')
			if end < 0 {
				return
			}
			p, s.state = p[end+1:], inChunkSize
		case inBody:
			s.content(p, to)
			return
		case inRaw, ended:
			return
		}
	}
}

// headers collects the headers and returns what follows them.
func (s *scanner) headers(p []byte, to sink) []byte {
	before, all := len(s.tail), p
	if before > 0 {
		s.tail = append(s.tail, p...)
		all = s.tail
	}
	end := bytes.Index(all, []byte("\r\n\r\n"))
	if end < 0 {
		if before == 0 {
			s.tail = append(s.tail, p...)
		}
		if len(s.tail) > maxHeaders {
			s.state = ended
		}
		return nil
	}
	head := all[:end]
	if _, text, ok := bytes.Cut(head, []byte{' '}); ok && len(text) >= 3 {
		s.status, _ = strconv.Atoi(string(text[:3]))
	}
	s.state = inBody
	if bytes.Equal(header(head, "Transfer-Encoding"), []byte("chunked")) {
		s.state = inChunkSize
	}
	switch {
	case s.raw:
		s.state = inRaw
	case bytes.Equal(header(head, "Content-Encoding"), []byte("gzip")):
		s.gzip = newInflater()
	}
	to.opened(head)
	s.tail = nil // the tails of lines are much smaller
	return p[end+len("\r\n\r\n")-before:]
}

// header returns the value of a header, nil if it isn't there.
func header(head []byte, name string) []byte {
	for len(head) > 0 {
		var line []byte
		line, head, _ = bytes.Cut(head, []byte("\r\n"))
		if key, value, ok := bytes.Cut(line, []byte{':'}); ok && bytes.EqualFold(key, []byte(name)) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

func (s *scanner) chunkSize(p []byte) []byte {
	for i, c := range p {
		if s.left > maxChunk {
			s.state = ended
			return nil
		}
		switch {
		case '0' <= c && c <= '9':
			s.left = s.left<<4 | int(c-'0')
		case 'a' <= c && c <= 'f':
			s.left = s.left<<4 | int(c-'a'+10)
		case 'A' <= c && c <= 'F':
			s.left = s.left<<4 | int(c-'A'+10)
		default:
			s.state = inChunkLine
			return p[i:]
		}
	}
	return nil
}

// content takes bytes of the stream, compressed or not.
func (s *scanner) content(p []byte, to sink) {
	if s.gzip == nil {
		s.body(p, to)
		return
	}
	if err := s.gzip.feed(p, func(plain []byte) { s.body(plain, to) }); err != nil {
		s.state, s.broken = ended, err
	}
}

// body takes bytes of the stream itself.
func (s *scanner) body(p []byte, to sink) {
	if len(s.tail) > 0 { // rare: servers write whole events
		*s.scratch = append(append((*s.scratch)[:0], s.tail...), p...)
		p, s.tail = *s.scratch, s.tail[:0]
	}
	p = s.events(p, to)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			s.partial(p, to)
			return
		}
		s.line(p[:end], to)
		p = p[end+1:]
	}
}

// events takes the events that p has whole, if it begins with one, and returns what follows them. It finds what line by line would be found, in
// a third of the time: what the clients take, the servers under test haven't got.
func (s *scanner) events(p []byte, to sink) []byte {
	if s.inLine != atLine || s.full || s.many || len(s.nextID) > 0 {
		return p
	}
	for {
		end := bytes.Index(p, eventEnd)
		if end < 0 || bytes.IndexByte(p[:end], '\r') >= 0 {
			return p
		}
		one := p[:end+1]
		p = p[end+len(eventEnd):]
		if id := idOf(one); len(id) > 0 {
			s.id = append(s.id[:0], id...)
		}
		if i := bytes.Index(one, mark); i >= 0 {
			if at, number, ok := event.Parse(one[i+len(mark):]); ok {
				to.got(at, number)
			}
		}
	}
}

// idOf returns the id in the lines of an event, nothing if it has none.
func idOf(lines []byte) []byte {
	if !bytes.HasPrefix(lines, idField) {
		i := bytes.Index(lines, idLine)
		if i < 0 {
			return nil
		}
		lines = lines[i+1:]
	}
	line, _, _ := bytes.Cut(lines[len(idField):], eventEnd[:1])
	return bytes.TrimSpace(line)
}

// partial takes a line, or the rest of one, that isn't complete.
func (s *scanner) partial(p []byte, to sink) {
	switch {
	case s.inLine == atLine && len(p) <= maxHeld:
		s.tail = append(s.tail, p...)
	case s.inLine == inData || s.inLine == atLine && bytes.HasPrefix(p, dataField):
		s.inLine = inData
		s.payloads(p, to)
		s.tail = append(s.tail, p[max(0, len(p)-(event.MinSize-2)):]...) // a payload may begin there
	default:
		s.inLine = inRest
	}
}

var (
	dataField = []byte("data:")
	idField   = []byte("id:")
	idLine    = []byte("\nid:")
	eventEnd  = []byte("\n\n")
	mark      = []byte(event.Mark)
)

// line takes the end of a line: all of it, if none of it was taken before.
func (s *scanner) line(p []byte, to sink) {
	was := s.inLine
	s.inLine = atLine
	switch {
	case was == inRest:
	case was == inData:
		s.payloads(p, to)
	case len(p) == 0 || len(p) == 1 && p[0] == '\r':
		s.complete(to)
	case bytes.HasPrefix(p, dataField):
		s.payloads(p, to)
	case bytes.HasPrefix(p, idField):
		s.nextID = append(s.nextID[:0], bytes.TrimSpace(p[len(idField):])...)
	}
}

// payloads finds those that are complete in a part of a data line: the first of the event or, with many, all.
func (s *scanner) payloads(p []byte, to sink) {
	for s.many || !s.full {
		i := bytes.Index(p, mark)
		if i < 0 {
			return
		}
		p = p[i+len(mark):]
		at, number, ok := event.Parse(p)
		if !ok {
			continue
		}
		if s.full { // an event before it in the same line
			to.got(s.at, s.number)
		}
		s.at, s.number, s.full = at, number, true
		p = p[event.Digits:]
	}
}

// complete ends an event: what came of it counts now.
func (s *scanner) complete(to sink) {
	if len(s.nextID) > 0 {
		s.id, s.nextID = s.nextID, s.id[:0]
	}
	if s.full {
		s.full = false
		to.got(s.at, s.number)
	}
}
