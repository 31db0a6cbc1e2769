package oracle

import (
	"os"
	"testing"

	"github.com/buffkit/buffkit/internal/leaktest"
)

func TestMain(m *testing.M) {
	if config := os.Getenv(nodeVar); config != "" {
		os.Exit(runNode(config))
	}
	leaktest.Main(m)
}
