// Package demo is the page that `buffkit demo` serves: this machine's live load and a list that all tabs share, on one stream
// that a switch in the page cuts.
//
//	machine ─┐                       ┌─ pulse ────┐
//	clock   ─┼─> publisher ─> broker ┼─ machine ──┼─> network (the switch) ─> htmx 4 in the tab ─> demo.js counts
//	edits   ─┘                       └─ list ─────┘
//
// With Options.Folder the log is a file, and a demo that was killed and started again goes on: the same list, the next numbers, and the page
// that was open has lost nothing.
//
// One goroutine, the publisher, owns what the page shows. It numbers the events of each topic from 1, without holes, so the
// page can prove by itself that none is lost and none comes twice. The page never trusts the server in this: it compares the
// numbers it got with the state it was rendered with, and with the gaps it was told.
//
// What a test of the page can rely on:
//
//	body[data-state]   connecting, live, cut (by the switch) or reconnecting (for another reason)
//	#received          events that came, all topics
//	#lost              events that never came and were not told as gone; must stay 0
//	#doubled           events that came twice; must stay 0
//	#missed            events that the server has published and this tab hasn't got yet; 0 while live
//	#replayed          events that came as replays
//	#gaps              gaps that were told; #gone the events in them, #healed the gaps that a snapshot healed
//	#said              what buffkit.open said last: [data-open-state], [data-open-replay]
//	button#cut         cuts and restores; [aria-pressed=true] while cut
//	button#overflow    publishes more than the history holds; enabled while cut
//	#tape li           the last pulses: [data-n], [data-how] is live, missed, replayed or healed
//	#wire li           what went over the wire, newest first: [data-event]
//	#add, #items li    the form and the lines of the list: [data-done]; #list-error what was refused
//	[data-topic][data-n]  in a fragment: the number of its event
//
// The numbers are plain digits in the elements' [data-value], and with separators in their text.
package demo
