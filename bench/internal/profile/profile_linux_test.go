package profile_test

import (
	"slices"
	"testing"

	"github.com/buffkit/buffkit/bench/internal/profile"
)

const said = `Type: cpu
Duration: 1.05s, Total samples = 550ms (52.25%)
Showing nodes accounting for 550ms, 100% of 550ms total
Showing top 25 nodes out of 97
      flat  flat%   sum%        cum   cum%
     270ms 49.09% 49.09%      270ms 49.09%  internal/runtime/syscall/linux.Syscall6
      20ms  3.64% 65.45%       20ms  3.64%  runtime.nanotime (inline)
         0     0%   100%      470ms 85.45%  github.com/buffkit/buffkit/push.(*shard[go.shape.int]).run
`

func TestParse(t *testing.T) {
	t.Parallel()
	want := []profile.Function{
		{"internal/runtime/syscall/linux.Syscall6", 0.4909},
		{"runtime.nanotime", 0.0364},
		{"github.com/buffkit/buffkit/push.(*shard[go.shape.int]).run", 0},
	}
	got := profile.Parse(said)
	if len(got) != len(want) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want {
		if got[i].Name != want[i].Name || got[i].Flat < want[i].Flat-1e-9 || got[i].Flat > want[i].Flat+1e-9 {
			t.Errorf("got %v, want %v", got[i], want[i])
		}
	}
	if i := slices.IndexFunc(got, profile.Function.Syscall); i != 0 {
		t.Errorf("the system calls are number %d", i)
	}
}
