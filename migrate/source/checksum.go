package source

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"hash"
)

// checksum hashes a text as editors and checkouts leave it alike: without a byte order mark at its beginning, with LF for CRLF, and
// without line ends at its end.
type checksum struct {
	hash  hash.Hash
	begun bool
	held  []byte // line ends that may be the last, and a CR that may be followed by LF
}

const bom = "\xEF\xBB\xBF"

func newChecksum() *checksum { return &checksum{hash: sha256.New()} }

// add takes the next part of the text, the first one at least as long as a byte order mark if there is one.
func (c *checksum) add(text []byte) {
	if !c.begun && len(text) > 0 {
		c.begun = true
		text = bytes.TrimPrefix(text, []byte(bom))
	}
	for len(text) > 0 {
		n := bytes.IndexAny(text, "\r\n")
		if n != 0 {
			if n < 0 {
				n = len(text)
			}
			c.hash.Write(c.held)
			c.hash.Write(text[:n])
			c.held, text = c.held[:0], text[n:]
			continue
		}
		c.lineEnd(text[0])
		text = text[1:]
	}
}

// maxHeld bounds the line ends that are held back, for files that hold little else. More at once count even at the end.
const maxHeld = 4096

func (c *checksum) lineEnd(b byte) {
	if last := len(c.held) - 1; b == '\n' && last >= 0 && c.held[last] == '\r' {
		c.held[last] = '\n'
		return
	}
	if len(c.held) == maxHeld {
		c.hash.Write(c.held[:maxHeld-1])
		c.held = append(c.held[:0], c.held[maxHeld-1])
	}
	c.held = append(c.held, b)
}

// sum returns the name of the algorithm and the digits, sha256:…
func (c *checksum) sum() string {
	c.hash.Write(bytes.TrimRight(c.held, "\n")) // a lone CR is text
	return "sha256:" + hex.EncodeToString(c.hash.Sum(nil))
}
