package push_test

import (
	"compress/flate"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/buffkit/buffkit/eventlog"
	"github.com/buffkit/buffkit/push"
	"github.com/buffkit/buffkit/sse"
)

// fragments makes events as a page that is rendered at the server gets them: the same markup again and again around names, ids,
// amounts and times that differ.
type fragments struct {
	rng    *rand.Rand
	offset eventlog.Offset
}

func newFragments(seed uint64) *fragments {
	return &fragments{rand.New(rand.NewPCG(seed, 2)), 1_790_000_000_000_000}
}

var (
	firstNames = strings.Fields("Aino Björn Chiara Dmitri Elif Fatou Goran Hanna Ines Jakub Kaori Liam Mateus Noor Oskar Priya Quentin Rosa Sanna " +
		"Tomás Ulla Viktor Wanjiru Xenia Yusuf Zofia")
	lastNames = strings.Fields("Andersen Bauer Castillo Dubois Eriksson Fischer Garcia Horváth Ivanova Jansen Kowalski Lindqvist Moreau Nakamura " +
		"Okafor Petrov Quispe Rossi Schmidt Tanaka Ulrich Virtanen Weber Yılmaz Zhang")
	products = strings.Fields("anvil bracket caliper dowel easel flange gasket hinge insulator jigsaw kettle lathe mandrel nozzle oiler pulley " +
		"quoin ratchet spindle trowel undercut valve winch yoke")
	verbs = strings.Fields("asked bought cancelled delivered edited filed gathered held inspected joined kept loaded moved noted ordered packed " +
		"queried returned shipped traded updated verified weighed")
	orderStates = strings.Fields("new paid packed shipped late returned")
)

func (f *fragments) pick(words []string) string { return words[f.rng.IntN(len(words))] }

func (f *fragments) person() string { return f.pick(firstNames) + " " + f.pick(lastNames) }

func (f *fragments) sentence(words int) string {
	said := make([]string, words)
	for i := range said {
		said[i] = f.pick([][]string{verbs, products, firstNames, orderStates}[f.rng.IntN(4)])
	}
	return strings.Join(said, " ")
}

func (f *fragments) time() string {
	return fmt.Sprintf("2026-09-%02dT%02d:%02d:%02dZ", 1+f.rng.IntN(30), f.rng.IntN(24), f.rng.IntN(60), f.rng.IntN(60))
}

// small is a counter: 65 bytes with its id and name.
func (f *fragments) small() string {
	return fmt.Sprintf(`<b id="n-%d">%d</b>`, f.rng.IntN(20), f.rng.IntN(5000))
}

// row is a line of a table: 300 bytes.
func (f *fragments) row() string {
	id, state := f.rng.IntN(1_000_000), f.pick(orderStates)
	return fmt.Sprintf(`<tr id="order-%d" hx-swap-oob="true" class="row row-%s"><td><a href="/orders/%d">#%d</a></td><td>%s</td>`+
		`<td>%s × %d</td><td class="num">%d.%02d €</td><td><time datetime="%s">%02d:%02d</time></td><td>%s</td></tr>`,
		id, state, id, id, f.person(), f.pick(products), 1+f.rng.IntN(40), f.rng.IntN(3000), f.rng.IntN(100),
		f.time(), f.rng.IntN(24), f.rng.IntN(60), state)
}

// card is an entry of a feed: 1 KB.
func (f *fragments) card() string {
	id, who := f.rng.Uint64(), f.person()
	return fmt.Sprintf(`<article id="post-%x" class="rounded-lg border border-slate-200 bg-white p-4 shadow-sm" hx-swap-oob="afterbegin:#feed">
  <header class="flex items-center gap-2">
    <img class="h-8 w-8 rounded-full" src="/avatars/%d.webp" alt="%s" loading="lazy">
    <a class="font-semibold text-slate-900 hover:underline" href="/people/%d">%s</a>
    <time class="ml-auto text-xs text-slate-500" datetime="%s">%d min ago</time>
  </header>
  <p class="mt-2 text-slate-700">%s. %s.</p>
  <footer class="mt-3 flex gap-4 text-sm text-slate-500">
    <button hx-post="/posts/%x/like" hx-swap="none">♥ %d</button>
    <a href="/posts/%x#comments">%d comments</a>
  </footer>
</article>`, id, f.rng.IntN(50_000), who, f.rng.IntN(50_000), who, f.time(), f.rng.IntN(60), f.sentence(9), f.sentence(14),
		id, f.rng.IntN(900), id, f.rng.IntN(90))
}

// table is a board that is drawn anew: 4 KB.
func (f *fragments) table() string {
	var b strings.Builder
	fmt.Fprintf(&b, "<table id=\"board-%d\" hx-swap-oob=\"true\">\n  <thead><tr><th>order</th><th>who</th><th>what</th></tr></thead>\n", f.rng.IntN(40))
	for range 14 {
		b.WriteString("  " + f.row() + "\n")
	}
	b.WriteString("</table>")
	return b.String()
}

