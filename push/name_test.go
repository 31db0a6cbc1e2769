package push_test

import (
	"context"
	"errors"
	"testing"

	"github.com/buffkit/buffkit/push"
)

func TestNobodyForgesAControlEvent(t *testing.T) {
	t.Parallel()
	b, err := push.New(push.Public("a"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	forged := push.Event{Name: "buffkit.bye", Data: []byte("{}")}
	_, all := b.SendAll(context.Background(), forged)
	_, user := b.SendUser(context.Background(), "ada", forged)
	forged.Topic = "a"
	_, one := b.Publish(context.Background(), forged)
	_, batch := b.PublishAll(context.Background(), push.Event{Topic: "a"}, forged)
	for i, err := range []error{all, user, one, batch} {
		if !errors.Is(err, push.ErrBadName) {
			t.Errorf("call %d: %v, want ErrBadName", i+1, err)
		}
	}
}
