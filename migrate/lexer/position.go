package lexer

import (
	"bytes"
	"strconv"
)

// Position is a place in a file. The zero value is the beginning of a file without a name, see Position.Start.
type Position struct {
	File   string // as in Options.File, may be empty
	Offset int64  // in bytes, from 0; a byte order mark counts
	Line   int    // from 1; lines end in LF or CRLF
	Column int    // from 1, in characters (code points), as editors count; a byte order mark is none
}

// String returns file:line:column, which terminals and editors turn into a link; line:column if the file has no name.
func (p Position) String() string {
	at := strconv.Itoa(p.Line) + ":" + strconv.Itoa(p.Column)
	if p.File == "" {
		return at
	}
	return p.File + ":" + at
}

const bom = "\xEF\xBB\xBF"

// after returns the position behind some text that starts at p. Text may be cut anywhere, also within a character.
func (p Position) after(text []byte) Position {
	if p.Offset == 0 && bytes.HasPrefix(text, []byte(bom)) {
		p.Offset, text = int64(len(bom)), text[len(bom):]
	}
	p.Offset += int64(len(text))
	if last := bytes.LastIndexByte(text, '\n'); last >= 0 {
		p.Line += bytes.Count(text, []byte{'\n'})
		p.Column = 1
		text = text[last+1:]
	}
	p.Column += characters(text)
	return p
}

// characters counts the bytes that don't continue a UTF-8 sequence, so that a text may be counted in pieces.
func characters(text []byte) (n int) {
	for _, c := range text {
		if c&0xC0 != 0x80 {
			n++
		}
	}
	return n
}
