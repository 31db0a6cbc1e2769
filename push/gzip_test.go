package push_test

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/buffkit/buffkit/push"
)

// gunzipper reads a compressed stream as it comes: whoever asks it for more than what was handed to it has lost.
type gunzipper struct {
	handed bytes.Reader
	zr     *gzip.Reader
}

var errStarved = errors.New("it waits for bytes that haven't come")

func (g *gunzipper) Read(p []byte) (int, error) {
	n, err := g.handed.Read(p)
	if err != nil {
		err = errStarved
	}
	return n, err
}

func newGunzipper(t *testing.T) *gunzipper {
	t.Helper()
	g := &gunzipper{}
	g.handed.Reset([]byte(push.GzipHeader))
	var err error
	if g.zr, err = gzip.NewReader(g); err != nil {
		t.Fatalf("read the header: %v", err)
	}
	return g
}

// expectBlock hands a block over and reads its plain text.
func (g *gunzipper) expectBlock(t *testing.T, block, plain []byte) {
	t.Helper()
	g.handed.Reset(block)
	got := make([]byte, len(plain))
	if n, err := io.ReadFull(g.zr, got); err != nil {
		t.Fatalf("read %d of %d bytes from a block of %d: %v", n, len(plain), len(block), err)
	}
	if !bytes.Equal(got, plain) {
		t.Fatalf("got %q, sent %q", got, plain)
	}
}

// expectNoMore asks for a byte, and must not get one.
func (g *gunzipper) expectNoMore(t *testing.T) {
	t.Helper()
	if n, err := g.zr.Read(make([]byte, 1)); n != 0 || !errors.Is(err, errStarved) {
		t.Errorf("behind the last block it read %d bytes, %v", n, err)
	}
}

// expectAlone reads a block with nothing but its tail.
func expectAlone(t *testing.T, block, tail, plain []byte) {
	t.Helper()
	got, err := io.ReadAll(flate.NewReaderDict(bytes.NewReader(block), tail))
	if !errors.Is(err, io.ErrUnexpectedEOF) || !bytes.Equal(got, plain) {
		t.Fatalf("a block of %d bytes behind a tail of %d: %v, %q, sent %q", len(block), len(tail), err, got, plain)
	}
}

// follower is a connection of a cohort.
type follower struct {
	*gunzipper
	got int // of the cohort's bytes, since it got bytes of its own
}

// Members of a cohort come and go when they like, and get bytes of their own in between. Each reads every event when it comes.
func TestBlocksOfACohortAreReadAsTheyCome(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 0))
			source := newFragments(seed)
			var followers []*follower
			var tail []byte
			shared := map[int]int{} // how many blocks had a tail so long
			for range 150 {
				followers = append(followers, &follower{gunzipper: newGunzipper(t)})
				if len(followers) > 14 {
					followers = followers[rng.IntN(12):]
				}
				plain := source.events("mix", 1+rng.IntN(4))
				blocks := map[int][]byte{}
				for _, f := range followers {
					if rng.IntN(10) == 0 {
						private := source.events("small", 1)
						f.expectBlock(t, push.AppendStored(nil, private), private)
						f.got = 0
					}
					before := push.TailFor(tail, f.got)
					block, made := blocks[len(before)]
					if !made {
						block = push.AppendBlock(nil, before, plain)
						blocks[len(before)] = block
					}
					f.expectBlock(t, block, plain)
					f.got += len(plain)
					shared[len(before)]++
				}
				if len(blocks) > 3 {
					t.Errorf("%d blocks were made of one text", len(blocks))
				}
				tail = push.AppendTail(tail, plain, push.TailRoom(len(followers)))
			}
			for _, f := range followers {
				f.expectNoMore(t)
			}
			for _, size := range []int{0, push.ShortTail, push.TailSize} {
				if shared[size] < 20 {
					t.Errorf("only %d blocks had a tail of %d bytes: %v", shared[size], size, shared)
				}
			}
		})
	}
}

