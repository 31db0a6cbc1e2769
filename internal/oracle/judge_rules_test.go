package oracle

import (
	"slices"
	"testing"

	"github.com/buffkit/buffkit/client"
	"github.com/buffkit/buffkit/eventlog"
)

// story is a run that was made up. Its log has the epochs 7 and 8, and its offsets are small.
type story struct{ *ledger }

func id(epoch uint64, offset eventlog.Offset) string {
	return eventlog.NewCursor(epoch, offset).String()
}

// publishes publishes one event of the topic a.
func (s *story) publishes(epoch uint64, offset eventlog.Offset) *event {
	events := s.begin("a")
	s.end(events, acknowledged, []place{{epoch, offset}}, 1, "")
	return events[0]
}

// comesTo publishes one whose outcome is another.
func (s *story) comesTo(o outcome) *event {
	events := s.begin("a")
	s.end(events, o, nil, 1, "")
	return events[0]
}

// losesAll is a fault that empties the server.
func (s *story) losesAll() {
	_, over := s.loses()
	over()
}

// begins returns a client that has begun before the first event.
func (s *story) begins(raw bool) *follower {
	f := s.follower("f", raw, "a")
	f.asks("")
	f.opened(id(7, 1), client.Fresh, nil)
	return f
}

func (f *follower) gets(e *event, epoch uint64, offset eventlog.Offset) {
	f.got(id(epoch, offset), dataOf(e.number))
}

func (f *follower) resumes(epoch uint64, offset eventlog.Offset) {
	f.asks(id(epoch, offset))
	f.opened("", client.Resumed, nil)
}

func (f *follower) isTold(reason string) { f.toldGap([]client.Gap{{Topic: "a", Reason: reason}}) }

