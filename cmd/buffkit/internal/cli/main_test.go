package cli_test

import (
	"net/http"
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	for _, name := range []string{"BUFFKIT_URL", "BUFFKIT_TOKEN", "BUFFKIT_SECRET"} {
		os.Unsetenv(name) // whoever runs the tests may have a hub of their own
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if err := goleak.Find(); code == 0 && err != nil {
			println(err.Error())
			code = 1
		}
		os.Exit(code)
	}))
}