func TestBlocks(t *testing.T) {
	t.Parallel()
	source := newFragments(1)
	rows, cards := source.events("row", 40), source.events("card", 10)
	noise := make([]byte, 200_000)
	for i, rng := 0, rand.New(rand.NewPCG(1, 1)); i < len(noise); i++ {
		noise[i] = byte(rng.Uint32())
	}
	tests := []struct {
		name        string
		tail, plain []byte
	}{
		{"nothing", nil, nil},
		{"nothing behind a tail", rows, nil},
		{"a byte", nil, []byte("a")},
		{"a heartbeat", nil, []byte("id: 1.x.0-5\nevent: buffkit.ping\ndata: {}\n\n")},
		{"as little as is compressed", nil, rows[:push.LeastPlain]},
		{"a little less", nil, rows[:push.LeastPlain-1]},
		{"a card", nil, cards[:1000]},
		{"a card behind a card", cards[:1000], cards[1000:2000]},
		{"a repetition", rows[:5000], rows[:5000]},
		{"a tail of one byte", []byte("d"), rows},
		{"a tail as long as the window", bytes.Repeat(rows, 4)[:32<<10], rows},
		{"a tail longer than the window", bytes.Repeat(rows, 8), rows},
		{"more than the window", rows, bytes.Repeat(cards, 30)},
		{"noise", nil, noise},
		{"noise behind itself", noise[:8<<10], noise[:8<<10]},
		{"as much noise as one stored block holds", nil, noise[:1<<16-1]},
		{"a byte more", nil, noise[:1<<16]},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			block := push.AppendBlock([]byte("before"), tt.tail, tt.plain)
			block, ok := bytes.CutPrefix(block, []byte("before"))
			if !ok {
				t.Fatalf("it lost what was there before: %q", block)
			}
			g := newGunzipper(t)
			g.expectBlock(t, push.AppendStored(nil, tt.tail), tt.tail)
			g.expectBlock(t, block, tt.plain)
			g.expectBlock(t, push.AppendBlock(nil, nil, rows), rows) // it ended at a byte
			g.expectNoMore(t)
			expectAlone(t, block, tt.tail, tt.plain)
			if stored := push.AppendStored(nil, tt.plain); len(block) > len(stored) {
				t.Errorf("%d bytes became %d, stored they are %d", len(tt.plain), len(block), len(stored))
			}
		})
	}
}

// What somebody else was sent before, a secret perhaps, leaves no trace in a block.
func TestBlocksDependOnNothingButTheirInput(t *testing.T) {
	t.Parallel()
	source := newFragments(2)
	tail, plain, secret := source.events("row", 10), source.events("row", 1), source.events("mix", 40)
	want := push.AppendBlock(nil, tail, plain)
	var all sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for i := range 20 {
				push.AppendBlock(nil, secret[:i*100], secret[i:])
				if got := push.AppendBlock(nil, tail, plain); !bytes.Equal(got, want) {
					t.Errorf("got %x, before it was %x", got, want)
				}
			}
		})
	}
	all.Wait()
}

func TestBlocksBehindATailAreSmall(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"row", "card"} {
		for _, members := range []int{1, 8} {
			source := newFragments(3)
			tail, plain := push.AppendTail(nil, source.events(kind, 40), push.TailRoom(members)), source.events(kind, 1)
			block, alone := push.AppendBlock(nil, tail, plain), push.AppendBlock(nil, nil, plain)
			if 2*len(block) > len(alone) || len(alone) > len(plain) {
				t.Errorf("a %s of %d bytes is %d behind a tail of %d and %d without", kind, len(plain), len(block), len(tail), len(alone))
			}
		}
	}
}

func TestTailOfBlocks(t *testing.T) {
	t.Parallel()
	all := newFragments(4).events("mix", 400)
	rng := rand.New(rand.NewPCG(4, 4))
	var tail []byte
	kept := 0 // what must be left of the tail
	for pos := 0; pos < len(all); {
		room := push.TailRoom(1 + rng.IntN(40))
		n := min(len(all)-pos, rng.IntN(1+rng.IntN(2*push.TailSize)))
		tail = push.AppendTail(tail, all[pos:pos+n], room)
		pos += n
		kept = min(kept+n, room)
		if !bytes.Equal(tail, all[pos-kept:pos]) {
			t.Fatalf("after %d bytes the tail has %d bytes, or isn't the end, want %d", pos, len(tail), kept)
		}
		got := rng.IntN(2 * push.TailSize)
		if before := push.TailFor(tail, got); len(before) > got || !bytes.HasSuffix(tail, before) {
			t.Errorf("who got %d bytes is thought to have %d", got, len(before))
		}
	}
	if cap(tail) > 2*push.TailSize {
		t.Errorf("the tail holds %d bytes of memory", cap(tail))
	}
}

