package push

// What a compressed stream is made of.
const (
	GzipHeader  = gzipHeader
	TailSize    = tailSize
	TailMembers = tailMembers
	LeastPlain  = leastPlain
)

// AppendBlock is appendBlock.
var AppendBlock = appendBlock

// AppendStored is appendStored.
var AppendStored = appendStored

// AppendTail is appendTail.
var AppendTail = appendTail

// AcceptsGzip is acceptsGzip.
var AcceptsGzip = acceptsGzip
