package sessionstore_test

import (
	"context"
	"fmt"

	"github.com/buffkit/buffkit/sessionstore"
)

// Two nodes share a store, so a limit holds for both together.
func ExampleMemory() {
	ctx := context.Background()
	store := sessionstore.NewMemory()
	defer store.Close()

	claim := sessionstore.Claim{Session: sessionstore.ID{1}, User: "ada", Fresh: true, MaxPerUser: 1}
	for _, node := range []string{"first", "second"} {
		outcomes, err := store.Connect(ctx, node, []sessionstore.Claim{claim})
		if err != nil {
			panic(err)
		}
		fmt.Println(node, outcomes[0].Connections, outcomes[0].Err)
	}
	// Output:
	// first 1 <nil>
	// second 0 sessionstore: too many connections
}