// It isn't parallel: the allocations of all are counted.
func TestBlocksCostNoAllocations(t *testing.T) {
	source := newFragments(5)
	tail, plain := source.events("row", 20), source.events("row", 2)
	dst := make([]byte, 0, 64<<10)
	if n := testing.AllocsPerRun(100, func() {
		dst = push.AppendBlock(dst[:0], tail, plain)
		dst = push.AppendBlock(dst, nil, plain)
		dst = push.AppendStored(dst, plain)
		tail = push.AppendTail(tail, plain, push.TailSize)
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// The script cuts text into events and chooses how each is sent: stored, by itself, or behind a tail of any length that was sent.
func FuzzBlocks(f *testing.F) {
	source := newFragments(6)
	f.Add(source.events("row", 20), []byte("\x02\x40\x01\x40\x02\x7f\x00\x10\x02\xff\x02\xff"))
	f.Add(source.events("card", 6), []byte("\x01\xff\x02\xff\x02\xff\x05\xff\x00\x01\x01\x01\x02\x01"))
	f.Add([]byte("\x00\x00\x00\xff\xffaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"), []byte("\x02\x30\x06\x30\x0a\x02"))
	f.Fuzz(func(t *testing.T, text, script []byte) {
		g := newGunzipper(t)
		var sent []byte
		for len(script) > 1 && len(text) > 0 && len(sent) < 1<<20 {
			how, size := script[0], min(len(text), int(script[1])*17)
			script = script[2:]
			plain := text[:size]
			if how&4 != 0 {
				plain = bytes.Repeat(plain, 1+int(how>>3)*8)
			}
			text = append(text[size:len(text):len(text)], text[:size]...) // it comes again
			switch how & 3 {
			case 0:
				g.expectBlock(t, push.AppendStored(nil, plain), plain)
			case 1:
				g.expectBlock(t, push.AppendBlock(nil, nil, plain), plain)
			default:
				tail := sent[max(0, len(sent)-int(how)*137):]
				block := push.AppendBlock(nil, tail, plain)
				expectAlone(t, block, tail, plain)
				g.expectBlock(t, block, plain)
			}
			sent = append(sent, plain...)
		}
		g.expectNoMore(t)
	})
}

func accepts(lines ...string) bool {
	return push.AcceptsGzip(&http.Request{Header: http.Header{"Accept-Encoding": lines}})
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		lines []string
		want  bool
	}{
		{"Chromium", []string{"gzip, deflate, br, zstd"}, true},
		{"Go", []string{"gzip"}, true},
		{"no header", nil, false},
		{"an empty header", []string{""}, false},
		{"another coding", []string{"br, deflate"}, false},
		{"a coding whose name begins with it", []string{"gzippy, gzip2"}, false},
		{"anything", []string{"*"}, true},
		{"anything else", []string{"*, gzip;q=0"}, false},
		{"nothing but it", []string{"gzip, *;q=0"}, true},
		{"nothing", []string{"*;q=0"}, false},
		{"refused", []string{"gzip;q=0"}, false},
		{"refused with decimals", []string{"gzip;q=0.000"}, false},
		{"barely", []string{"gzip;q=0.001"}, true},
		{"in capitals", []string{"GZip;Q=1.0"}, true},
		{"under its old name", []string{"x-gzip"}, true},
		{"spaced", []string{" br\t,\tgzip ; q=0.5 "}, true},
		{"on a second line", []string{"br", "gzip"}, true},
		{"identity as well", []string{"gzip, identity"}, true},
		{"identity less", []string{"identity;q=0.5, gzip;q=0.8"}, true},
		{"identity more", []string{"identity, gzip;q=0.5"}, false},
		{"identity more than anything", []string{"identity;q=0.9, *;q=0.5"}, false},
		{"identity refused", []string{"identity;q=0, gzip;q=0.1"}, true},
		{"only identity", []string{"identity"}, false},
		{"twice, and refused then", []string{"gzip, gzip;q=0"}, false},
		{"twice, and refused first", []string{"gzip;q=0, gzip"}, false},
		{"a weight above 1", []string{"gzip;q=1.001"}, false},
		{"a weight of 2", []string{"gzip;q=2"}, false},
		{"too many decimals", []string{"gzip;q=0.1234"}, false},
		{"a weight that is none", []string{"gzip;q=high"}, false},
		{"a negative weight", []string{"gzip;q=-1"}, false},
		{"no weight", []string{"gzip;q="}, false},
		{"another parameter", []string{"gzip;level=9"}, false},
		{"an empty element", []string{",, gzip,"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := accepts(tt.lines...); got != tt.want {
				t.Errorf("Accept-Encoding: %q: %t", tt.lines, got)
			}
		})
	}
}

// Whatever else a client says, who refuses gzip doesn't get it, capitals don't matter, and neither do line ends.
func FuzzAcceptsGzip(f *testing.F) {
	f.Add("gzip, deflate, br, zstd")
	f.Add("identity;q=0.5, *;q=0.9")
	f.Add("\tGZIP ; Q=0.001,,x-gzip;q=1.")
	f.Fuzz(func(t *testing.T, line string) {
		got := accepts(line)
		if accepts(line, "gzip;q=0") {
			t.Errorf("%q and a refusal: accepted", line)
		}
		if !accepts(strings.ReplaceAll(line, "i", "_"), "*") && !strings.ContainsAny(line, "I*") {
			t.Errorf("%q and anything: refused", line)
		}
		if again := accepts(strings.Split(line, ",")...); again != got {
			t.Errorf("%q is %t, element by element %t", line, got, again)
		}
		if upper := accepts(string(bytes.Map(upperASCII, []byte(line)))); upper != got {
			t.Errorf("%q is %t, in capitals %t", line, got, upper)
		}
	})
}

func upperASCII(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r - 'a' + 'A'
	}
	return r
}
