package eventlog

import "context"

// Store keeps events where they outlive a process, or where several nodes share them: a file, a server. A Replica makes a Log of it,
// which checks and encodes events, serves live readers and recent history from memory, and comes here for what is older.
// All methods may be called at the same time.
//
// How to write one:
//
//  1. Assign offsets with the hybrid clock, Offset.Next, in the order in which the records become visible to Tail, whoever else appends:
//     a Tail that has passed an offset must never meet a smaller one later. Mind SQL sequences, which commit out of order.
//  2. Let each record name the one before it in its partition (Chain) and in its topic (Prev), and keep, per topic,
//     the newest offset that retention dropped, or an upper bound of it.
//  3. Run storetest.Run against it, and logtest.Run against its Replica.
type Store interface {
	// Append stores the records in their order, all of them or none, and fills in their Partition, Offset, Prev and Chain, and the
	// epoch it returns. They are as durable as the store promises when it returns. An error means that nothing was stored, unless it
	// wraps ErrUnknownOutcome.
	//
	// A record whose IdempotencyKey was used before on its topic, within the store's window, isn't stored again: it gets the Partition
	// and Offset of the first, and Repeated.
	Append(ctx context.Context, records []Record) (epoch uint64, err error)

	// Tail calls next with what is stored behind the cursor, of all topics, in offset order within a partition, and then with what is
	// appended, soon after it is. The first page comes at once, and one comes every second at least, be it empty: it proves that the
	// store answers. The zero Cursor means the head: nothing that is stored is sent, only the head.
	//
	// What is gone from between the cursor and the first record that is left is left out; the record's Chain shows it. Tail makes no attempt
	// to go on after an error: it returns it, next's own included, and the Replica calls again. It returns the context's error when that ends.
	Tail(ctx context.Context, after Cursor, next func(Page) error) error

	// History reads what is kept of one topic.
	History(ctx context.Context, r Range) (History, error)

	// Supersede gives the log a new epoch, if its epoch is still old, and returns the one it has then. A Replica calls it when it finds that the
	// store has lost records that it had: cursors from before are told so, on every node.
	Supersede(ctx context.Context, old uint64) (epoch uint64, err error)

	// Close releases what the store holds and ends Tail. Calls after it return ErrClosed.
	Close() error
}

// Record is an event as a Store keeps it.
type Record struct {
	Topic string
	// Key is the event's conflation key, or "". It is sealed with the body in a log that encrypts, and "" then.
	Key string
	// IdempotencyKey goes with Append only: a store needn't return it.
	IdempotencyKey string
	// Body is the event on the wire without its id: UTF-8 that ends in an empty line, or what is sealed. A store takes it as it is.
	Body []byte
	// Partition is the one its topic is in.
	Partition uint32
	// Offset is its place in its partition.
	Offset Offset
	// Prev is the offset before it in its topic, kept or not, 0 for the first ever; see Entry.Prev.
	Prev Offset
	// Chain is the offset before it in its partition, kept or not, 0 for the first ever.
	Chain Offset
	// Repeated tells, after Append, that it was stored before.
	Repeated bool
}

// Page is a piece of a Tail.
type Page struct {
	// Epoch is the identity of the log that the records are of. It changes when the store was emptied, or by Supersede.
	Epoch uint64
	// Records come in offset order within a partition. They and their bytes are the callee's to keep.
	Records []Record
	// Head is the newest offset of each partition, at the time of the page: nothing behind the page's last record and up to it is still to come.
	Head Cursor
}

// Range is what History reads: the records of a topic with After < Offset <= Until.
type Range struct {
	Topic string
	After Offset
	Until Offset // 0: no limit
	// Max is how many records to return at most, at least 1: the oldest of the range, or with Newest the newest.
	Max    int
	Newest bool
	// Bytes, if positive, is how many bytes of bodies are wanted: with Newest, a store may return fewer records than Max once it has as many.
	Bytes int64
}

// History is what a Store keeps of a range.
type History struct {
	Epoch   uint64
	Records []Record // oldest first, with or without Newest
	// Trimmed is the newest offset of the topic that retention has dropped, or an upper bound of it; 0 if none ever was.
	Trimmed Offset
}