// A judge that accepts everything would prove nothing, so each rule is broken once.
func TestTheJudgeSeesWhatIsBroken(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		tell func(s *story)
		want string // the rule that is broken, "" for none
	}{
		{"all came", func(s *story) {
			f := s.begins(false)
			f.gets(s.publishes(7, 10), 7, 10)
			f.resumes(7, 10)
			f.gets(s.publishes(7, 20), 7, 20)
		}, ""},
		{"one didn't come", func(s *story) {
			f := s.begins(false)
			f.gets(s.publishes(7, 10), 7, 10)
			s.publishes(7, 20)
			f.gets(s.publishes(7, 30), 7, 30)
		}, "silent"},
		{"one from before the beginning didn't come", func(s *story) {
			s.publishes(7, 1)
			s.begins(false)
		}, ""},
		{"a client was never let in", func(s *story) {
			s.follower("f", false, "a").asks("")
		}, "silent"},
		{"more was trimmed than is kept", func(s *story) {
			f := s.begins(false)
			for offset := range eventlog.Offset(3) {
				s.publishes(7, 10+offset)
			}
			f.isTold("trimmed")
			f.moved(id(7, 12))
			f.gets(s.publishes(7, 20), 7, 20)
		}, ""},
		{"as much as is kept was trimmed", func(s *story) {
			f := s.begins(false)
			s.publishes(7, 10)
			s.publishes(7, 11)
			f.isTold("trimmed")
			f.moved(id(7, 11))
		}, "false gap"},
		{"one behind the place where a gap ended didn't come", func(s *story) {
			f := s.begins(false)
			for offset := range eventlog.Offset(4) {
				s.publishes(7, 10+offset)
			}
			f.isTold("trimmed")
			f.moved(id(7, 12))
		}, "silent"},
		{"slow, where nobody is", func(s *story) { s.begins(false).isTold("slow") }, "false gap"},
		{"the same again", func(s *story) {
			f, e := s.begins(false), s.publishes(7, 10)
			f.gets(e, 7, 10)
			f.gets(e, 7, 10)
		}, "twice"},
		{"the same again after a reconnect, to one who drops no repeats", func(s *story) {
			f, e := s.begins(true), s.publishes(7, 10)
			f.gets(e, 7, 10)
			f.resumes(7, 10)
			f.gets(e, 7, 10)
		}, ""},
		{"the same again by the same connection, to one who drops no repeats", func(s *story) {
			f, e := s.begins(true), s.publishes(7, 10)
			f.gets(e, 7, 10)
			f.gets(e, 7, 10)
		}, "twice"},
		{"in another order", func(s *story) {
			f, first, second := s.begins(false), s.publishes(7, 10), s.publishes(7, 20)
			f.gets(second, 7, 20)
			f.gets(first, 7, 10)
		}, "order"},
		{"stored in another order than published", func(s *story) {
			s.publishes(7, 20)
			s.publishes(7, 10)
		}, "order"},
		{"under another id", func(s *story) {
			f, e := s.begins(false), s.publishes(7, 10)
			f.gets(e, 7, 11)
		}, "damaged"},
		{"tried again, and at two places", func(s *story) {
			f, again := s.begins(false), s.begin("a")
			s.end(again, acknowledged, []place{{7, 20}}, 2, "")
			f.gets(again[0], 7, 10)
		}, "damaged"},
		{"tried again, and at two places, of which one was lost", func(s *story) {
			f := s.begins(false)
			_, over := s.loses()
			again := s.begin("a")
			s.end(again, acknowledged, []place{{7, 20}}, 2, "")
			f.gets(again[0], 7, 10)
			over()
		}, ""},
		{"with other data", func(s *story) {
			f, e := s.begins(false), s.publishes(7, 10)
			f.gets(e, 7, 10)
			f.got(id(7, 11), append(dataOf(e.number), '!'))
		}, "damaged"},
		{"refused, and delivered", func(s *story) {
			s.begins(false).gets(s.comesTo(failed), 7, 10)
		}, "refused, and delivered"},
		{"rolled back, and delivered", func(s *story) {
			s.begins(false).gets(s.comesTo(rolledBack), 7, 10)
		}, "refused, and delivered"},
		{"refused, and not delivered", func(s *story) {
			s.begins(false)
			s.comesTo(failed)
			s.comesTo(rolledBack)
			s.comesTo(unknown)
		}, ""},
		{"of an unknown outcome, to one of two", func(s *story) {
			s.begins(false)
			s.begins(false).gets(s.comesTo(unknown), 7, 10)
		}, "silent"},
		{"committed, and delivered to nobody", func(s *story) {
			s.begins(false)
			s.comesTo(stored)
		}, "silent"},
		{"half of a batch", func(s *story) {
			f, batch := s.begins(false), s.begin("a", "a")
			s.end(batch, unknown, nil, 1, "")
			f.gets(batch[0], 7, 10)
		}, "silent"},
		{"another log, though nothing was lost", func(s *story) {
			f := s.begins(false)
			f.isTold("other_log")
			f.moved(id(8, 10))
		}, "false gap"},
		{"another log, after all was lost", func(s *story) {
			f := s.begins(false)
			s.publishes(7, 10)
			s.losesAll()
			s.publishes(8, 20)
			f.isTold("other_log")
			f.moved(id(8, 20))
			f.gets(s.publishes(8, 30), 8, 30)
		}, ""},
		{"another log, and nobody was told", func(s *story) {
			f := s.begins(false)
			s.losesAll()
			f.gets(s.publishes(8, 20), 8, 20)
		}, "silent"},
		{"told of another log, and it is the same", func(s *story) {
			f := s.begins(false)
			s.losesAll()
			f.isTold("other_log")
			f.gets(s.publishes(7, 20), 7, 20)
		}, "false gap"},
		{"back to an earlier log", func(s *story) {
			f := s.begins(false)
			s.losesAll()
			f.isTold("other_log")
			f.moved(id(8, 20))
			f.isTold("rolled_back")
			f.moved(id(7, 30))
		}, "order"},
		{"the end of a log was lost, and had been overtaken", func(s *story) {
			f := s.begins(false)
			_, over := s.loses()
			s.publishes(7, 10) // by the old master
			overtaking := s.begin("a")
			s.end(overtaking, acknowledged, []place{{7, 20}}, 1, "")
			over()
			f.gets(overtaking[0], 7, 20)
			f.isTold("other_log")
			f.gets(s.publishes(8, 30), 8, 30)
		}, ""},
		{"the end of a log was lost, and it was resumed", func(s *story) {
			f := s.begins(false)
			_, over := s.loses()
			s.publishes(7, 10)
			over()
			f.resumes(7, 1)
			f.gets(s.publishes(7, 30), 7, 30)
		}, "silent"},
		{"the end of a log was lost, all had got it, and it goes on", func(s *story) {
			f := s.begins(false)
			f.gets(s.publishes(7, 10), 7, 10)
			s.losesAll()
			f.gets(s.publishes(7, 20), 7, 20)
		}, "silent"},
		{"the place was forgotten", func(s *story) {
			f := s.begins(false)
			f.asks("")
			f.opened(id(7, 5), client.Fresh, nil)
		}, "wrong state"},
		{"an EventSource gave up", func(s *story) {
			s.begins(true).blame("ended", "the answer is 503")
		}, "ended"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := &story{newLedger()}
			tt.tell(s)
			violated := s.judge(func(string) int { return 2 }).violated
			switch {
			case tt.want == "" && len(violated) > 0:
				t.Errorf("blamed: %v", violated)
			case tt.want != "" && !slices.ContainsFunc(violated, func(v violation) bool { return v.rule == tt.want }):
				t.Errorf("blamed: %v, want %q", violated, tt.want)
			}
		})
	}
}
