package cli_test

import (
	"os"
	"testing"

	"github.com/buffkit/buffkit/internal/leaktest"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"BUFFKIT_URL", "BUFFKIT_TOKEN", "BUFFKIT_SECRET", "BUFFKIT_LOG", "DATABASE_URL"} {
		os.Unsetenv(name) // whoever runs the tests may have a hub of their own
	}
	leaktest.Main(m)
}
