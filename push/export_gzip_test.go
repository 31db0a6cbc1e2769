package push

// What a compressed stream is made of.
const (
	GzipHeader = gzipHeader
	TailSize   = tailSize
	ShortTail  = shortTail
	LeastPlain = leastPlain
)

var (
	AppendBlock  = appendBlock
	AppendStored = appendStored
	AppendTail   = appendTail
	TailFor      = tailFor
	TailRoom     = tailRoom
	AcceptsGzip  = acceptsGzip
)
