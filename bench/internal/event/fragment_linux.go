package event

import (
	"bytes"
	"fmt"
)

// What fragments are made of: enough words that two don't look the same, few enough that a page would have them.
var (
	given   = []string{"Ada", "Grace", "Edsger", "Barbara", "Niklaus", "Frances", "Donald", "Radia", "Alan", "Katherine", "Tony", "Margaret"}
	family  = []string{"Lovelace", "Hopper", "Dijkstra", "Liskov", "Wirth", "Allen", "Knuth", "Perlman", "Turing", "Johnson", "Hoare", "Hamilton"}
	states  = []string{"new", "paid", "packed", "sent", "returned", "late"}
	adverbs = []string{"today", "yesterday", "again", "by mail", "by phone", "in the shop", "with a note", "without a note", "twice", "in part"}
	verbs   = []string{"asked", "ordered", "paid", "returned", "waited", "called", "wrote", "changed the address", "cancelled", "thanked us"}
)

const fragmentEnd = `</p></article>`

// Fragment returns a payload that is HTML, as a server would render it for one row of a list: a card of size bytes, or a little more than MinSize
// needs. Names, amounts and words follow from the number alone.
func Fragment(size int, at int64, number uint32) []byte {
	dice := uint64(number) + 1
	roll := func(n int) int {
		dice ^= dice << 13 // xorshift64, Marsaglia 2003
		dice ^= dice >> 7
		dice ^= dice << 17
		return int(dice % uint64(n))
	}
	pick := func(words []string) string { return words[roll(len(words))] }
	for range 8 { // small seeds need some rounds until their rolls look different
		roll(1)
	}
	order, state, first, last := roll(1_000_000), pick(states), pick(given), pick(family)
	var b bytes.Buffer
	fmt.Fprintf(&b, `<article id="order-%d" class="card card-%s" hx-swap-oob="true" data-at=%s`, order, state, New(MinSize, at, number))
	fmt.Fprintf(&b, `><header class="card-header"><h3 class="card-title"><a href="/orders/%d">Order %d</a></h3><span class="badge badge-%s">%s</span></header>`,
		order, order, state, state)
	fmt.Fprintf(&b, `<dl class="card-body"><dt>Customer</dt><dd><a href="/customers/%d">%s %s</a></dd><dt>Items</dt><dd class="number">%d</dd>`,
		roll(100_000), first, last, 1+roll(30))
	fmt.Fprintf(&b, `<dt>Total</dt><dd class="number">%d.%02d €</dd></dl><p class="card-text">`, roll(2000), roll(100))
	for b.Len() < size-len(fragmentEnd) {
		fmt.Fprintf(&b, "%s %s %s. ", first, pick(verbs), pick(adverbs))
	}
	b.Truncate(max(min(b.Len(), size-len(fragmentEnd)), bytes.LastIndexByte(b.Bytes(), '>')+1))
	b.WriteString(fragmentEnd)
	return b.Bytes()
}