// event is one of small, row, card and table; of a mix it is any of them, and a row most often.
func (f *fragments) event(kind string) []byte {
	if kind == "mix" {
		kind = f.pick([]string{"row", "row", "row", "card", "card", "table", "small"})
	}
	text := map[string]func() string{"small": f.small, "row": f.row, "card": f.card, "table": f.table}[kind]()
	f.offset += eventlog.Offset(1000 + f.rng.Uint64N(400_000))
	frame, err := sse.AppendEvent(nil, sse.Event{ID: eventlog.NewCursor(0x5f3a9c21d4, f.offset).String(), Name: kind, Data: []byte(text)})
	if err != nil {
		panic(err)
	}
	return frame
}

func (f *fragments) events(kind string, n int) (frames []byte) {
	for range n {
		frames = append(frames, f.event(kind)...)
	}
	return frames
}

// encoder makes the next block of a stream. The tail is all that was sent before.
type encoder func(dst, sent, plain []byte) []byte

// output is where a compressor of the benchmark writes.
type output struct{ bytes []byte }

func (o *output) Write(p []byte) (int, error) {
	o.bytes = append(o.bytes, p...)
	return len(p), nil
}

func newCompressor(level int) (*flate.Writer, *output) {
	out := &output{}
	w, err := flate.NewWriter(out, level)
	if err != nil {
		panic(err)
	}
	return w, out
}

// behindTail is appendBlock with any level, and a tail of any size.
func behindTail(level, size int) encoder {
	w, out := newCompressor(level)
	return func(dst, sent, plain []byte) []byte {
		out.bytes = dst
		w.Reset(out)
		if size > 0 {
			w.Write(sent[max(0, len(sent)-size):])
			w.Flush()
			out.bytes = out.bytes[:len(dst)]
		}
		w.Write(plain)
		w.Flush()
		return out.bytes
	}
}

// stateful keeps one compressor, for a cohort that begins anew after so many blocks, or for a connection, which never does.
func stateful(level, blocks int) encoder {
	w, out := newCompressor(level)
	n := 0
	return func(dst, _, plain []byte) []byte {
		if blocks > 0 && n%blocks == 0 {
			w.Reset(out)
		}
		n++
		out.bytes = dst
		w.Write(plain)
		w.Flush()
		return out.bytes
	}
}

func stored(dst, _, plain []byte) []byte { return push.AppendStored(dst, plain) }

func asBuilt(dst, sent, plain []byte) []byte {
	return push.AppendBlock(dst, sent[max(0, len(sent)-push.TailSize):], plain)
}

func alone(dst, _, plain []byte) []byte { return push.AppendBlock(dst, nil, plain) }

// What a block costs, and saves: wire% is its size in percent of its plain text, kept-KB what an encoder holds on to between blocks
// besides the tail, which one encoder for all, one a cohort, or one a connection then costs.
func BenchmarkBlock(b *testing.B) {
	type contender struct {
		name  string
		begin func() encoder
	}
	contenders := []contender{
		{"built/tail", func() encoder { return asBuilt }},
		{"built/alone", func() encoder { return alone }},
		{"built/stored", func() encoder { return stored }},
	}
	for _, level := range []int{1, 2, 6} {
		for _, kb := range []int{0, 1, 2, 4, 8, 16, 32} {
			contenders = append(contenders, contender{fmt.Sprintf("tail/level=%d/KB=%d", level, kb), func() encoder { return behindTail(level, kb<<10) }})
		}
		contenders = append(contenders,
			contender{fmt.Sprintf("cohort/level=%d/reset=100", level), func() encoder { return stateful(level, 100) }},
			contender{fmt.Sprintf("connection/level=%d", level), func() encoder { return stateful(level, 0) }})
	}
	for _, c := range contenders {
		for _, kind := range []string{"small", "row", "card", "table", "mix"} {
			for _, batch := range []int{1, 10} {
				b.Run(fmt.Sprintf("%s/%s×%d", c.name, kind, batch), func(b *testing.B) { benchmarkEncoder(b, c.begin, kind, batch) })
			}
		}
	}
}

func benchmarkEncoder(b *testing.B, begin func() encoder, kind string, batch int) {
	const blocks = 200
	source := newFragments(1)
	ends := []int{len(source.events(kind, batch))} // where each block ends in all
	all := newFragments(1).events(kind, batch)
	for range blocks {
		all = append(all, source.events(kind, batch)...)
		ends = append(ends, len(all))
	}
	encode, kept := weigh(begin)
	var dst []byte
	wire := 0
	for i := range blocks {
		dst = encode(dst[:0], all[:ends[i]], all[ends[i]:ends[i+1]])
		wire += len(dst)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i = (i + 1) % blocks {
		dst = encode(dst[:0], all[:ends[i]], all[ends[i]:ends[i+1]])
	}
	b.ReportMetric(100*float64(wire)/float64(len(all)-ends[0]), "wire%")
	b.ReportMetric(float64(kept)/1024, "kept-KB")
}

// weigh makes an encoder, lets it work, and says what it holds on to.
func weigh(begin func() encoder) (encoder, uint64) {
	plain, dst := []byte(strings.Repeat("a fragment ", 30)), []byte(nil)
	before := heap()
	encode := begin()
	encode(dst, nil, plain)
	after := heap()
	runtime.KeepAlive(encode)
	return encode, after - min(before, after)
}
