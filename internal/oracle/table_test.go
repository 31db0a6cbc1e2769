package oracle

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// docs/faults.md says of each fault what a user sees. What is broken here has its place there.
func TestEveryFaultIsInTheTable(t *testing.T) {
	t.Parallel()
	const page = "../../docs/faults.md"
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{}
	for _, f := range slices.Concat(r.nodeFaults(), r.fleetFaults(), (&redisPair{}).faults(r), (&postgres{}).faults(r)) {
		if !strings.Contains(string(text), "*"+f.name+"*") {
			t.Errorf("%s doesn't name the fault *%s*", page, f.name)
		}
	}
}
